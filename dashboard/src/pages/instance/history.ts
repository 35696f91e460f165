import { median } from "../../parts/statistics";
import type { PastResult } from "./instanceQueries";

export type Measure =
  | "throughput_images_per_sec"
  | "latency_ms"
  | "power_draw_watts"
  | "temperature_celsius"
  | "compute_miles_per_hour";

/** Results that may be compared: those of one configuration, oldest first. */
export interface Configuration {
  hash: string | null;
  results: PastResult[];
}

export interface BandPoint {
  at: string;
  median: number;
  low: number;
  high: number;
}

export interface Change {
  at: string;
  text: string;
}

const WINDOW = 7;
/** With fewer a median says nothing that the points don't. */
const LEAST = 3;
/** Makes the median absolute deviation of normal noise its standard deviation. */
const NORMAL = 1.4826;

/** In the order in which they first appear. */
export function configurations(results: PastResult[]): Configuration[] {
  const found = new Map<string | null, PastResult[]>();
  for (const result of results) {
    const known = found.get(result.configuration_hash);
    if (known) known.push(result);
    else found.set(result.configuration_hash, [result]);
  }
  return [...found].map(([hash, ofHash]) => ({ hash, results: ofHash }));
}

/** For each result from the third on: the median of it and up to six before it, two robust deviations either way. */
export function band(results: PastResult[], measure: Measure): BandPoint[] {
  const known = results.flatMap((result) => {
    const value = result[measure];
    return value === null ? [] : [{ at: result.at, value }];
  });
  return known.flatMap(({ at }, index) => {
    const values = known
      .slice(Math.max(0, index + 1 - WINDOW), index + 1)
      .map((each) => each.value);
    if (values.length < LEAST) return [];
    const middle = median(values);
    const spread = 2 * NORMAL * median(values.map((value) => Math.abs(value - middle)));
    return [{ at, median: middle, low: middle - spread, high: middle + spread }];
  });
}

/** Where the driver or torch became another: what may move a figure without the card being another. */
export function changes(results: PastResult[]): Change[] {
  const found: Change[] = [];
  const last: { driver?: string; torch?: string } = {};
  for (const result of results) {
    const texts: string[] = [];
    if (result.driver_version) {
      if (last.driver && last.driver !== result.driver_version)
        texts.push(`driver ${result.driver_version}`);
      last.driver = result.driver_version;
    }
    if (result.torch_version) {
      if (last.torch && last.torch !== result.torch_version)
        texts.push(`torch ${result.torch_version}`);
      last.torch = result.torch_version;
    }
    if (texts.length > 0) found.push({ at: result.at, text: texts.join(", ") });
  }
  return found;
}

/** The results of the last `days`; all of them without. */
export function within(results: PastResult[], days: number | null, now: Date): PastResult[] {
  if (days === null) return results;
  const first = now.getTime() - days * 86_400_000;
  return results.filter((result) => new Date(result.at).getTime() >= first);
}
