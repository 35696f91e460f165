import { printable } from "../../../api/printable";
import { fieldOf } from "./names";
import { ImportRefused, MOST_CHARACTERS, type Read } from "./row";

export type Format = "openssh" | "csv" | "json";

export const FORMAT_NAMES: Record<Format, string> = {
  openssh: "OpenSSH configuration",
  csv: "CSV",
  json: "JSON",
};

/** What the text is, by how it begins; a file's name is not asked, for pasted text has none. */
export function recognise(text: string): Format {
  const lines = text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/, 200)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  const [first = ""] = lines;
  if (/^[[{]/.test(first)) return "json";
  if (isHeader(first)) return "csv";
  return lines.some((line) => /^(host|match)[\s=]+[^,;|]+$/i.test(line)) ? "openssh" : "csv";
}

/** A line of names of columns, one of them the host's; `Host<tab>gpu-1` is none. */
function isHeader(line: string): boolean {
  const fields = line.split(/[,;|\t]/).map(fieldOf);
  const known = fields.filter((field) => field !== undefined).length;
  return fields.includes("host") && (/[,;|]/.test(line) || known > 1);
}

/** The machines that a text tells of. Raises `ImportRefused` where it tells of none that could be read. */
export async function readMachines(text: string, format: Format): Promise<Read> {
  if (text.length > MOST_CHARACTERS)
    throw new ImportRefused("This is larger than 2 MiB, which is more than 5,000 machines need.");
  // Files come from providers: letters that would disturb a page are taken out, those that JSON spells out behind it.
  const plain = printable(text.replace(/\r\n?/g, "\n"));
  const read = printable(await readAs(plain, format));
  if (read.rows.length === 0)
    throw new ImportRefused(
      read.notes.length > 0
        ? `No machine is named in this. ${read.notes.slice(0, 3).join(" ")}`
        : "No machine is named in this.",
    );
  return read;
}

async function readAs(text: string, format: Format): Promise<Read> {
  if (format === "json") return (await import("./json")).readJson(text);
  if (format === "csv") return (await import("./csv")).readCsv(text);
  return (await import("./openssh")).readOpenssh(text);
}
