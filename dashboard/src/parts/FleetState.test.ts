import { expect, it } from "vitest";
import { stateText } from "./FleetState";

it("a page of the fleet says what it lacks: the rest, or news", () => {
  expect(stateText("live", "whole", false, 200)).toBe("");
  expect(stateText("live", "whole", true, 200)).toBe("");
  expect(stateText("live", "first", true, 200)).toMatch(/^The rest is being read.* 200/);
  expect(stateText("live", "first", false, 200)).toMatch(/^Not all .* 200/);
  expect(stateText("live", "old", false, 200)).toMatch(/could not be read again/);
  expect(stateText("resuming", "first", false, 200)).toMatch(/resuming.*Not all/);
});
