import type { ChartOption } from "../../parts/EChart";
import type { Palette } from "../../parts/palette";
import { reasonText } from "./sentence";
import { type Held, heldBack, type Measure, type Series, type Story, seriesOf } from "./story";

interface Named {
  name: string;
  unit: string;
}

export const NAMES: Record<Measure, Named> = {
  images_per_sec: { name: "Images per second", unit: "img/s" },
  power_watts: { name: "Power", unit: "W" },
  temperature_celsius: { name: "Temperature", unit: "°C" },
  sm_clock_mhz: { name: "SM clock", unit: "MHz" },
  utilization_percent: { name: "Utilization", unit: "%" },
};

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** The second sign of a GPU beside its colour, where more than the palette has are drawn. */
const DASHES = ["solid", "dashed", "dotted"] as const;

export function lineStyle(palette: Palette, gpu: number) {
  const count = palette.series.length;
  return {
    color: palette.series[gpu % count] ?? palette.ink,
    dash: DASHES[Math.floor(gpu / count) % DASHES.length] ?? "solid",
  };
}

/** Bands take their colours from the end of the palette, lines from its beginning. */
export function bandColor(palette: Palette, index: number): string {
  const count = palette.series.length;
  return palette.series[(count - 1 - (index % count) + count) % count] ?? palette.ink;
}

/** One measure over the benchmark's seconds, a line a GPU, with the stretches in which clocks were held back. */
export function chartOf(
  story: Story,
  measure: Measure,
  range: [number, number],
  palette: Palette,
): ChartOption {
  const { unit } = NAMES[measure];
  const lines = seriesOf(story, measure);
  const many = lines.length > 1;
  return {
    grid: { left: 8, right: 14, top: many ? 34 : 18, bottom: 4, containLabel: true },
    legend: {
      show: many,
      type: "scroll",
      top: 0,
      textStyle: { color: palette.ink },
      pageTextStyle: { color: palette.ink },
    },
    xAxis: {
      type: "value",
      min: range[0],
      max: range[1],
      axisLabel: { formatter: clock, color: palette.ink, hideOverlap: true },
      axisPointer: { label: { formatter: ({ value }: { value: number }) => clock(value) } },
      axisLine: { lineStyle: { color: palette.line } },
      splitLine: { show: false },
    },
    yAxis: {
      type: "value",
      scale: measure !== "utilization_percent",
      min: measure === "utilization_percent" ? 0 : undefined,
      max: measure === "utilization_percent" ? 100 : undefined,
      boundaryGap: [0, "12%"], // room for the names of bands
      splitNumber: 3,
      axisLabel: { formatter: (value: number) => NUMBER.format(value), color: palette.ink },
      splitLine: { lineStyle: { color: palette.line } },
    },
    tooltip: {
      trigger: "axis",
      confine: true,
      backgroundColor: palette.surface,
      borderColor: palette.line,
      textStyle: { color: palette.ink },
      valueFormatter: (value: unknown) =>
        typeof value === "number" ? `${NUMBER.format(value)} ${unit}` : "–",
    },
    axisPointer: { link: [{ xAxisIndex: "all" }] },
    // With Ctrl, so that the wheel scrolls the page.
    dataZoom: [{ type: "inside", zoomOnMouseWheel: "ctrl", filterMode: "none" }],
    series: [
      ...lines.map((one) => drawn(one, many, palette)),
      bands(
        heldBack(story),
        palette,
        measure === "utilization_percent" ? "insideBottom" : "insideTop",
      ),
    ],
  };
}

function drawn(one: Series, many: boolean, palette: Palette) {
  const { color, dash } = lineStyle(palette, one.gpu);
  return {
    id: `${one.measure} ${one.gpu}`,
    name: many ? `GPU ${one.gpu}` : NAMES[one.measure].name,
    type: "line",
    data: one.points,
    showSymbol: one.points.length < 2,
    symbolSize: 4,
    sampling: "lttb",
    itemStyle: { color },
    lineStyle: { color, type: dash, width: 1.6 },
    emphasis: { disabled: true },
  };
}

/** A series of its own without points: the bands stay when a GPU is hidden in the legend. */
function bands(held: Held[], palette: Palette, position: "insideTop" | "insideBottom") {
  const areas = held.flatMap(({ reason, stretches }, index) => {
    const longest = stretches.reduce((a, b) => (b.to - b.from > a.to - a.from ? b : a));
    return stretches.map((stretch) => [
      {
        name: reasonText(reason),
        xAxis: stretch.from,
        itemStyle: { color: bandColor(palette, index), opacity: 0.18 },
        // Named once, and one below the other: short stretches and reasons at the same time stay readable.
        label: { show: stretch === longest, position, distance: 2 + 13 * (index % 4) },
      },
      { xAxis: stretch.to },
    ]);
  });
  return {
    id: "bands",
    type: "line",
    data: [],
    silent: true,
    tooltip: { show: false },
    markArea: { silent: true, data: areas, label: { color: palette.ink, fontSize: 11 } },
  };
}

/** First and last second that any chart shows: all have the same axis. */
export function rangeOf(story: Story): [number, number] {
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  for (const { points } of story.series.values()) {
    first = Math.min(first, points[0]?.[0] ?? first);
    last = Math.max(last, points.at(-1)?.[0] ?? last);
  }
  return first > last ? [0, 1] : [Math.floor(first), Math.ceil(Math.max(last, first + 10))];
}

/** Seconds as `0:42`, `12:05`, `1:02:03`. */
export function clock(seconds: number): string {
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  const two = (value: number) => String(value).padStart(2, "0");
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}
