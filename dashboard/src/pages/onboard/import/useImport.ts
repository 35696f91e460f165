import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { asError, type ProblemError } from "../../../api/client";
import type { LoginForm } from "../form";
import { onboardOnce } from "../onboardOnce";
import { atOnce } from "./atOnce";
import { requestOf } from "./request";
import type { Row } from "./row";

const MOST_AT_ONCE = 4;

export type Outcome =
  | { state: "sending" }
  | { state: "onboarded"; instanceId: string }
  | { state: "failed"; error: ProblemError };

export interface Import {
  outcomes: ReadonlyMap<Row, Outcome>;
  running: boolean;
  /** Of this turn: how many were asked for, and how many of those have their outcome. */
  asked: number;
  done: number;
  /** The pasted key can't be used: that ends the turn, for it is the same for all. */
  loginError: string | null;
  run: (rows: readonly Row[]) => Promise<void>;
  stop: () => void;
  forget: () => void;
}

/** Onboards rows, some at a time; each keeps its outcome, and one that fails stops no other. */
export function useImport(login: LoginForm): Import {
  const queryClient = useQueryClient();
  const [outcomes, setOutcomes] = useState<ReadonlyMap<Row, Outcome>>(new Map());
  const [asked, setAsked] = useState(0);
  const [done, setDone] = useState(0);
  const [running, setRunning] = useState(false);
  const [loginError, setLoginError] = useState<string | null>(null);
  const stopped = useRef(false);
  useLeaveWarning(running);

  const note = (row: Row, outcome: Outcome) =>
    setOutcomes((before) => new Map(before).set(row, outcome));

  const onboard = async (row: Row) => {
    note(row, { state: "sending" });
    try {
      const answer = await onboardOnce(requestOf(row, login));
      note(row, { state: "onboarded", instanceId: answer.gpu_instance.id });
    } catch (thrown) {
      const error = asError(thrown);
      note(row, { state: "failed", error });
      if (error.code !== "credential_unusable" && error.status !== 401) return;
      stopped.current = true;
      if (error.code === "credential_unusable") setLoginError(error.problem.detail);
    } finally {
      setDone((before) => before + 1);
    }
  };

  const run = async (rows: readonly Row[]) => {
    stopped.current = false;
    setLoginError(null);
    setAsked(rows.length);
    setDone(0);
    setOutcomes((before) => without(before, rows));
    setRunning(true);
    await atOnce(rows, MOST_AT_ONCE, onboard, () => stopped.current);
    setRunning(false);
    await queryClient.invalidateQueries({ queryKey: ["instances"] });
    await queryClient.invalidateQueries({ queryKey: ["inventory"] });
  };

  return {
    ...{ outcomes, running, asked, done, loginError, run },
    stop: () => {
      stopped.current = true;
    },
    forget: () => {
      setOutcomes(new Map());
      setLoginError(null);
    },
  };
}

function without(outcomes: ReadonlyMap<Row, Outcome>, rows: readonly Row[]) {
  const left = new Map(outcomes);
  for (const row of rows) left.delete(row);
  return left;
}

/** Closing the tab would stop the rest; the browser asks first. */
function useLeaveWarning(running: boolean): void {
  useEffect(() => {
    if (!running) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [running]);
}
