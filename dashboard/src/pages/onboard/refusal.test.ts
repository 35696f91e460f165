import { expect, test } from "vitest";
import { type Problem, ProblemError } from "../../api/client";
import { atFields } from "./refusal";

const FIELDS = ["instance_id", "ssh_host", "ssh_key", "metadata"];

function refused(code: string, detail: string, errors: Problem["errors"] = []): ProblemError {
  return new ProblemError(400, {
    ...{ type: "", title: detail, status: 400, remedy: "", code, detail, errors },
  });
}

test("the old endpoint's sentence is told at the fields that it names", () => {
  const error = refused(
    "invalid_input",
    "The input is not valid. ssh_host: String should match pattern '^[A-Z]; x+$'; metadata.a: too long; other: no",
  );
  const told = atFields(error, FIELDS);
  expect(told.ssh_host).toMatch(/^String should match/);
  expect(told.metadata).toBe("too long");
  expect(Object.keys(told).sort()).toEqual(["metadata", "ssh_host"]);
});

test("pointers of a problem are its fields", () => {
  const error = refused("invalid_input", "x", [{ pointer: "ssh_host", message: "required" }]);
  expect(atFields(error, FIELDS)).toEqual({ ssh_host: "required" });
});

test("a code that is about one field is told there, any other at none", () => {
  const taken = refused("already_onboarded", "It is onboarded already.");
  expect(atFields(taken, FIELDS)).toEqual({ instance_id: "It is onboarded already." });
  expect(atFields(taken, ["ssh_host"])).toEqual({});
  expect(atFields(refused("not_found", "No connection check."), FIELDS)).toEqual({});
});
