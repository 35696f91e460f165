/*
 * What machines and strangers wrote, made safe to show and to hand out. The server does the same before it stores;
 * here it holds for every answer, whatever stored it. The rule is orchestrator/domain/sanitise.py's, and a test holds
 * the two against each other.
 */

/** ESC sequences vanish whole: CSI, OSC and its kin up to BEL or ST, those of two letters. */
const ESCAPES = new RegExp(
  "(?:\\x1b\\[|\\x9b)[0-?]*[ -/]*[@-~]" +
    "|(?:\\x1b[\\]PX^_]|[\\x90\\x98\\x9d-\\x9f])[^\\x07\\x1b\\x90\\x98\\x9c-\\x9f]*(?:\\x07|\\x1b\\\\|\\x9c)" +
    "|\\x1b[@-Z\\\\-_]?",
  "g",
);
/**
 * C0 but for tab and newline, DEL and C1, what turns the direction of text, separators that break a line, what is not
 * seen at all, halves of letters.
 */
const CONTROLS =
  "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb" +
  "\\ud800-\\udfff\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e01ef}]";
const EACH = new RegExp(CONTROLS, "gu");
const ANY = new RegExp(CONTROLS, "u");

/** All text in a value of JSON without control characters, names too; what holds none is given back as it is. */
export function printable<T>(value: T): T {
  return cleaned(value) as T;
}

/** The value of a JSON text, printable. */
export function readJson(text: string): unknown {
  return cleaned(JSON.parse(text));
}

function cleaned(value: unknown): unknown {
  if (typeof value === "string")
    return ANY.test(value) ? value.replace(ESCAPES, "").replace(EACH, "\ufffd") : value;
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) {
    const items = value.map(cleaned);
    return items.every((item, index) => item === value[index]) ? value : items;
  }
  let isSame = true;
  const entries = Object.entries(value).map(([name, inner]) => {
    const entry = [cleaned(name), cleaned(inner)] as [string, unknown];
    isSame &&= entry[0] === name && entry[1] === inner;
    return entry;
  });
  return isSame ? value : Object.fromEntries(entries);
}
