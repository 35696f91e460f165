import { Skeleton } from "@mantine/core";
import { lazy, Suspense } from "react";
import type { ChartProps } from "./EChart";

const EChart = lazy(() => import("./EChart").then((module) => ({ default: module.EChart })));

/** A chart, fetched when the first is shown: pages without one don't pay for it. */
export function Chart(props: ChartProps) {
  return (
    <Suspense fallback={<Skeleton h={props.height} />}>
      <EChart {...props} />
    </Suspense>
  );
}
