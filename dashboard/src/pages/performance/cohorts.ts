import type { Overview } from "../../api/fleet";
import { conditionsOf } from "../../parts/conditions";
import { quantile } from "../../parts/statistics";
import { imagesForADollar } from "../../parts/value";

export type Figures = NonNullable<Overview["latest"]>;

/** An instance with its newest result. */
export interface Machine {
  row: Overview;
  latest: Figures;
  gpu: string;
}

/** Machines that may be compared: one GPU model, one configuration. */
export interface Cohort {
  gpu: string;
  hash: string | null;
  /** `quick, amp-bf16, batch 32, 224 px` */
  conditions: string;
  /** The slowest first. */
  machines: Machine[];
  /** Null for fewer than `LEAST`: two machines don't say which of them is slow. */
  median: number | null;
}

export interface Slow {
  machine: Machine;
  median: number;
  /** Share of the median that is missing; below zero for the faster half. */
  deficit: number;
}

export const LEAST = 3;
export const UNKNOWN_GPU = "Unknown GPU";

export function measured(rows: Overview[]): Machine[] {
  return rows.flatMap((row) =>
    row.latest
      ? [
          {
            row,
            latest: row.latest,
            gpu: row.latest.measured_gpu_name ?? row.gpu_name ?? UNKNOWN_GPU,
          },
        ]
      : [],
  );
}

export function speed(machine: Machine): number {
  return machine.latest.throughput_images_per_sec;
}

/** The largest first; what did not tell its configuration may be compared with nothing, and stands alone. */
export function cohorts(machines: Machine[]): Cohort[] {
  const found = new Map<string, Machine[]>();
  for (const machine of machines) {
    const hash = machine.latest.configuration_hash;
    const key = JSON.stringify([machine.gpu, hash ?? `of ${machine.row.id}`]);
    const known = found.get(key);
    if (known) known.push(machine);
    else found.set(key, [machine]);
  }
  return [...found.values()]
    .map(cohortOf)
    .sort((a, b) => b.machines.length - a.machines.length || a.gpu.localeCompare(b.gpu));
}

function cohortOf(machines: Machine[]): Cohort {
  const sorted = [...machines].sort((a, b) => speed(a) - speed(b));
  const first = sorted[0];
  return {
    gpu: first?.gpu ?? UNKNOWN_GPU,
    hash: first?.latest.configuration_hash ?? null,
    conditions: first ? conditionsOf(first.latest) : "",
    machines: sorted,
    median: sorted.length < LEAST ? null : quantile(sorted.map(speed), 0.5),
  };
}

/** Against the median of the cohort, the furthest below first; cohorts without a median are left out. */
export function slowest(found: Cohort[]): Slow[] {
  return found
    .flatMap(({ median: middle, machines }) =>
      middle === null || middle <= 0
        ? []
        : machines.map((machine) => ({
            machine,
            median: middle,
            deficit: 1 - speed(machine) / middle,
          })),
    )
    .sort((a, b) => b.deficit - a.deficit);
}

/** Of the one GPU that was measured. Null where the power was not measured. */
export function imagesPerJoule({ latest }: Machine): number | null {
  const watts = latest.power_draw_watts;
  return watts === null || watts <= 0 ? null : latest.throughput_images_per_sec / watts;
}

export function imagesPerDollar({ row, latest }: Machine): number | null {
  return imagesForADollar(latest.throughput_images_per_sec, row.gpu_count, row.price_per_hour);
}

export interface Ranked {
  ranked: { machine: Machine; value: number }[];
  /** How many did not tell what the figure needs. */
  leftOut: number;
}

/** The best first. */
export function rank(machines: Machine[], figure: (machine: Machine) => number | null): Ranked {
  const ranked = machines
    .flatMap((machine) => {
      const value = figure(machine);
      return value === null ? [] : [{ machine, value }];
    })
    .sort((a, b) => b.value - a.value);
  return { ranked, leftOut: machines.length - ranked.length };
}

/** Share of the tests of 30 days that reached the machine; null without a test. */
export function uptimeOf(row: Overview): number | null {
  return row.tests_30d > 0 ? 1 - row.unreachable_30d / row.tests_30d : null;
}

export interface Totals {
  instances: number;
  active: number;
  activeGpus: number;
  gpus: number;
  milesPerHour: number;
  /** Active ones whose result tells no score. */
  withoutMiles: number;
  tests: number;
  unreachable: number;
  uptime: number | null;
}

export function totals(rows: Overview[]): Totals {
  const active = rows.filter((row) => row.status === "active");
  // A score is of the GPU that was measured, and an instance has more of them.
  const miles = active.map((row) => {
    const one = row.latest?.compute_miles_per_hour ?? null;
    return one === null ? null : one * Math.max(1, row.gpu_count ?? 1);
  });
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  const tests = sum(rows.map((row) => row.tests_30d));
  const unreachable = sum(rows.map((row) => row.unreachable_30d));
  return {
    instances: rows.length,
    active: active.length,
    activeGpus: sum(active.map((row) => row.gpu_count ?? 0)),
    gpus: sum(rows.map((row) => row.gpu_count ?? 0)),
    milesPerHour: sum(miles.map((value) => value ?? 0)),
    withoutMiles: miles.filter((value) => value === null).length,
    tests,
    unreachable,
    uptime: tests > 0 ? 1 - unreachable / tests : null,
  };
}
