import { expect, it } from "vitest";
import { type Problem, ProblemError } from "../../api/client";
import { inZone, newDraft, refusedAt, timetableOf } from "./timetable";

function refusal(detail: string, errors: Problem["errors"] = []): ProblemError {
  const title = "The request is not valid.";
  const rest = { type: "", title, status: 422, code: "invalid_input", remedy: "" };
  return new ProblemError(422, { ...rest, detail: `${title} ${detail}`, errors });
}

it("sends the one of hours and cron line that was chosen", () => {
  const draft = { ...newDraft("Europe/Berlin"), cron: " 0 3 * * 1 ", jitterSeconds: "" as const };
  expect(timetableOf({ ...draft, kind: "cron" })).toEqual({
    cron: "0 3 * * 1",
    timezone: "Europe/Berlin",
    jitter_seconds: 0,
  });
  expect(timetableOf(draft)).toMatchObject({ every_hours: 24, timezone: "UTC" });
});

it("puts a refusal at the field that it is about", () => {
  expect(refusedAt(refusal("The cron line 'x' does not have five fields."))).toEqual({
    cron: "The cron line 'x' does not have five fields.",
  });
  expect(refusedAt(refusal("There is no time zone 'Mars'; use a name."))).toHaveProperty(
    "timezone",
  );
  expect(refusedAt(refusal("every_hours is between 1 and 8760."))).toHaveProperty("every_hours");
  expect(
    refusedAt(refusal("jitter_seconds is at most the time between two due times.")),
  ).toHaveProperty("jitter_seconds");
  expect(refusedAt(refusal("x", [{ pointer: "jitter_seconds", message: "too big" }]))).toEqual({
    jitter_seconds: "too big",
  });
  expect(refusedAt(refusal("Something else."))).toEqual({});
});

it("tells a time on the clock of its zone", () => {
  expect(inZone("2026-07-01T01:00:00Z", "Europe/Berlin")).toMatch(/1 Jul 2026.* 03:00/);
});
