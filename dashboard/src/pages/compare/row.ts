export interface Cell {
  text: string;
  /** The 95 % interval, under the value. */
  note: string;
  /** Against the first column, in percent; null where it can't be told. */
  change: number | null;
  rank: "best" | "worst" | null;
}

export interface Row {
  name: string;
  differs: boolean;
  cells: Cell[];
}

/** Null where neither is: more memory used is no merit and no fault. */
export type Better = "high" | "low" | null;

interface Numbers {
  name: string;
  values: (number | null)[];
  format: (value: number | null) => string;
  notes: string[];
  better: Better;
}

/** One figure of all columns: which is the best, and how far each is from the first. */
export function numberRow({ name, values, format, notes, better }: Numbers): Row {
  const known = values.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const first = values[0];
  const cells = values.map((value, index) => ({
    text: format(value),
    note: notes[index] ?? "",
    change: index > 0 && value !== null && first ? (100 * (value - first)) / first : null,
    rank: rankOf(value, [low, high], known.length, better),
  }));
  return { name, differs: known.length > 1 && low !== high, cells };
}

function rankOf(
  value: number | null,
  [low, high]: [number, number],
  count: number,
  better: Better,
): Cell["rank"] {
  if (value === null || better === null || low === high) return null;
  if (value === (better === "high" ? high : low)) return "best";
  // Of two, the other needs no mark.
  return count > 2 && (value === low || value === high) ? "worst" : null;
}
