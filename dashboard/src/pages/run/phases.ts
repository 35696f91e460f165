import type { Shapes } from "../../api/client";

export type Phases = Shapes["PhasesShape"];

export const PHASES = [
  ["queue", "Queue"],
  ["connect", "Connect"],
  ["push", "Push"],
  ["provision", "Provision"],
  ["warmup", "Warm-up"],
  ["measure", "Measure"],
  ["judge", "Judge"],
] as const;

export interface Step {
  name: string;
  label: string;
  /** `skipped`: the run had no need of it, or never came so far. */
  state: "done" | "running" | "ahead" | "skipped";
  seconds: number | null;
  expected: number | null;
}

/** All phases in order, with what they took; the one at work counts up to `now`. */
export function stepsOf(told: Phases, finished: boolean, now: number): Step[] {
  const begun = new Map(told.phases.map((phase) => [phase.name as string, phase]));
  const last = told.phases.at(-1)?.name;
  const reached = PHASES.findIndex(([name]) => name === last);
  return PHASES.map(([name, label], index) => {
    const expected = told.expected[name] ?? null;
    const phase = begun.get(name);
    if (!phase) {
      const state = finished || index < reached ? "skipped" : "ahead";
      return { name, label, state, seconds: null, expected };
    }
    const end = phase.ended_at === null ? now : Date.parse(phase.ended_at);
    // The reader's clock may be behind the server's.
    const seconds = Math.max(0, (end - Date.parse(phase.started_at)) / 1000);
    const state = phase.ended_at === null && !finished ? "running" : "done";
    return { name, label, state, seconds, expected };
  });
}

export interface Estimate {
  /** 0 to 1 of the whole run. */
  fraction: number;
  remaining: number;
  /** The phase at work has taken more than it does as a rule. */
  late: boolean;
}

/** How long it will take yet; null where no earlier run tells. */
export function estimate(steps: Step[], basis: number): Estimate | null {
  if (basis === 0) return null;
  let spent = 0;
  let remaining = 0;
  let late = false;
  for (const { state, seconds, expected } of steps) {
    spent += seconds ?? 0;
    if (state === "ahead") remaining += expected ?? 0;
    if (state === "running" && expected !== null) {
      remaining += Math.max(0, expected - (seconds ?? 0));
      late = (seconds ?? 0) > expected;
    }
  }
  const whole = spent + remaining;
  return { fraction: whole === 0 ? 0 : spent / whole, remaining, late };
}
