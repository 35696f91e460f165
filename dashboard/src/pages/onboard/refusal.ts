import type { ProblemError } from "../../api/client";

const FIELD_OF_CODE: Record<string, string> = {
  already_onboarded: "instance_id",
  credential_unusable: "ssh_key",
  address_forbidden: "ssh_host",
};

/** What was refused, by the field that it is about; empty where it is about none of these. */
export function atFields(error: ProblemError, fields: readonly string[]): Record<string, string> {
  const field = FIELD_OF_CODE[error.code];
  if (field && fields.includes(field)) return { [field]: error.problem.detail };
  const told = error.problem.errors?.map(fieldAndMessage) ?? [];
  return Object.fromEntries(told.filter(([name]) => fields.includes(name)));
}

/** Of what lies deeper, the field that it is in. */
function fieldAndMessage(error: Record<string, string>): [string, string] {
  return [(error.pointer ?? "").split(".")[0] ?? "", error.message ?? ""];
}
