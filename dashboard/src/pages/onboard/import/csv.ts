import { fieldOf, rank } from "./names";
import {
  ImportRefused,
  MOST_ROWS,
  markDuplicates,
  type Read,
  refuseTooMany,
  type Told,
  toRow,
} from "./row";

/** A table with a header line; parted by commas, semicolons, tabs or bars. */
export async function readCsv(text: string): Promise<Read> {
  const { default: papa } = await import("papaparse");
  const parsed = papa.parse<string[]>(text.replace(/^\uFEFF/, ""), {
    skipEmptyLines: "greedy",
    // One more than is read, to tell that there are too many; the header is a line, too.
    preview: MOST_ROWS + 2,
  });
  const [header = [], ...lines] = parsed.data;
  const columns = columnsOf(header);
  if (!columns.some(({ field }) => field === "host"))
    throw new ImportRefused(
      "No column holds a host. The first line has to name the columns, such as instance_id,ssh_host,ssh_port.",
    );
  if (lines.length > MOST_ROWS) refuseTooMany(lines.length);
  const rows = lines.map((cells, index) => {
    const told: Told = {};
    for (const { field, at } of columns) told[field] = cells[at];
    return toRow(`row ${index + 2}`, told);
  });
  const notes = unusedNote(header, columns);
  const fault = parsed.errors.find((error) => error.type === "Quotes");
  if (fault) notes.push(`Row ${(fault.row ?? 0) + 1}: a quotation mark is not closed.`);
  return { rows: markDuplicates(rows), notes };
}

interface Column {
  field: Exclude<keyof Told, "metadata">;
  at: number;
}

function columnsOf(header: string[]): Column[] {
  const best = new Map<Column["field"], number>();
  header.forEach((name, at) => {
    const field = fieldOf(name);
    if (field === undefined) return;
    const before = best.get(field);
    if (before === undefined || rank(name) < rank(header[before] ?? "")) best.set(field, at);
  });
  return [...best].map(([field, at]) => ({ field, at }));
}

const MOST_NAMED = 8;

function unusedNote(header: string[], columns: Column[]): string[] {
  const used = new Set(columns.map(({ at }) => at));
  const unused = header.filter((name, at) => name.trim() && !used.has(at));
  if (unused.length === 0) return [];
  const named = unused.slice(0, MOST_NAMED).map((name) => name.trim().slice(0, 40));
  const more = unused.length > MOST_NAMED ? " and others" : "";
  return [`Columns that are not used: ${named.join(", ")}${more}.`];
}
