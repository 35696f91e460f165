import { describe, expect, it } from "vitest";
import { estimate, type Phases, stepsOf } from "./phases";

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
const told: Phases = {
  phases: [
    { name: "queue", started_at: at(0), ended_at: at(2) },
    { name: "connect", started_at: at(2), ended_at: at(3) },
    { name: "provision", started_at: at(3), ended_at: null },
  ],
  expected: { queue: 1, connect: 1, push: 2, provision: 10, measure: 20, judge: 1 },
  basis: 4,
};

describe("stepsOf", () => {
  it("counts the phase at work, and knows which is ahead and which was not needed", () => {
    const steps = stepsOf(told, false, Date.parse(at(7)));
    expect(steps.map((step) => [step.name, step.state, step.seconds])).toEqual([
      ["queue", "done", 2],
      ["connect", "done", 1],
      ["push", "skipped", null],
      ["provision", "running", 4],
      ["warmup", "ahead", null],
      ["measure", "ahead", null],
      ["judge", "ahead", null],
    ]);
  });

  it("has nothing ahead of a run that is over, and no negative time for a clock that is behind", () => {
    const steps = stepsOf(told, true, Date.parse(at(0)));
    expect(steps.map((step) => step.state)).not.toContain("ahead");
    expect(steps[3]?.seconds).toBe(0);
  });
});

describe("estimate", () => {
  it("is what the phases at work and ahead take as a rule", () => {
    const estimated = estimate(stepsOf(told, false, Date.parse(at(7))), told.basis);
    expect(estimated?.remaining).toBe(27);
    expect(estimated?.fraction).toBeCloseTo(7 / 34);
    expect(estimated?.late).toBe(false);
  });

  it("says when a phase takes longer than usual", () => {
    expect(estimate(stepsOf(told, false, Date.parse(at(30))), told.basis)?.late).toBe(true);
  });

  it("is none without an earlier run", () => {
    expect(estimate(stepsOf(told, false, Date.parse(at(7))), 0)).toBeNull();
  });
});
