import { expect, it } from "vitest";
import { judged } from "./resultRows";

it("a finding stands once: among the findings, and not among the checks of the verdict", () => {
  const findings = [{ code: "thermal_throttle", message: "slowed by heat" }];
  const check = { check: "GPU model", passed: true, text: "as claimed" };
  const untold = { check: "steady clock", passed: null, text: "not told" };
  const failed = { check: "thermal_throttle", passed: false, text: "a check of the same name" };
  const again = { check: "thermal_throttle", passed: null, text: "slowed by heat" };
  const evidence = [check, again, untold, failed];
  expect(judged({ evidence, findings })).toEqual([check, untold, failed]);
});
