import { MOST_SIDES } from "./compare";

export interface CompareSearch {
  runs?: string | undefined;
  instances?: string | undefined;
}

export interface Chosen {
  kind: "run" | "instance";
  id: string;
}

/** What the address names, runs first; each once, and no more than fit side by side. */
export function chosenOf({ runs, instances }: CompareSearch): Chosen[] {
  const all = [
    ...ids(runs).map((id) => ({ kind: "run" as const, id })),
    ...ids(instances).map((id) => ({ kind: "instance" as const, id })),
  ];
  return all.slice(0, MOST_SIDES);
}

export function searchOf(chosen: Chosen[]): CompareSearch {
  const listed = (kind: Chosen["kind"]) =>
    chosen
      .filter((each) => each.kind === kind)
      .map((each) => each.id)
      .join(",") || undefined;
  return { runs: listed("run"), instances: listed("instance") };
}

function ids(text: string | undefined): string[] {
  const parts = (text ?? "").split(",").map((part) => part.trim());
  return [...new Set(parts.filter(Boolean))];
}
