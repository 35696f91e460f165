import { QueryClient } from "@tanstack/react-query";
import { expect, test } from "vitest";
import { adopt, fleetQuery, merge, type Overview } from "./fleet";

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

test("news of one instance does not make the others look as if they had been read", async () => {
  const client = new QueryClient();
  client.setQueryData(fleetQuery.queryKey, [row("a")]);
  const isOld = () => client.getQueryState(fleetQuery.queryKey)?.isInvalidated;
  adopt(client, { items: [row("a", 0, "failed")], removed: [] });
  expect(isOld()).toBe(false);
  await client.invalidateQueries({ queryKey: fleetQuery.queryKey });
  adopt(client, { items: [], removed: [] });
  adopt(client, { items: [row("a", 0, "active")], removed: [] });
  expect(isOld()).toBe(true);
});
