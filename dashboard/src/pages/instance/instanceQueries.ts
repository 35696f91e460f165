import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, ProblemError, type Shapes, take } from "../../api/client";
import type { paths } from "../../api/schema";

export type Instance = Shapes["DetailedInstance"];
export type Run = Shapes["RunShape"];
export type Schedule = Shapes["ScheduleShape"];
export type Options = Shapes["Options"];
export type PastResult = Shapes["PastResult"];
export type AuditEntry =
  paths["/v1/audit"]["get"]["responses"][200]["content"]["application/json"]["items"][number];

const LIST = 30;
/** As many as the API gives at once: years of a machine that is tested twice a day. */
export const MOST_HISTORY = 2000;

export const instanceQuery = (id: string) =>
  queryOptions({
    queryKey: ["instance", id],
    queryFn: () =>
      take(api.GET("/v1/instances/{instance_id}", { params: { path: { instance_id: id } } })),
  });

export const runsQuery = (id: string) =>
  infiniteQueryOptions({
    queryKey: ["instance", id, "runs"],
    queryFn: ({ pageParam }) =>
      take(
        api.GET("/v1/runs", {
          params: { query: { instance_id: id, limit: LIST, cursor: pageParam } },
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const historyQuery = (id: string) =>
  queryOptions({
    queryKey: ["instance", id, "history"],
    queryFn: () =>
      take(
        api.GET("/v1/instances/{instance_id}/history", {
          params: { path: { instance_id: id }, query: { limit: MOST_HISTORY } },
        }),
      ),
  });

/** Null where there is none: that is no error here. */
export const scheduleQuery = (id: string) =>
  queryOptions({
    queryKey: ["instance", id, "schedule"],
    queryFn: async (): Promise<Schedule | null> => {
      try {
        return await take(
          api.GET("/v1/instances/{instance_id}/schedule", {
            params: { path: { instance_id: id } },
          }),
        );
      } catch (error) {
        if (error instanceof ProblemError && error.status === 404) return null;
        throw error;
      }
    },
  });

export const auditQuery = (id: string) =>
  infiniteQueryOptions({
    queryKey: ["instance", id, "audit"],
    queryFn: ({ pageParam }) =>
      take(
        api.GET("/v1/audit", {
          params: { query: { instance_id: id, limit: LIST, cursor: pageParam } },
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
