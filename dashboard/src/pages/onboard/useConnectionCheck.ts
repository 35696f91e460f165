import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, ProblemError, type Shapes, take } from "../../api/client";
import type { CheckRequest } from "./form";

export type Check = Shapes["CheckShape"];

const POLL_MS = 300;

interface Asked {
  id: string;
  /** The request it was asked with. In memory only: it may hold a private key. */
  of: string;
}

export interface ConnectionCheck {
  start: () => void;
  check: Check | undefined;
  /** A check that is asked for, waits or is under way. */
  running: boolean;
  /** What was checked is no longer what the form says. */
  stale: boolean;
  /** The id of a check that passed for exactly this request. */
  passedId: string | null;
  error: unknown;
}

/** A look at the machine before anything is saved. A worker does it, and its steps are shown as they end. */
export function useConnectionCheck(request: CheckRequest): ConnectionCheck {
  const [asked, setAsked] = useState<Asked | null>(null);
  const now = JSON.stringify(request);
  const starting = useMutation({
    mutationFn: (body: CheckRequest) => take(api.POST("/v1/connection-checks", { body })),
    onMutate: () => setAsked(null),
    // Of what was sent: the form may be another by now.
    onSuccess: (check, body) => setAsked({ id: check.id, of: JSON.stringify(body) }),
    gcTime: 0,
  });
  const polled = useQuery({
    queryKey: ["connection-check", asked?.id],
    queryFn: () =>
      take(
        api.GET("/v1/connection-checks/{check_id}", {
          params: { path: { check_id: asked?.id ?? "" } },
        }),
      ),
    enabled: asked !== null,
    refetchInterval: ({ state }) =>
      state.data?.finished_at || isRefused(state.error) ? false : POLL_MS,
  });
  const check = asked ? (polled.data ?? undefined) : undefined;
  const stale = asked !== null && asked.of !== now;
  const waiting = asked !== null && !check?.finished_at && !isRefused(polled.error);
  return {
    start: () => starting.mutate(request),
    check,
    running: starting.isPending || waiting,
    stale,
    passedId: check?.state === "passed" && !stale ? check.id : null,
    error: starting.error ?? (check?.finished_at ? null : polled.error),
  };
}

function isRefused(error: unknown): boolean {
  return error instanceof ProblemError && error.status >= 400;
}
