import { download } from "../../parts/download";
import type { PastResult } from "./instanceQueries";

const COLUMNS = [
  "at",
  "run_id",
  "source",
  "verdict",
  "throughput_images_per_sec",
  "throughput_low",
  "throughput_high",
  "latency_ms",
  "power_draw_watts",
  "temperature_celsius",
  "compute_miles_per_hour",
  "variation_percent",
  "driver_version",
  "torch_version",
  "cuda_version",
  "profile",
  "precision",
  "batch_size",
  "image_size",
  "configuration_hash",
] as const satisfies (keyof PastResult)[];

/** Versions come from the machine: a text that a spreadsheet would run as a formula gets a ' before it. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;
/** Quoted, so that one that parts cells at semicolons finds no formula behind one. */
const isText = (value: unknown) => typeof value === "string";

/** The library that writes CSV is fetched when somebody wants some. */
export async function historyCsv(results: PastResult[]): Promise<string> {
  const { unparse } = (await import("papaparse")).default;
  return unparse(
    { fields: [...COLUMNS], data: results.map((result) => COLUMNS.map((name) => result[name])) },
    { escapeFormulae: FORMULA, quotes: isText },
  );
}

export async function downloadHistory(results: PastResult[], name: string): Promise<void> {
  // The mark at the start tells spreadsheets that it is UTF-8.
  download(`${name}.csv`, `\ufeff${await historyCsv(results)}`, "text/csv;charset=utf-8");
}
