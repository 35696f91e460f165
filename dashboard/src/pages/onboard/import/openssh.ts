import { matches } from "./pattern";
import { ImportRefused, markDuplicates, type Read, type Row, refuseTooMany, toRow } from "./row";

/** A `Host` block: its patterns, and the settings below it that we read, by lower-case name. */
interface Block {
  patterns: string[];
  line: number;
  settings: Map<string, string>;
}

/** What we read of a block. OpenSSH takes the first value that it meets, and so do we. */
const READ = new Set(["hostname", "port", "user", "proxyjump", "proxycommand"]);

/**
 * An OpenSSH client configuration: each alias that is no pattern is a machine, with the defaults that blocks such
 * as `Host *` give it. Only the text is read: nothing is included, matched or executed.
 */
export async function readOpenssh(text: string): Promise<Read> {
  const { parse, LineType } = await import("ssh-config");
  let lines: ReturnType<typeof parse>;
  try {
    lines = parse(text);
  } catch (error) {
    throw new ImportRefused(`This can't be read as an OpenSSH configuration: ${reasonOf(error)}`);
  }
  const blocks: Block[] = [];
  const notes: string[] = [];
  const everywhere: Block = { patterns: ["*"], line: 1, settings: new Map() };
  let line = 1;
  for (const entry of lines) {
    const at = line + breaksIn(entry.before);
    line = at + breaksIn(entry.after);
    if (entry.type !== LineType.DIRECTIVE) continue;
    const param = entry.param.toLowerCase();
    if ("config" in entry) {
      const settings = new Map<string, string>();
      for (const inner of entry.config) {
        line += breaksIn(inner.before) + breaksIn(inner.after);
        if (inner.type === LineType.DIRECTIVE) keep(settings, inner.param, inner.value);
      }
      if (param === "host") blocks.push({ patterns: words(entry.value), line: at, settings });
      else notes.push(`Line ${at}: Match blocks are not followed.`);
    } else if (param === "include")
      notes.push(`Line ${at}: Include is not followed; paste that file, too.`);
    else keep(everywhere.settings, entry.param, entry.value);
  }
  const read = rowsOf([everywhere, ...blocks]);
  return { rows: markDuplicates(read.rows), notes: [...notes, ...read.notes] };
}

function rowsOf(blocks: Block[]): Read {
  const rows: Row[] = [];
  const skipped: string[] = [];
  const seen = new Set<string>();
  const aliases = blocks
    .slice(1)
    .flatMap(({ patterns, line }) => patterns.map((alias) => ({ alias, line })));
  refuseTooMany(aliases.filter(({ alias }) => !isPattern(alias)).length);
  const general = blocks.filter(({ patterns }) => patterns.some(isPattern));
  const told = aliases.map(({ alias }) => alias);
  if (lengthOf(general.flatMap(({ patterns }) => patterns)) * lengthOf(told) > MOST_COMPARED)
    throw new ImportRefused("This has too many Host patterns to be read at once; split it.");
  const own = ownBlocks(blocks);
  for (const { alias, line } of aliases) {
    if (isPattern(alias)) {
      if (!alias.startsWith("!")) skipped.push(alias);
      continue;
    }
    if (seen.has(alias)) continue; // a second block of an alias only adds to the first
    seen.add(alias);
    rows.push(toMachine(alias, line, settingsFor(alias, general, own.get(alias) ?? [])));
  }
  return { rows, notes: skipped.length > 0 ? [skippedNote(skipped)] : [] };
}

/** Characters of patterns times characters of names: about a second. */
const MOST_COMPARED = 200_000_000;
const MOST_NAMED = 8;

function skippedNote(skipped: string[]): string {
  const named = skipped.slice(0, MOST_NAMED).map((pattern) => pattern.slice(0, 40));
  const more = skipped.length > MOST_NAMED ? " and others" : "";
  return `Patterns name no machine and are skipped; what they set counts for those they match: ${named.join(", ")}${more}.`;
}

function ownBlocks(blocks: Block[]): Map<string, Block[]> {
  const own = new Map<string, Block[]>();
  for (const block of blocks) {
    if (block.patterns.some(isPattern)) continue;
    for (const alias of block.patterns) {
      const known = own.get(alias);
      if (known) known.push(block);
      else own.set(alias, [block]);
    }
  }
  return own;
}

/** In the order of the file, the first value of a setting counts. */
function settingsFor(alias: string, general: Block[], own: Block[]): Map<string, string> {
  const found = new Map<string, string>();
  const applying = [...general.filter(({ patterns }) => applies(patterns, alias)), ...own];
  applying.sort((one, other) => one.line - other.line);
  for (const { settings } of applying)
    for (const [name, value] of settings) if (!found.has(name)) found.set(name, value);
  return found;
}

function toMachine(alias: string, line: number, settings: Map<string, string>): Row {
  const host = (settings.get("hostname") ?? "%h").replaceAll("%h", alias);
  const row = toRow(`line ${line}`, {
    name: alias,
    host,
    port: settings.get("port"),
    user: settings.get("user"),
  });
  const jump = settings.get("proxyjump") ?? settings.get("proxycommand");
  if (jump && jump.toLowerCase() !== "none")
    row.problems.push(
      "It is reached through another machine (ProxyJump or ProxyCommand); we connect directly only.",
    );
  return row;
}

/** A negated pattern that matches rules the whole block out. */
function applies(patterns: string[], alias: string): boolean {
  let found = false;
  for (const pattern of patterns) {
    const negated = pattern.startsWith("!");
    if (!matches(negated ? pattern.slice(1) : pattern, alias)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

function isPattern(text: string): boolean {
  return /[*?!]/.test(text);
}

type Value = string | { val: string }[];

function keep(settings: Map<string, string>, param: string, value: Value): void {
  const name = param.toLowerCase();
  if (READ.has(name) && !settings.has(name)) settings.set(name, words(value).join(" "));
}

function words(value: Value): string[] {
  const found = typeof value === "string" ? [value] : value.map(({ val }) => val);
  return found.filter((word) => word !== "");
}

function breaksIn(text: string): number {
  return text.split("\n").length - 1;
}

function lengthOf(texts: string[]): number {
  return texts.reduce((sum, text) => sum + text.length, 0);
}

/** The library has sentences for two faults; it stumbles over the others. */
function reasonOf(error: unknown): string {
  const told = error instanceof Error ? error.message : "";
  if (told.startsWith("Unexpected line break")) return "a quotation mark is not closed.";
  return told.startsWith("Missing value") ? `${told.slice(0, 100)}.` : "a setting has no value.";
}
