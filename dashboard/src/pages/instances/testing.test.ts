import { afterEach, expect, test, vi } from "vitest";
import { api } from "../../api/client";
import type { Overview } from "../../api/fleet";
import { forEach, named, type Outcome, type Run, requestTests, summarise } from "./testing";

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const RUN = { id: "run" } as Run;
const instances = (...names: string[]) => names.map((name) => ({ id: name, name }) as Overview);

interface Asked {
  params: { header: { "Idempotency-Key": string } };
}

function answering(...answers: [status: number, body: object, headers?: HeadersInit][]) {
  const keys: string[] = [];
  const answer = async (_path: string, asked: Asked) => {
    keys.push(asked.params.header["Idempotency-Key"]);
    const [status, body, headers] = answers.shift() ?? [202, RUN];
    const response = new Response(null, { status, headers });
    return response.ok ? { data: body, response } : { error: body, response };
  };
  vi.spyOn(api, "POST").mockImplementation(answer as unknown as typeof api.POST);
  return keys;
}

async function outcomesOf(asked: Overview[], stop = new AbortController().signal) {
  const outcomes: Outcome[] = [];
  await requestTests(asked, undefined, (outcome) => outcomes.push(outcome), stop);
  return outcomes;
}

const problem = (code: string) => ({ code, detail: `Refused: ${code}.`, remedy: "" });

test("a test that runs already is told as that, not as a fault", async () => {
  answering([409, problem("run_in_progress")]);
  expect(await outcomesOf(instances("a"))).toEqual([{ name: "a", isRunning: true }]);
});

test("a refusal is not repeated, and its words are kept", async () => {
  const keys = answering([403, problem("not_allowed")]);
  const [outcome] = await outcomesOf(instances("a"));
  expect(outcome).toEqual({ name: "a", reason: "Refused: not_allowed." });
  expect(keys).toHaveLength(1);
});

test("what is refused for now says until when, and is one reason for all", async () => {
  vi.useFakeTimers({ now: new Date(2026, 0, 1, 12, 0, 5) });
  const refused = { ...problem("too_many_contacts"), title: "Too many." };
  const inSeconds = (seconds: number) =>
    [429, refused, { "Retry-After": `${seconds}` }] as [number, object, HeadersInit];
  answering(inSeconds(90), inSeconds(91));
  const { refused: told } = summarise(await outcomesOf(instances("a", "b")));
  expect(told).toEqual([["Too many. Again at 12:02.", ["a", "b"]]]);
});

test("what the server dropped is asked for again under the same key", async () => {
  const keys = answering([503, problem("database_unavailable")]);
  expect(await outcomesOf(instances("a"))).toEqual([{ name: "a", run: RUN }]);
  expect(keys).toHaveLength(2);
  expect(new Set(keys).size).toBe(1);
});

test("each instance has a key of its own", async () => {
  const keys = answering();
  await outcomesOf(instances("a", "b"));
  expect(new Set(keys).size).toBe(2);
});

test("never more than so many at once, and none after the stop", async () => {
  const stop = new AbortController();
  let [atWork, most, done] = [0, 0, 0];
  await forEach([...Array(50).keys()], 8, stop.signal, async () => {
    most = Math.max(most, ++atWork);
    await new Promise((resolve) => setTimeout(resolve));
    atWork--;
    if (++done === 20) stop.abort();
  });
  expect(most).toBe(8);
  expect(done).toBeGreaterThanOrEqual(20);
  expect(done).toBeLessThan(30);
});

test("a summary names what was refused by its reason", () => {
  const outcomes = [
    { name: "a", run: RUN },
    { name: "b", isRunning: true },
    { name: "c", reason: "Gone." },
    { name: "d", reason: "Gone." },
  ];
  expect(summarise(outcomes)).toEqual({
    queued: 1,
    running: ["b"],
    refused: [["Gone.", ["c", "d"]]],
  });
  expect(named(["1", "2", "3", "4", "5", "6", "7"])).toBe("1, 2, 3, 4, 5 and 2 more");
});
