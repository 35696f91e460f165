import createClient from "openapi-fetch";
import { printable } from "./printable";
import type { components, paths } from "./schema";

export type Shapes = components["schemas"];
export type Problem = Shapes["Problem"];

/** Typed by the API's own OpenAPI document; the session is a cookie that scripts can't read. */
export const api = createClient<paths>({ baseUrl: "/", credentials: "same-origin" });

/** What the API refused, in its own words; `problem` is RFC 9457 with our code and remedy. */
export class ProblemError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
    /** From when on it may be tried again, as the server said: milliseconds since 1970. */
    readonly again?: number,
  ) {
    super(problem.detail);
  }

  get code(): string {
    return this.problem.code;
  }

  /** What is wrong with one field of a form, by its name in the request. */
  at(field: string): string | undefined {
    return this.problem.errors?.find((error) => error.pointer === field)?.message;
  }
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The data of an answer, printable. Throws `ProblemError` for every refusal, also where nothing of ours was reached. */
export async function take<T>(asked: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await asked;
  } catch {
    throw new ProblemError(0, UNREACHED);
  }
  if (answer.response.ok) return printable(answer.data as T);
  const { status, headers } = answer.response;
  throw new ProblemError(status, asProblem(printable(answer.error), status), againAt(headers));
}

/** A new key for `Idempotency-Key`: made once a form is filled, and sent with each try. */
export function newKey(): string {
  // Not randomUUID: browsers have that on https and loopback only.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function asError(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  return new ProblemError(0, { ...UNREACHED, detail: String(error) });
}

const UNREACHED: Problem = {
  type: "urn:harborx:problem:unreached",
  title: "The server was not reached.",
  status: 0,
  detail: "The server was not reached. The connection may be down, or the server restarting.",
  code: "unreached",
  remedy: "Check the connection; nothing was lost, try again.",
  errors: [],
};

function againAt(headers: Headers): number | undefined {
  const seconds = headers.get("Retry-After");
  return seconds === null ? undefined : Date.now() + 1000 * Number(seconds);
}

function asProblem(error: unknown, status: number): Problem {
  if (error !== null && typeof error === "object") {
    if ("code" in error && "remedy" in error) return error as Problem;
    if ("error" in error)
      return {
        ...UNREACHED,
        status,
        title: String(error.error),
        detail: String(error.error),
        code: "code" in error ? String(error.code) : "refused",
        remedy: "",
        errors: "errors" in error ? (error.errors as Problem["errors"]) : [],
      };
  }
  return {
    ...UNREACHED,
    status,
    title: "The server did not answer as it should.",
    detail: `The server did not answer as it should (status ${status}).`,
    code: "unexpected_answer",
    remedy: "Try again; if it stays, tell whoever runs this server.",
  };
}
