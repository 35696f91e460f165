import { fieldOf, rank } from "./names";
import { ImportRefused, markDuplicates, type Read, refuseTooMany, type Told, toRow } from "./row";

/** An array of objects, or an object that has one as `instances`. */
export function readJson(text: string): Read {
  const list = listIn(parse(text));
  refuseTooMany(list.length);
  const rows = list.map((item, index) => {
    const place = `row ${index + 1}`;
    if (!isObject(item)) {
      const row = toRow(place, {});
      row.problems = ["Not an object."];
      return row;
    }
    return toRow(place, toldBy(item));
  });
  return { rows: markDuplicates(rows), notes: [] };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ImportRefused(
      `No valid JSON: ${error instanceof Error ? error.message.slice(0, 200) : String(error)}`,
    );
  }
}

function listIn(value: unknown): unknown[] {
  const list = isObject(value) ? value.instances : value;
  if (Array.isArray(list)) return list;
  throw new ImportRefused(
    'An array of machines is expected, or an object with one: {"instances": [...]}.',
  );
}

function toldBy(item: Record<string, unknown>): Told {
  const told: Told = {};
  const ranks = new Map<string, number>();
  for (const [name, value] of Object.entries(item)) {
    if (name === "metadata" && isObject(value)) told.metadata = value;
    const field = fieldOf(name);
    if (field === undefined || (typeof value !== "string" && typeof value !== "number")) continue;
    const before = ranks.get(field);
    if (before !== undefined && before <= rank(name)) continue;
    ranks.set(field, rank(name));
    told[field] = String(value);
  }
  return told;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
