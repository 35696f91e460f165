import { expect, test } from "vitest";
import { afterMaintenance, clicked, found, type Item, NEWEST_FIRST, ordered } from "./inventory";

function item(said: Partial<Item>): Item {
  return {
    ...{ id: "", gpu_model: "NVIDIA H100", quantity: 1, hours_available: 0, status: "active" },
    ...{ instance_id: null, deleted_at: null, created_at: "2026-01-01T00:00:00Z" },
    ...{ updated_at: "2026-01-01T00:00:00Z", ...said },
  } as Item;
}

test("each word of a search has to be found", () => {
  const items = [item({}), item({ gpu_model: "NVIDIA L40S", status: "maintenance" })];
  expect(found(items, " nvidia  MAIN ")).toEqual([items[1]]);
  expect(found(items, "")).toHaveLength(2);
  expect(found(items, "h100 maintenance")).toEqual([]);
});

test("figures are sorted as figures, and names as people count", () => {
  const items = [2, 10, 1].map((quantity) => item({ quantity, gpu_model: `GPU ${quantity}` }));
  const sorted = (by: "quantity" | "gpu_model") =>
    ordered(items, { by, descending: false }).map(({ quantity }) => quantity);
  expect(sorted("quantity")).toEqual([1, 2, 10]);
  expect(sorted("gpu_model")).toEqual([1, 2, 10]);
});

test("a second click on a column turns its order round", () => {
  const once = clicked(NEWEST_FIRST, "gpu_model");
  expect(once).toEqual({ by: "gpu_model", descending: false });
  expect(clicked(once, "gpu_model").descending).toBe(true);
  expect(clicked(once, "quantity").descending).toBe(true);
});

test("an instance comes out of maintenance as inactive: a test makes it active", () => {
  expect(afterMaintenance(item({}))).toBe("maintenance");
  expect(afterMaintenance(item({ status: "maintenance" }))).toBe("active");
  expect(afterMaintenance(item({ status: "maintenance", instance_id: "x" }))).toBe("inactive");
});
