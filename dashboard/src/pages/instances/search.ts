import type { InstancesSearch } from "../../router";

/** What of the fleet is shown, and in which order; it lives in the address. */
export interface View {
  q: string;
  status: string[];
  verdict: string[];
  gpu: string[];
  sort: Sort | null;
}

export type SortKey =
  | "name"
  | "gpu"
  | "status"
  | "tested"
  | "throughput"
  | "miles"
  | "verdict"
  | "next";

export interface Sort {
  key: SortKey;
  desc: boolean;
}

export type FilterName = "status" | "verdict" | "gpu";

export const SORT_LABELS: Record<SortKey, string> = {
  name: "Name",
  gpu: "GPU",
  status: "Status",
  tested: "Last test",
  throughput: "Images/s",
  miles: "Compute miles/h",
  verdict: "Verdict",
  next: "Next test",
};

export function asView(search: InstancesSearch): View {
  return {
    q: search.q ?? "",
    status: unpack(search.status),
    verdict: unpack(search.verdict),
    gpu: unpack(search.gpu),
    sort: asSort(search.sort),
  };
}

/** Only what differs from the whole fleet, newest first, is worth a word in the address. */
export function asSearch(view: View): InstancesSearch {
  return {
    q: view.q || undefined,
    status: pack(view.status),
    verdict: pack(view.verdict),
    gpu: pack(view.gpu),
    sort: view.sort ? (view.sort.desc ? "-" : "") + view.sort.key : undefined,
  };
}

export function isFiltered(view: View): boolean {
  return [view.q, view.status, view.verdict, view.gpu].some((part) => part.length > 0);
}

function asSort(text: string | undefined): Sort | null {
  const desc = text?.startsWith("-") ?? false;
  const key = text?.slice(desc ? 1 : 0) ?? "";
  return Object.hasOwn(SORT_LABELS, key) ? { key: key as SortKey, desc } : null;
}

/** Commas part the values; a machine may have one in the name of its GPU. */
function pack(values: string[]): string | undefined {
  if (values.length === 0) return undefined;
  return values.map((value) => value.replaceAll("~", "~~").replaceAll(",", "~.")).join(",");
}

function unpack(text: string | undefined): string[] {
  if (!text) return [];
  return text
    .split(",")
    .map((value) => value.replaceAll(/~[~.]/g, (sign) => (sign === "~." ? "," : "~")))
    .filter((value) => value !== "");
}
