import { infiniteQueryOptions } from "@tanstack/react-query";
import { api, type Shapes, take } from "../../api/client";

export type Item = Shapes["ItemShape"];
export type Status = Item["status"];

const PAGE = 200;

/** All items, a page after the other; `deleted` are those that can be restored. */
export const inventoryQuery = (deleted: boolean) =>
  infiniteQueryOptions({
    queryKey: ["inventory", { deleted }],
    queryFn: ({ pageParam }) =>
      take(
        api.GET("/v1/inventory", {
          params: { query: { deleted, limit: PAGE, cursor: pageParam } },
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

/** Each word has to be found somewhere in the row. */
export function found(items: readonly Item[], search: string): Item[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return items.filter((item) => {
    const text = `${item.gpu_model} ${item.status}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

export const COLUMNS = {
  gpu_model: "GPU model",
  status: "Status",
  quantity: "Quantity",
  hours_available: "Hours available",
  created_at: "Added",
} as const;

export type Column = keyof typeof COLUMNS;

export interface Order {
  by: Column;
  descending: boolean;
}

export const NEWEST_FIRST: Order = { by: "created_at", descending: true };

export function ordered(items: readonly Item[], { by, descending }: Order): Item[] {
  const sign = descending ? -1 : 1;
  return [...items].sort((one, other) => sign * compare(one[by], other[by]));
}

function compare(one: string | number, other: string | number): number {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

/** The first click on a column sorts names upwards and figures downwards; the next turns it round. */
export function clicked(order: Order, by: Column): Order {
  if (order.by === by) return { by, descending: !order.descending };
  return { by, descending: by !== "gpu_model" && by !== "status" };
}

/** What a click on the switch for maintenance sets. */
export function afterMaintenance(item: Item): Status {
  if (item.status !== "maintenance") return "maintenance";
  // A test alone makes an instance active again.
  return item.instance_id === null ? "active" : "inactive";
}
