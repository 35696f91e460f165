import {
  createColumnHelper,
  rowSelectionFeature,
  rowSortingFeature,
  tableFeatures,
} from "@tanstack/react-table";
import type { Overview } from "../../api/fleet";
import {
  GpuCell,
  MilesCell,
  NameCell,
  NextCell,
  StatusCell,
  ThroughputCell,
  TrendCell,
  VerdictCell,
} from "./cells";
import { RowActions } from "./RowActions";

/** Rows come filtered and sorted: rows.ts does both in one pass each, which the address and the cards share. */
export const features = tableFeatures({ rowSelectionFeature, rowSortingFeature });

const helper = createColumnHelper<typeof features, Overview>();

/** Ids of sortable columns are the sort keys of the address. */
export const columns = helper.columns([
  helper.display({ id: "select", header: "Select", cell: () => null }),
  helper.accessor("name", {
    header: "Instance",
    sortDescFirst: false,
    cell: ({ row }) => <NameCell instance={row.original} />,
  }),
  helper.accessor("gpu_name", {
    id: "gpu",
    header: "GPU",
    sortDescFirst: false,
    cell: ({ row }) => <GpuCell instance={row.original} />,
  }),
  helper.accessor("status", {
    header: "Status",
    sortDescFirst: false,
    cell: ({ row }) => <StatusCell instance={row.original} />,
  }),
  helper.accessor((row) => row.latest?.throughput_images_per_sec, {
    id: "throughput",
    header: "Images/s",
    sortDescFirst: true,
    cell: ({ row }) => <ThroughputCell instance={row.original} />,
  }),
  helper.accessor((row) => row.latest?.compute_miles_per_hour, {
    id: "miles",
    header: "Compute miles/h",
    sortDescFirst: true,
    cell: ({ row }) => <MilesCell instance={row.original} />,
  }),
  helper.display({
    id: "trend",
    header: "Trend",
    cell: ({ row }) => <TrendCell values={row.original.trend} />,
  }),
  helper.accessor((row) => row.latest?.verdict, {
    id: "verdict",
    header: "Verdict",
    sortDescFirst: false,
    cell: ({ row }) => <VerdictCell instance={row.original} />,
  }),
  helper.accessor("next_fire_at", {
    id: "next",
    header: "Next test",
    sortDescFirst: false,
    cell: ({ row }) => <NextCell instance={row.original} />,
  }),
  helper.display({
    id: "actions",
    header: "Actions",
    cell: ({ row }) => <RowActions instance={row.original} />,
  }),
]);

/** Columns without a width share what is left. */
export const WIDTHS: Record<string, number | string | undefined> = {
  select: 36,
  status: "15%",
  throughput: 84,
  miles: 84,
  trend: 88,
  verdict: 108,
  next: 88,
  actions: 104,
};

/** Columns of figures, which stand to the right. */
export const FIGURES = new Set(["throughput", "miles"]);

export const TITLES: Record<string, string | undefined> = {
  throughput: "Images a second of the latest result, with half its 95% interval",
  miles: "Compute miles per hour of the latest result",
  trend: "Images/s of the last 12 results",
  verdict: "Verdict on the latest result that has a throughput",
};
