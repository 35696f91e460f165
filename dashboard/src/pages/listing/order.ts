import type { Shapes } from "../../api/client";
import { imagesForADollar } from "../../parts/value";

export type Listed = Shapes["Listed"];

/** At the supplier's price and our figure. */
export function dollarValue(listed: Listed): number | null {
  return imagesForADollar(
    listed.throughput_images_per_sec,
    listed.gpu_count,
    listed.price_per_hour,
  );
}

/** Share of the tests within 90 days that passed, of those that proved something. */
export function reliability(listed: Listed): number | null {
  return listed.tests_90d > 0 ? listed.passed_90d / listed.tests_90d : null;
}

export type Column =
  | "gpu"
  | "location"
  | "images"
  | "miles"
  | "price"
  | "value"
  | "reliability"
  | "measured";

const KEYS: Record<Column, (listed: Listed) => string | number | null> = {
  gpu: (listed) => listed.gpu_name?.toLowerCase() ?? null,
  location: (listed) => listed.location?.toLowerCase() ?? null,
  images: (listed) => listed.throughput_images_per_sec,
  miles: (listed) => listed.compute_miles_per_hour,
  price: (listed) => listed.price_per_hour,
  value: dollarValue,
  reliability,
  measured: (listed) => Date.parse(listed.measured_at),
};

export interface Order {
  column: Column;
  descending: boolean;
}

/** `-images` is images per second, the most first; null for none that there is. */
export function orderOf(sort: string | undefined): Order | null {
  const descending = sort?.startsWith("-") ?? false;
  const column = descending ? sort?.slice(1) : sort;
  return column !== undefined && Object.hasOwn(KEYS, column)
    ? { column: column as Column, descending }
    : null;
}

const TEXTS: Column[] = ["gpu", "location"];
const SMALLEST_FIRST: Column[] = [...TEXTS, "price"];

/** What a click on a column's head makes of the order: the best first, then the other way, then none. */
export function nextSort(sort: string | undefined, column: Column): string | undefined {
  const first = SMALLEST_FIRST.includes(column) ? column : `-${column}`;
  const second = first === column ? `-${column}` : column;
  if (sort === first) return second;
  return sort === second ? undefined : first;
}

/** Those that have each word of `query` somewhere, in the order asked for; what is not known comes last. */
export function arranged(
  items: Listed[],
  query: string | undefined,
  order: Order | null,
): Listed[] {
  const words = (query ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const found = items.filter((each) => {
    const text = searchable(each);
    return words.every((word) => text.includes(word));
  });
  if (order === null) return found;
  const key = KEYS[order.column];
  const sign = order.descending ? -1 : 1;
  return found.sort((one, other) => {
    const [a, b] = [key(one), key(other)];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return a === b ? 0 : a < b ? -sign : sign;
  });
}

function searchable(listed: Listed): string {
  const { conditions } = listed;
  return [
    `${listed.gpu_count ?? ""}x ${listed.gpu_name ?? ""}`,
    listed.location,
    conditions.profile,
    conditions.precision,
    conditions.torch_version,
    conditions.driver_version,
    conditions.configuration_hash,
  ]
    .join(" ")
    .toLowerCase();
}
