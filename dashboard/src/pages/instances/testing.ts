import { api, asError, newKey, type ProblemError, type Shapes, take } from "../../api/client";
import type { Overview } from "../../api/fleet";

export type Options = Shapes["Options"];
export type Run = Shapes["RunShape"];

/** What became of one request; a test that runs already is no fault. */
export interface Outcome {
  name: string;
  run?: Run;
  isRunning?: boolean;
  /** Why it was refused. */
  reason?: string;
}

const AT_ONCE = 8;
const TRIES = 3;

/** Asks for a test of each, a few at a time, and tells each outcome; ends early when told to, or signed out. */
export async function requestTests(
  instances: Overview[],
  options: Options | undefined,
  onOutcome: (outcome: Outcome) => void,
  stop: AbortSignal,
): Promise<void> {
  await forEach(instances, AT_ONCE, stop, async (instance) => {
    onOutcome(await requestTest(instance, options));
  });
}

/** Cancels what runs on each; whatever has ended meanwhile is left as it is. */
export async function cancelTests(
  instances: Overview[],
  onOutcome: (outcome: Outcome) => void,
  stop: AbortSignal,
): Promise<void> {
  await forEach(instances, AT_ONCE, stop, async ({ name, run }) => {
    if (run === null) return;
    try {
      const path = { run_id: run.id };
      onOutcome({
        name,
        run: await take(api.POST("/v1/runs/{run_id}/cancel", { params: { path } })),
      });
    } catch (error) {
      onOutcome({ name, reason: reasonOf(asError(error)) });
    }
  });
}

async function requestTest(instance: Overview, options: Options | undefined): Promise<Outcome> {
  const { id, name } = instance;
  // The same key with every try: where only the answer was lost, the first request's run is answered again.
  const header = { "Idempotency-Key": newKey() };
  for (let tries = 1; ; tries++) {
    try {
      const params = { path: { instance_id: id }, header };
      const asked = api.POST("/v1/instances/{instance_id}/runs", { params, body: options });
      return { name, run: await take(asked) };
    } catch (caught) {
      const error = asError(caught);
      if (error.code === "run_in_progress") return { name, isRunning: true };
      const isRefusal = error.status >= 400 && error.status < 500;
      if (isRefusal || tries === TRIES) return { name, reason: reasonOf(error) };
      await new Promise((resolve) => setTimeout(resolve, 300 * tries));
    }
  }
}

/** To the minute, so that what all are refused for is one reason. */
function reasonOf({ message, problem, again }: ProblemError): string {
  if (again === undefined) return message;
  const at = new Date(Math.ceil(again / 60_000) * 60_000);
  return `${problem.title} Again at ${at.toTimeString().slice(0, 5)}.`;
}

export async function forEach<T>(
  items: T[],
  atOnce: number,
  stop: AbortSignal,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = items.values();
  const worker = async () => {
    for (const item of waiting) {
      if (stop.aborted) return;
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}

export interface Summary {
  queued: number;
  running: string[];
  /** Names by the reason that was given. */
  refused: [reason: string, names: string[]][];
}

export function summarise(outcomes: Outcome[]): Summary {
  const refused = new Map<string, string[]>();
  for (const { name, reason } of outcomes)
    if (reason !== undefined) refused.set(reason, [...(refused.get(reason) ?? []), name]);
  return {
    queued: outcomes.filter(({ run }) => run).length,
    running: outcomes.filter(({ isRunning }) => isRunning).map(({ name }) => name),
    refused: [...refused],
  };
}

const NAMED = 5;

/** `a, b, c and 12 more` */
export function named(names: string[]): string {
  const more = names.length - NAMED;
  return (
    names.slice(0, NAMED).join(", ") + (more > 0 ? ` and ${more.toLocaleString("en")} more` : "")
  );
}
