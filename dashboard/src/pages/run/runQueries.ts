import { queryOptions } from "@tanstack/react-query";
import { api, type Shapes, take } from "../../api/client";

export type Run = Shapes["RunShape"];
export type Result = Shapes["ResultShape"];
export type Figure = Shapes["FigureShape"];
export type Telemetry = Shapes["TelemetryShape"];

const path = (id: string) => ({ params: { path: { run_id: id } } });

/** All that is read of a run stands under its key: what ends it reads everything again. */
export const runQuery = (id: string) =>
  queryOptions({
    queryKey: ["run", id],
    queryFn: () => take(api.GET("/v1/runs/{run_id}", path(id))),
  });

export const phasesQuery = (id: string) =>
  queryOptions({
    queryKey: ["run", id, "phases"],
    queryFn: () => take(api.GET("/v1/runs/{run_id}/phases", path(id))),
  });

export const figuresQuery = (id: string) =>
  queryOptions({
    queryKey: ["run", id, "figures"],
    queryFn: () => take(api.GET("/v1/runs/{run_id}/figures", path(id))),
  });

export const telemetryQuery = (id: string) =>
  queryOptions({
    queryKey: ["run", id, "telemetry"],
    queryFn: () => take(api.GET("/v1/runs/{run_id}/telemetry", path(id))),
  });
