import { expect, test } from "vitest";
import { type Problem, ProblemError } from "../../api/client";
import { atFields } from "./refusal";

const FIELDS = ["instance_id", "ssh_host", "ssh_key", "metadata"];

function refused(code: string, detail: string, errors: Problem["errors"] = []): ProblemError {
  return new ProblemError(400, {
    ...{ type: "", title: detail, status: 400, remedy: "", code, detail, errors },
  });
}

test("what is pointed at is told at its field, by the one that it is in", () => {
  const error = refused("invalid_input", "x", [
    { pointer: "ssh_host", message: "required" },
    { pointer: "metadata.a", message: "too long" },
    { pointer: "other", message: "no" },
  ]);
  expect(atFields(error, FIELDS)).toEqual({ ssh_host: "required", metadata: "too long" });
});

test("a code that is about one field is told there, any other at none", () => {
  const taken = refused("already_onboarded", "It is onboarded already.");
  expect(atFields(taken, FIELDS)).toEqual({ instance_id: "It is onboarded already." });
  expect(atFields(taken, ["ssh_host"])).toEqual({});
  expect(atFields(refused("not_found", "No connection check."), FIELDS)).toEqual({});
});
