import { expect, it, vi } from "vitest";
import { countSince } from "./logLines";
import type { Line } from "./story";
import { wholeLog } from "./wholeLog";

const line = (seq: number): Line => ({
  event: { seq, at: "", t: null, type: "log", body: {} },
  text: "",
});

it("a log is handed out from the page while that has all of it, and from the server otherwise", async () => {
  const lines = [line(3), line(4)];
  const read = vi.fn(async () => [1, 2, 3, 4].map((seq) => line(seq).event));
  const kept = await wholeLog("a run", { lines, leftOut: 0, lastSeq: 4 }, read);
  expect(kept.map(({ seq }) => seq)).toEqual([3, 4]);
  expect(read).not.toHaveBeenCalled();
  const whole = await wholeLog("a run", { lines, leftOut: 2, lastSeq: 4 }, read);
  expect(whole.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
  expect(read).toHaveBeenCalledWith("a run", 4);
});

it("new lines are counted by number, of those that are shown", () => {
  const lines = [line(2), line(5), line(9)];
  expect([9, 5, 3, 0].map((seq) => countSince(lines, seq))).toEqual([0, 1, 2, 3]);
  expect(countSince([], 4)).toBe(0);
});
