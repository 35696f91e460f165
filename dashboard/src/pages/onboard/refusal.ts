import type { ProblemError } from "../../api/client";

const FIELD_OF_CODE: Record<string, string> = {
  already_onboarded: "instance_id",
  credential_unusable: "ssh_key",
  address_forbidden: "ssh_host",
};

/**
 * What was refused, by the field that it is about; empty where it is about none. `/functions/v1` answers as the
 * old system did, with the fields in its sentence: `… ssh_host: too long; ssh_port: not a number`.
 */
export function atFields(error: ProblemError, fields: readonly string[]): Record<string, string> {
  const field = FIELD_OF_CODE[error.code];
  if (field && fields.includes(field)) return { [field]: error.problem.detail };
  if (error.code !== "invalid_input") return {};
  const pointed = error.problem.errors ?? [];
  const told = pointed.length > 0 ? pointed.map(pair) : pairsIn(error.problem.detail, fields);
  return Object.fromEntries(told.filter(([name]) => fields.includes(name)));
}

function pair(error: Record<string, string>): [string, string] {
  return [(error.pointer ?? "").split(".")[0] ?? "", error.message ?? ""];
}

function pairsIn(detail: string, fields: readonly string[]): [string, string][] {
  const found: [string, string][] = [];
  for (const part of detail.split(/(?<=\.) |; /)) {
    const [, name, message] = /^([a-z_]+)(?:\.[\w.]+)?: (.+)$/.exec(part) ?? [];
    if (name && message && fields.includes(name)) found.push([name, message]);
  }
  return found;
}
