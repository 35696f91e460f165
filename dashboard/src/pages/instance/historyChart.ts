import { conditionsOf } from "../../parts/conditions";
import type { ChartOption } from "../../parts/EChart";
import { exact } from "../../parts/format";
import { type Palette, seriesColor } from "../../parts/palette";
import { band, type Change, type Configuration, type Measure } from "./history";
import type { PastResult } from "./instanceQueries";

export interface Plot {
  measure: Measure;
  name: string;
  unit: string;
  format: (value: number | null) => string;
}

/** Each configuration has a shape of its own beside its colour. */
const SHAPES = ["circle", "rect", "triangle", "diamond", "roundRect", "pin"];

/** One figure over time: each configuration's points with their intervals, over its median and band. */
export function historyOption(
  plot: Plot,
  configurations: Configuration[],
  changes: Change[],
  labelled: boolean,
  palette: Palette,
): ChartOption {
  const axis = {
    axisLabel: { hideOverlap: true, color: palette.ink },
    axisLine: { lineStyle: { color: palette.line } },
    axisTick: { lineStyle: { color: palette.line } },
  };
  return {
    grid: { left: 8, right: 16, top: labelled ? 44 : 16, bottom: 8, containLabel: true },
    tooltip: { trigger: "item" },
    xAxis: {
      ...axis,
      type: "time",
      axisLabel: {
        ...axis.axisLabel,
        formatter: { month: "{d} {MMM}", day: "{d} {MMM}", hour: "{HH}:{mm}" },
      },
      splitLine: { show: false },
    },
    yAxis: {
      ...axis,
      type: "value",
      scale: true,
      splitNumber: 4,
      splitLine: { lineStyle: { color: palette.line } },
    },
    series: [
      ...configurations.flatMap((configuration, index) =>
        seriesOf(plot, configuration, index, seriesColor(palette, index)),
      ),
      marks(changes, labelled, palette.ink),
    ],
  };
}

function seriesOf(
  plot: Plot,
  { hash, results }: Configuration,
  index: number,
  color: string,
): object[] {
  const { measure } = plot;
  const known = results.filter((result) => result[measure] !== null);
  const middle = band(results, measure);
  const quiet = { silent: true, symbol: "none", tooltip: { show: false } };
  const stack = `band ${index}`;
  const series: object[] = [
    {
      ...quiet,
      type: "line",
      stack,
      lineStyle: { opacity: 0 },
      data: middle.map((point) => [point.at, point.low]),
    },
    {
      ...quiet,
      type: "line",
      stack,
      lineStyle: { opacity: 0 },
      areaStyle: { color, opacity: 0.16 },
      data: middle.map((point) => [point.at, point.high - point.low]),
    },
    {
      ...quiet,
      type: "line",
      lineStyle: { color, width: 1.5, opacity: 0.8 },
      data: middle.map((point) => [point.at, point.median]),
    },
  ];
  if (measure === "throughput_images_per_sec") series.push(intervals(known, color));
  series.push({
    type: "scatter",
    name: hash ?? "configuration not told",
    symbol: SHAPES[index % SHAPES.length],
    symbolSize: 8,
    cursor: "pointer",
    data: known.map((result) => ({
      value: [result.at, result[measure]],
      run: result.run_id,
      itemStyle:
        result.verdict === "passed"
          ? { color }
          : { color: "transparent", borderColor: color, borderWidth: 2 },
    })),
    tooltip: {
      formatter: ({ dataIndex }: { dataIndex: number }) => tooltipOf(plot, known[dataIndex]),
    },
  });
  return series;
}

interface Drawing {
  value: (dimension: number) => number;
  coord: (point: [number, number]) => [number, number];
}

/** The 95 % interval of each measurement. */
function intervals(known: PastResult[], color: string): object {
  return {
    type: "custom",
    silent: true,
    tooltip: { show: false },
    encode: { x: 0, y: [1, 2] },
    data: known
      .filter((result) => result.throughput_low !== null && result.throughput_high !== null)
      .map((result) => [result.at, result.throughput_low, result.throughput_high]),
    renderItem: (_: unknown, drawing: Drawing) => {
      const [x, low] = drawing.coord([drawing.value(0), drawing.value(1)]);
      const [, high] = drawing.coord([drawing.value(0), drawing.value(2)]);
      const line = (x1: number, y1: number, x2: number, y2: number) => ({
        type: "line",
        shape: { x1, y1, x2, y2 },
        style: { stroke: color, lineWidth: 1.5 },
      });
      return {
        type: "group",
        children: [
          line(x, low, x, high),
          line(x - 4, low, x + 4, low),
          line(x - 4, high, x + 4, high),
        ],
      };
    },
  };
}

function marks(changes: Change[], labelled: boolean, ink: string): object {
  return {
    type: "line",
    data: [],
    markLine: {
      silent: true,
      symbol: "none",
      lineStyle: { color: ink, type: "dashed" },
      label: { show: labelled, color: ink, position: "end", rotate: 0 },
      data: changes.map((change, index) => ({
        xAxis: change.at,
        // Neighbours stand at two heights, so that they don't run into each other.
        label: { distance: index % 2 ? 18 : 4, formatter: change.text.replaceAll(", ", "\n") },
      })),
    },
  };
}

/** Built of nodes: what the machine said of itself never becomes markup. */
function tooltipOf(plot: Plot, result: PastResult | undefined): HTMLElement {
  const box = document.createElement("div");
  if (result === undefined) return box;
  const interval =
    plot.measure === "throughput_images_per_sec" && result.throughput_low !== null
      ? ` (${plot.format(result.throughput_low)} to ${plot.format(result.throughput_high)})`
      : "";
  const lines = [
    `${plot.format(result[plot.measure])}${interval}`,
    exact(new Date(result.at)),
    `${result.verdict} · ${conditionsOf(result)}`,
    `driver ${result.driver_version ?? "?"}, torch ${result.torch_version ?? "?"}`,
  ];
  for (const text of lines) {
    const line = document.createElement("div");
    line.textContent = text;
    box.append(line);
  }
  return box;
}
