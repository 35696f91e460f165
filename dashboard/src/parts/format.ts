/** Numbers as people read them: units, thousands separators, no more digits than they carry. */

const NUMBERS = [0, 1, 2, 3].map(
  (digits) => new Intl.NumberFormat("en", { maximumFractionDigits: digits }),
);

/** With as many digits as asked for: 13.0 beside 13.1. */
const EXACT_DIGITS = [0, 1, 2].map(
  (digits) =>
    new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
);

export const UNKNOWN = "–";

type Maybe = number | null | undefined;

export function number(value: Maybe, digits = 0): string {
  return value === null || value === undefined ? UNKNOWN : (NUMBERS[digits]?.format(value) ?? "");
}

/** Three to four significant digits: 9.42, 94.2, 942, 9,421. */
export function significant(value: Maybe): string {
  if (value === null || value === undefined) return UNKNOWN;
  const size = Math.abs(value);
  return EXACT_DIGITS[size < 10 ? 2 : size < 100 ? 1 : 0]?.format(value) ?? "";
}

function withUnit(value: Maybe, unit: string, show: (value: number) => string): string {
  return value === null || value === undefined ? UNKNOWN : `${show(value)} ${unit}`;
}

export const imagesPerSecond = (value: Maybe) => withUnit(value, "img/s", significant);
export const miles = (value: Maybe) => withUnit(value, "cmi/h", (v) => number(v));
export const watts = (value: Maybe) => withUnit(value, "W", significant);
export const celsius = (value: Maybe) => withUnit(value, "°C", (v) => number(v));
export const milliseconds = (value: Maybe) => withUnit(value, "ms", significant);
export const gibibytes = (value: Maybe) => withUnit(value, "GiB", (v) => number(v, 1));
export const megahertz = (value: Maybe) => withUnit(value, "MHz", (v) => number(v));
export const percent = (value: Maybe, digits = 1) =>
  value === null || value === undefined ? UNKNOWN : `${number(value, digits)}%`;
const CENTS = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
export const dollarsPerHour = (value: Maybe) =>
  value === null || value === undefined ? UNKNOWN : `$${CENTS.format(value)}/h`;

const COMPACT = new Intl.NumberFormat("en", {
  notation: "compact",
  minimumSignificantDigits: 3,
  maximumSignificantDigits: 3,
});

/** Three digits where there is no room for more: 13.3M; the whole figure stands in a title. */
export const compact = (value: Maybe) =>
  value === null || value === undefined ? UNKNOWN : COMPACT.format(value);

/** Images that a dollar buys: 2.79M img/$. */
export const imagesPerDollar = (value: Maybe) => withUnit(value, "img/$", (v) => COMPACT.format(v));

/** Seconds as `0.4 s`, `42 s`, `3 min 5 s`, `2 h 10 min`. */
export function duration(seconds: Maybe): string {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  if (seconds < 10) return `${number(seconds, 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const BRIEF = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** `3 minutes ago`, `in 2 hours`, `just now`; in brief `3m ago`, `in 2h`. */
export function relative(at: Date, now: Date, isBrief = false): string {
  const seconds = (at.getTime() - now.getTime()) / 1000;
  for (const [unit, size] of STEPS)
    if (Math.abs(seconds) >= size)
      return (isBrief ? BRIEF : RELATIVE).format(Math.round(seconds / size), unit);
  return seconds > 5 ? "in a moment" : "just now";
}

const EXACT = new Intl.DateTimeFormat("en-GB", {
  dateStyle: "medium",
  timeStyle: "long",
});

/** The time on the reader's own clock, to the second, with its zone. */
export function exact(at: Date): string {
  return EXACT.format(at);
}

/** `ssh_host` and port as one would type them. */
export function address(user: string, host: string, port: number): string {
  return `${user}@${host}${port === 22 ? "" : `:${port}`}`;
}

/** At most so many characters of a text, and `…` where some are missing; no letter is halved. */
export function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most).replace(/[\ud800-\udbff]$/, "")}…` : text;
}
