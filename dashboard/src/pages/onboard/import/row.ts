import { shortened } from "../../../parts/format";
import { hostFault, portFault, readAddress, userFault } from "../address";
import { nameFault } from "../form";

/** What a file says about one machine, by our own names of the fields; everything as it stood there. */
export interface Told {
  name?: string;
  host?: string;
  port?: string;
  user?: string;
  offer_id?: string;
  machine_id?: string;
  provider?: string;
  location?: string;
  price_per_hour?: string;
  gpu_name?: string;
  gpu_count?: string;
  cuda_version?: string;
  disk_space_gb?: string;
  cpu_count?: string;
  metadata?: Record<string, unknown>;
}

/** A machine as it would be onboarded. One with `problems` can't be; `notes` only tell. */
export interface Row {
  /** Where it stands in the file, for people: `line 12`, `row 3`. */
  place: string;
  name: string;
  host: string;
  port: number | null;
  user: string;
  texts: Partial<Record<TextField, string>>;
  amounts: Partial<Record<AmountField, number>>;
  metadata: Record<string, unknown>;
  problems: string[];
  notes: string[];
}

export interface Read {
  rows: Row[];
  /** What was passed over, and why. */
  notes: string[];
}

/** A text that is not read at all; the message is a sentence for people. */
export class ImportRefused extends Error {}

export const MOST_ROWS = 5_000;
export const MOST_CHARACTERS = 2 * 1024 * 1024;

const TEXTS = [
  ...(["offer_id", "machine_id", "provider", "location", "gpu_name", "cuda_version"] as const),
];
const AMOUNTS = {
  price_per_hour: { most: 1_000_000, whole: false, least: 0 },
  gpu_count: { most: 1024, whole: true, least: 0 },
  disk_space_gb: { most: 10_000_000, whole: false, least: 0 },
  cpu_count: { most: 100_000, whole: true, least: 1 },
} as const;
type TextField = (typeof TEXTS)[number];
type AmountField = keyof typeof AMOUNTS;

const LONGEST = 200;

/** The row behind what was told, with everything that is wrong with it alone. */
export function toRow(place: string, told: Told, notes: string[] = []): Row {
  const given = takeApart(told);
  const host = clean(given.host);
  const row: Row = {
    place,
    name: clean(given.name) || host,
    host,
    port: portOf(given.port),
    user: clean(given.user) || "root",
    texts: {},
    amounts: {},
    metadata: given.metadata ?? {},
    problems: [],
    notes: [...notes],
  };
  const problem = (fault: string | null) => fault && row.problems.push(fault);
  problem(host ? prefixed("Host", hostFault(host)) : "No host.");
  problem(row.port === null ? `Port ${shown(given.port)} is not one from 1 to 65535.` : null);
  problem(prefixed("User", userFault(row.user)));
  if (row.name) problem(prefixed("Name", nameFault(row.name)));
  for (const field of TEXTS) {
    const text = clean(given[field]);
    if (text.length > LONGEST) problem(`${field}: at most ${LONGEST} characters.`);
    else if (text) row.texts[field] = text;
  }
  for (const field of Object.keys(AMOUNTS) as AmountField[]) {
    const text = clean(given[field]);
    if (!text) continue;
    const amount = amountOf(field, text);
    if (amount === null) problem(`${field}: ${shown(text)} is not a number that can be.`);
    else row.amounts[field] = amount;
  }
  return row;
}

/** Says at each row whose name was taken by one before it. */
export function markDuplicates(rows: Row[]): Row[] {
  const first = new Map<string, string>();
  for (const row of rows) {
    if (!row.name) continue;
    const before = first.get(row.name);
    if (before === undefined) first.set(row.name, row.place);
    else row.problems.push(`The name ${shown(row.name)} is taken by ${before}.`);
  }
  return rows;
}

/** Refuses what would hold up the page. */
export function refuseTooMany(count: number): void {
  if (count > MOST_ROWS)
    throw new ImportRefused(
      `This has more than ${MOST_ROWS.toLocaleString("en")} rows; so many are not read at once.`,
    );
}

/** A host may hold the whole address: `root@gpu.example:2222`. What has a field of its own wins. */
function takeApart(told: Told): Told {
  const read = readAddress(clean(told.host));
  if (read === null) return told;
  return {
    ...told,
    host: read.ssh_host,
    port: clean(told.port) || (read.ssh_port === undefined ? undefined : String(read.ssh_port)),
    user: clean(told.user) || read.ssh_user,
  };
}

function portOf(text: string | undefined): number | null {
  const told = clean(text);
  if (!told) return 22;
  return /^\d+$/.test(told) && portFault(told) === null ? Number(told) : null;
}

function amountOf(field: AmountField, text: string): number | null {
  const { most, least, whole } = AMOUNTS[field];
  // `$1,200.50/h` and `512 GB` are how people write them.
  const [, digits] =
    /^\$?\s*(\d[\d,]*(?:\.\d+)?)\s*(?:gi?b|\$|usd|(?:usd|\$)?\s*(?:\/|per )?\s*h(?:ou)?r?)?$/i.exec(
      text,
    ) ?? [];
  const amount = Number(digits?.replaceAll(",", ""));
  const fits = amount >= least && amount <= most && (!whole || Number.isInteger(amount));
  return fits ? amount : null;
}

function clean(text: string | undefined): string {
  return (text ?? "").trim();
}

function prefixed(name: string, fault: string | null): string | null {
  return fault && `${name}: ${fault}`;
}

const LONGEST_SHOWN = 40;

function shown(text: string | undefined): string {
  const told = clean(text);
  return `“${shortened(told, LONGEST_SHOWN)}”`;
}
