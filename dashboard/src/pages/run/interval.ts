import { percent, significant } from "../../parts/format";

/** Half the 95 % interval as a share: `± 0.21%`; empty where there is none. */
export function spread(value: number | null, low: number | null, high: number | null): string {
  if (!value || low === null || high === null) return "";
  return `± ${percent((50 * (high - low)) / Math.abs(value), 2)}`;
}

/** `2,445 to 2,455 (± 0.20%)`; empty where there is none. */
export function intervalText(
  value: number | null,
  low: number | null,
  high: number | null,
): string {
  if (low === null || high === null) return "";
  return `${significant(low)} to ${significant(high)} (${spread(value, low, high)})`;
}
