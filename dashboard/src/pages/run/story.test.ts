import { describe, expect, it } from "vitest";
import type { RunEvent } from "./event";
import { asNdjson, wantedLines } from "./logLines";
import {
  advance,
  BEGINNING,
  heldBack,
  MOST_LINES,
  MOST_POINTS,
  phaseMark,
  seriesOf,
} from "./story";

const event = (
  seq: number,
  type: string,
  body: RunEvent["body"] = {},
  t: number | null = seq,
): RunEvent => ({ seq, type, body, t, at: "2026-11-25T02:00:00Z" });

const sample = (seq: number, t: number, clock_reasons: string[] = [], gpu_index = 0): RunEvent =>
  event(seq, "sample", { gpu_index, sm_clock_mhz: 1980, power_watts: 600, clock_reasons }, t);

const told = (...events: RunEvent[]) => advance(BEGINNING, events);

describe("advance", () => {
  it("tells every event once, however often it comes", () => {
    const first = told(event(1, "log", { text: "one" }), event(2, "log", { text: "two" }));
    const again = advance(first, [
      event(2, "log", { text: "two" }),
      event(3, "log", { text: "three" }),
    ]);
    expect(again.lines.map((line) => line.text)).toEqual(["one", "two", "three"]);
    expect(again.lastSeq).toBe(3);
  });

  it("leaves the story before as it was", () => {
    const before = told(sample(1, 1));
    advance(before, [sample(2, 2)]);
    expect(seriesOf(before, "power_watts")[0]?.points).toHaveLength(1);
    expect(before.lines).toHaveLength(1);
  });

  it("draws a line for each GPU and leaves out what was not told", () => {
    const story = told(sample(1, 1, [], 1), sample(2, 1, [], 0));
    expect(seriesOf(story, "sm_clock_mhz").map((one) => one.gpu)).toEqual([0, 1]);
    expect(seriesOf(story, "temperature_celsius")).toEqual([]);
  });

  it("begins anew with another agent, whose seconds begin anew", () => {
    const story = told(sample(1, 50, ["sw_thermal"]), event(2, "started", {}, 0), sample(3, 1));
    expect(seriesOf(story, "power_watts")[0]?.points).toEqual([[1, 600]]);
    expect(story.bands).toEqual([]);
  });

  it("keeps memory bounded and the newest whole", () => {
    const story = told(
      ...Array.from({ length: MOST_LINES + 5 }, (_, index) => sample(index + 1, index + 1)),
    );
    expect(story.lines).toHaveLength(MOST_LINES);
    expect(story.leftOut).toBe(5);
    const points = seriesOf(story, "power_watts")[0]?.points ?? [];
    expect(points.length).toBeLessThanOrEqual(MOST_POINTS);
    expect(points.slice(-3).map(([t]) => t)).toEqual([
      MOST_LINES + 3,
      MOST_LINES + 4,
      MOST_LINES + 5,
    ]);
  });

  it("survives a body that is nothing like the contract", () => {
    const story = told(
      event(1, "sample", { gpu_index: "x", power_watts: "many", clock_reasons: "heat" }),
      event(2, "progress", { phase: null, done: {}, total: [] }),
      event(3, "brand_new", { some: "thing" }),
    );
    expect(story.lines.map((line) => line.text)[2]).toBe('{"some":"thing"}');
    expect(story.series.size).toBe(0);
  });

  it("knows why a run waits until it goes on", () => {
    const waiting = told(event(1, "retry", { message: "Gone.", retry_in_seconds: 5 }, null));
    expect(waiting.waiting).toBe("Gone. Trying again in 5 s.");
    expect(advance(waiting, [event(2, "state", { state: "connecting" })]).waiting).toBeNull();
  });
});

describe("bands", () => {
  it("are as long as the samples that tell the reason, and break where one does not", () => {
    const heat = ["sw_thermal"];
    const story = told(
      ...[sample(1, 1), sample(2, 2, heat), sample(3, 3, heat), sample(4, 4)],
      ...[sample(5, 5, heat), sample(6, 6)],
    );
    expect(story.bands).toEqual([
      { reason: "sw_thermal", gpu: 0, from: 1, to: 3 },
      { reason: "sw_thermal", gpu: 0, from: 4, to: 5 },
    ]);
  });

  it("of several GPUs are one stretch where they overlap", () => {
    const story = told(
      ...[sample(1, 2, ["sw_power_cap"], 0), sample(2, 2.4, ["sw_power_cap"], 1)],
      sample(3, 9, ["sw_thermal"], 1),
    );
    expect(heldBack(story)).toEqual([
      { reason: "sw_power_cap", stretches: [{ from: 1, to: 2.4 }], seconds: 1.4, gpus: [0, 1] },
      { reason: "sw_thermal", stretches: [{ from: 8, to: 9 }], seconds: 1, gpus: [1] },
    ]);
  });

  it("are not made of what holds no clock back", () => {
    expect(told(sample(1, 1, ["gpu_idle", "applications_clocks"])).bands).toEqual([]);
  });
});

describe("phaseMark", () => {
  it("changes with each event that begins a phase, and with no other", () => {
    const marks: string[] = [];
    let story = BEGINNING;
    for (const each of [
      event(1, "state", { state: "running" }),
      event(2, "log", { text: "hello" }),
      event(3, "progress", { phase: "warmup", done: 1, total: 2 }),
      event(4, "progress", { phase: "warmup", done: 2, total: 2 }),
      event(5, "progress", { phase: "measure", done: 1, total: 2 }),
      event(6, "result", {}),
    ]) {
      story = advance(story, [each]);
      marks.push(phaseMark(story));
    }
    expect(marks.map((mark, index) => index === 0 || mark !== marks[index - 1])).toEqual([
      ...[true, false, true],
      ...[false, true, true],
    ]);
  });
});

describe("the log", () => {
  const { lines } = told(
    event(1, "state", { state: "preparing" }),
    sample(2, 1),
    event(3, "log", { text: "CUDA is here" }),
  );
  const all = { types: [], readings: true, search: "" };

  it("is searched in type and text, filtered by type, and read without readings", () => {
    const seqs = (wanted: Parameters<typeof wantedLines>[1]) =>
      wantedLines(lines, wanted).map((line) => line.event.seq);
    expect(seqs(all)).toEqual([1, 2, 3]);
    expect(seqs({ ...all, readings: false })).toEqual([1, 3]);
    expect(seqs({ ...all, search: "cuda" })).toEqual([3]);
    expect(seqs({ ...all, search: "STATE" })).toEqual([1]);
    expect(seqs({ types: ["sample"], readings: false, search: "" })).toEqual([2]);
  });

  it("is handed out as the events that came", () => {
    const read = asNdjson(lines.map((line) => line.event))
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(read).toEqual(lines.map((line) => line.event));
  });
});
