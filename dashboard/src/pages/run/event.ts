import { readJson } from "../../api/printable";

/** An event as the API tells it. What stands in the body came from a machine: nothing of it is taken for granted. */
export interface RunEvent {
  seq: number;
  at: string;
  /** Seconds since the benchmark began, by the machine's clock; null for what the orchestrator tells. */
  t: number | null;
  type: string;
  body: Record<string, unknown>;
}

/** Null for data that is no event. */
export function asEvent(data: string): RunEvent | null {
  const read = readJson(data);
  if (!isRecord(read) || typeof read.seq !== "number" || typeof read.type !== "string") return null;
  return {
    seq: read.seq,
    at: textOf(read.at),
    t: numberOf(read.t),
    type: read.type,
    body: isRecord(read.body) ? read.body : {},
  };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function numberOf(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** Empty for what is no text and no number. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}

export function wordsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((word) => typeof word === "string") : [];
}
