import { queryOptions, useQueries } from "@tanstack/react-query";
import { api, take } from "../../api/client";
import { instanceQuery } from "../instance/instanceQueries";
import { figuresQuery, type Result, runQuery } from "../run/runQueries";
import type { Side } from "./compare";
import type { Chosen } from "./compareSearch";

const latestQuery = (instanceId: string) =>
  queryOptions({
    queryKey: ["instance", instanceId, "latest"],
    queryFn: async (): Promise<Result | null> => {
      const query = { instance_id: instanceId, limit: 1 };
      const page = await take(api.GET("/v1/results", { params: { query } }));
      return page.items[0] ?? null;
    },
  });

export interface Column {
  chosen: Chosen;
  side: Side;
  loading: boolean;
  error: unknown;
}

/** What is compared, each column as soon as it is there. */
export function useSides(chosen: Chosen[]): Column[] {
  const runs = useQueries({
    queries: chosen.map(({ kind, id }) => ({ ...runQuery(id), enabled: kind === "run" })),
  });
  const latest = useQueries({
    queries: chosen.map(({ kind, id }) => ({ ...latestQuery(id), enabled: kind === "instance" })),
  });
  const instanceIds = chosen.map(({ kind, id }, index) =>
    kind === "instance" ? id : (runs[index]?.data?.instance_id ?? ""),
  );
  const instances = useQueries({
    queries: instanceIds.map((id) => ({ ...instanceQuery(id), enabled: id !== "" })),
  });
  const results = chosen.map((_, index) => runs[index]?.data?.result ?? latest[index]?.data);
  const figures = useQueries({
    queries: results.map((result) => ({
      ...figuresQuery(result?.run_id ?? ""),
      enabled: Boolean(result?.run_id),
    })),
  });
  return chosen.map((each, index) => {
    const run = each.kind === "run" ? runs[index] : undefined;
    const found = each.kind === "instance" ? latest[index] : undefined;
    const instance = instances[index];
    return {
      chosen: each,
      side: {
        key: `${each.kind} ${each.id}`,
        instance: instance?.data,
        run: run?.data,
        result: results[index] ?? undefined,
        figures: figures[index]?.data,
      },
      loading: Boolean(run?.isPending || found?.isPending),
      error: unread([run, found, instance, figures[index]]),
    };
  });
}

/** Why a column lacks something; what could only not be read again is there still. */
function unread(readings: ({ data: unknown; error: unknown } | undefined)[]): unknown {
  return readings.find((one) => one?.error && one.data === undefined)?.error ?? null;
}
