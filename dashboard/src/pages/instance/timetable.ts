import type { ProblemError, Shapes } from "../../api/client";
import type { Schedule } from "./instanceQueries";
import { DEFAULT_OPTIONS } from "./options";

export type Kind = "hours" | "cron";

/** The schedule as the form has it; of hours and cron line the one counts that `kind` names. */
export interface Draft {
  kind: Kind;
  everyHours: number | "";
  cron: string;
  timezone: string;
  jitterSeconds: number | "";
  misfire: Schedule["misfire"];
  enabled: boolean;
  options: Shapes["Options"];
}

export function newDraft(timezone: string): Draft {
  return {
    kind: "hours",
    everyHours: 24,
    cron: "0 3 * * *",
    timezone,
    jitterSeconds: 0,
    misfire: "run_once",
    enabled: true,
    options: DEFAULT_OPTIONS,
  };
}

export function draftOf(schedule: Schedule, timezone: string): Draft {
  return {
    ...newDraft(timezone),
    kind: schedule.cron === null ? "hours" : "cron",
    everyHours: schedule.every_hours ?? 24,
    cron: schedule.cron ?? "0 3 * * *",
    // Hours are counted from the last due time, so a zone says nothing there.
    timezone: schedule.cron === null ? timezone : schedule.timezone,
    jitterSeconds: schedule.jitter_seconds,
    misfire: schedule.misfire,
    enabled: schedule.enabled,
    options: schedule.options,
  };
}

export function timetableOf(draft: Draft) {
  const when =
    draft.kind === "cron"
      ? { cron: draft.cron.trim(), timezone: draft.timezone }
      : { every_hours: draft.everyHours === "" ? null : draft.everyHours, timezone: "UTC" };
  return { ...when, jitter_seconds: draft.jitterSeconds === "" ? 0 : draft.jitterSeconds };
}

export type Field = "every_hours" | "cron" | "timezone" | "jitter_seconds";
const FIELDS: Field[] = ["every_hours", "cron", "timezone", "jitter_seconds"];
const WORDS: [Field, string][] = [
  ["jitter_seconds", "jitter_seconds is"],
  ["timezone", "There is no time zone"],
  ["every_hours", "every_hours is"],
  ["cron", "cron line"],
];

/** The field that a refusal is about; most rules on timetables name theirs only in the sentence. */
export function refusedAt(error: ProblemError | undefined): Partial<Record<Field, string>> {
  if (error === undefined) return {};
  const named = FIELDS.flatMap((field) => {
    const message = error.at(field);
    return message ? [[field, message] as const] : [];
  });
  if (named.length > 0) return Object.fromEntries(named);
  const field = WORDS.find(([, words]) => error.problem.detail.includes(words))?.[0];
  const sentence = error.problem.detail.replace(error.problem.title, "").trim();
  return field ? { [field]: sentence || error.problem.detail } : {};
}

/** `Wed, 25 Nov 2026, 03:00 CET`, on the clock of that zone. */
export function inZone(at: string, timezone: string): string {
  return new Intl.DateTimeFormat("en-GB", {
    weekday: "short",
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    timeZone: timezone,
    timeZoneName: "short",
  }).format(new Date(at));
}

export const LOCAL_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** UTC first: the browser's list leaves it out, and schedules made by hand have it. */
export function zones(...further: string[]): string[] {
  return [...new Set(["UTC", ...further, ...Intl.supportedValuesOf("timeZone")])];
}
