import type { ChartOption } from "../../parts/EChart";
import { imagesPerSecond, percent } from "../../parts/format";
import type { Palette } from "../../parts/palette";
import { quantile } from "../../parts/statistics";
import { type Cohort, type Machine, speed } from "./cohorts";

const LINE = 64;
const AXIS = 44;
/** A box of fewer would show quarters that are one machine each. */
const LEAST_FOR_BOX = 5;
const SPREAD = 14;

/** Narrow screens have no room beside the lines: labels stand above them, each with a share of its line's height. */
const LABEL = 34;
const isNarrow = () => typeof window !== "undefined" && window.innerWidth <= 700;

export const heightOf = (found: Cohort[]) =>
  AXIS + (LINE + (isNarrow() ? LABEL : 0)) * Math.max(1, found.length);

export const labelOf = (cohort: Cohort) =>
  `${cohort.gpu}\n${cohort.conditions}${cohort.hash ? ` · ${cohort.hash.slice(0, 8)}` : ""}`;

export function distributionOption(found: Cohort[], palette: Palette): ChartOption {
  const color = palette.series[0] ?? palette.ink;
  const narrow = isNarrow();
  return {
    grid: { left: 8, right: narrow ? 16 : 24, top: 8, bottom: 8, containLabel: true },
    tooltip: { trigger: "item" },
    xAxis: {
      type: "value",
      scale: true,
      splitNumber: narrow ? 3 : 6,
      axisLabel: { color: palette.ink, hideOverlap: true },
      splitLine: { lineStyle: { color: palette.line } },
    },
    yAxis: {
      type: "category",
      inverse: true,
      data: found.map((_, index) => index),
      axisLabel: {
        color: palette.ink,
        width: narrow ? 300 : 240,
        lineHeight: 15,
        ...(narrow && ABOVE),
        overflow: "truncate",
        formatter: (index: string) => {
          const cohort = found[Number(index)];
          return cohort ? labelOf(cohort) : "";
        },
      },
      axisTick: { show: false },
      axisLine: { lineStyle: { color: palette.line } },
    },
    series: [
      {
        type: "boxplot",
        silent: true,
        tooltip: { show: false },
        boxWidth: [20, 34],
        itemStyle: { color: "transparent", borderColor: palette.ink, opacity: 0.55 },
        data: found.map((cohort) => box(cohort) ?? []),
      },
      {
        type: "scatter",
        symbolSize: 9,
        cursor: "pointer",
        data: found.flatMap((cohort, index) =>
          cohort.machines.map((machine, place) => ({
            value: [speed(machine), index],
            run: machine.latest.run_id,
            symbolOffset: [0, offsetOf(place, cohort.machines.length)],
            itemStyle:
              machine.latest.verdict === "passed"
                ? { color, opacity: 0.75 }
                : { color: "transparent", borderColor: color, borderWidth: 2 },
          })),
        ),
        tooltip: {
          formatter: ({ dataIndex }: { dataIndex: number }) => tooltipAt(found, dataIndex),
        },
      },
    ],
  };
}

/** Its own place is the middle of the line; the padding lifts it over the points. */
const ABOVE = { inside: true, align: "left", verticalAlign: "bottom", padding: [0, 0, 16, -4] };

/** Neighbours in speed stand above each other, so that each can be met. */
function offsetOf(place: number, count: number): number {
  if (count < 3) return 0;
  return ((place % 3) - 1) * SPREAD * 0.7;
}

function box(cohort: Cohort): number[] | undefined {
  const speeds = cohort.machines.map(speed);
  if (speeds.length < LEAST_FOR_BOX) return undefined;
  return [0, 0.25, 0.5, 0.75, 1].map((share) => quantile(speeds, share));
}

/** Built of nodes: a name never becomes markup. */
function tooltipAt(found: Cohort[], place: number): HTMLElement {
  const box = document.createElement("div");
  let left = place;
  for (const cohort of found) {
    const machine = cohort.machines[left];
    if (machine) {
      for (const text of linesOf(machine, cohort.median)) {
        const line = document.createElement("div");
        line.textContent = text;
        box.append(line);
      }
      break;
    }
    left -= cohort.machines.length;
  }
  return box;
}

function linesOf(machine: Machine, middle: number | null): string[] {
  const against =
    middle === null ? [] : [`${percent((speed(machine) / middle) * 100)} of the cohort's median`];
  return [machine.row.name, imagesPerSecond(speed(machine)), machine.latest.verdict, ...against];
}
