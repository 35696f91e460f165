import { expect, test } from "vitest";
import { merge, type Overview } from "./fleet";

const row = (id: string, minute = 0, status = "active") =>
  ({ id, status, created_at: new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString() }) as Overview;

const told = (rows: Overview[]) => rows.map(({ id, status }) => `${id} ${status}`);

test("a changed row takes the place of the one before, the others stay the same objects", () => {
  const rows = [row("b", 2), row("a", 1)];
  const merged = merge(rows, { items: [row("a", 1, "failed")], removed: [] });
  expect(told(merged)).toEqual(["b active", "a failed"]);
  expect(merged[0]).toBe(rows[0]);
});

test("a removed row is gone, and a new one stands where its age puts it", () => {
  const rows = [row("c", 3), row("a", 1)];
  const merged = merge(rows, { items: [row("d", 4), row("b", 2)], removed: ["a"] });
  expect(told(merged)).toEqual(["d active", "c active", "b active"]);
});

test("no change leaves the very same array, which costs the table nothing", () => {
  const rows = [row("a")];
  expect(merge(rows, { items: [], removed: [] })).toBe(rows);
});
