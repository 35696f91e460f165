import type { RunEvent } from "./event";
import { sentence } from "./sentence";
import type { Line } from "./story";

/** What only moves a chart; a log of a long run is easier to read without. */
export const READINGS = new Set(["progress", "sample"]);

export interface Wanted {
  /** Types that are shown; empty for all. */
  types: string[];
  readings: boolean;
  search: string;
}

/** The lines that are wanted, in order; the search looks at type and text. */
export function wantedLines(lines: readonly Line[], { types, readings, search }: Wanted): Line[] {
  const needle = search.trim().toLowerCase();
  return lines.filter(({ event, text }) => {
    if (types.length > 0 ? !types.includes(event.type) : !readings && READINGS.has(event.type))
      return false;
    return needle === "" || `${event.type} ${text}`.toLowerCase().includes(needle);
  });
}

/** The types that there are, in the order of their first event. */
export function typesOf(lines: readonly Line[]): string[] {
  return [...new Set(lines.map(({ event }) => event.type))];
}

/** One JSON object a line, as the API tells events. */
export function asNdjson(events: readonly RunEvent[]): string {
  return events.map((event) => `${JSON.stringify(event)}\n`).join("");
}

export function asText(events: readonly RunEvent[]): string {
  return events.map((event) => `${event.at}  ${event.type}  ${sentence(event)}\n`).join("");
}

/** How many lines came behind event number `seq`. */
export function countSince(lines: readonly Line[], seq: number): number {
  return lines.length - 1 - lines.findLastIndex(({ event }) => event.seq <= seq);
}

const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

export function timeOf({ event }: Line): string {
  const at = new Date(event.at);
  return Number.isNaN(at.getTime()) ? "" : TIME.format(at);
}
