import type { Overview } from "../../api/fleet";
import type { FilterName, Sort, SortKey, View } from "./search";

/** The value of a filter for rows that have none: no result yet, no GPU known. */
export const NONE = "none";

export const STATUSES = ["active", "testing", "failed", "offline", "pending"];

const FILTERS: Record<FilterName, (row: Overview) => string> = {
  status: (row) => row.status,
  verdict: (row) => row.latest?.verdict ?? NONE,
  gpu: (row) => row.gpu_name ?? NONE,
};

type Filter = Pick<View, "q" | FilterName>;

/** The rows that have every word of the search and are chosen by every filter, in their order; one pass. */
export function filtered(rows: Overview[], view: Filter): Overview[] {
  const words = view.q.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = Object.entries(FILTERS)
    .map(([name, value]) => ({ value, among: new Set(view[name as FilterName]) }))
    .filter(({ among }) => among.size > 0);
  if (words.length === 0 && chosen.length === 0) return rows;
  return rows.filter((row) => {
    if (!chosen.every(({ value, among }) => among.has(value(row)))) return false;
    if (words.length === 0) return true;
    const text = searched(row);
    return words.every((word) => text.includes(word));
  });
}

const texts = new WeakMap<Overview, string>();

/** What the search looks at; kept for each row as long as the row is the same. */
function searched(row: Overview): string {
  let text = texts.get(row);
  if (text === undefined) {
    const parts = [row.name, `${row.ssh_user}@${row.ssh_host}:${row.ssh_port}`, row.gpu_name];
    parts.push(
      row.provider,
      row.location,
      row.status,
      row.run?.state ?? row.last_run?.error_code ?? null,
    );
    text = parts.filter(Boolean).join("\n").toLowerCase();
    texts.set(row, text);
  }
  return text;
}

type Comparable = string | number | null;

const BY: Record<SortKey, (row: Overview) => Comparable> = {
  name: (row) => row.name,
  gpu: (row) => row.gpu_name,
  status: (row) => STATUSES.indexOf(row.status),
  tested: (row) => moment(testedAt(row)),
  throughput: (row) => row.latest?.throughput_images_per_sec ?? null,
  miles: (row) => row.latest?.compute_miles_per_hour ?? null,
  verdict: (row) => row.latest?.verdict ?? null,
  next: (row) => moment(row.next_fire_at),
};

const NATURAL = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** In the order asked for; rows without the value come last either way, equal ones stay newest first. */
export function sorted(rows: Overview[], sort: Sort | null): Overview[] {
  if (sort === null) return rows;
  const direction = sort.desc ? -1 : 1;
  const by = BY[sort.key];
  return rows
    .map((row) => ({ row, value: by(row) }))
    .sort((one, other) => {
      if (one.value === null || other.value === null)
        return Number(one.value === null) - Number(other.value === null);
      return direction * compare(one.value, other.value);
    })
    .map(({ row }) => row);
}

function compare(one: string | number, other: string | number): number {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return NATURAL.compare(String(one), String(other));
}

function moment(at: string | null): number | null {
  return at === null ? null : Date.parse(at);
}

/** When the last test ended; a result may also have been submitted without one. */
export function testedAt(row: Overview): string | null {
  const ended = row.last_run?.finished_at ?? null;
  if (ended === null || row.tested_at === null) return ended ?? row.tested_at;
  return Date.parse(ended) > Date.parse(row.tested_at) ? ended : row.tested_at;
}

/** How many rows each filter would show, most first. */
export function counted(rows: Overview[], name: FilterName): [value: string, count: number][] {
  const counts = new Map<string, number>();
  const value = FILTERS[name];
  for (const row of rows) counts.set(value(row), (counts.get(value(row)) ?? 0) + 1);
  return [...counts].sort(([one, some], [other, more]) => more - some || (one < other ? -1 : 1));
}
