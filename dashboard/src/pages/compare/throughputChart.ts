import type { ChartOption } from "../../parts/EChart";
import { imagesPerSecond } from "../../parts/format";
import { type Palette, seriesColor } from "../../parts/palette";
import type { Side } from "./compare";

export interface Bar {
  name: string;
  value: number;
  low: number | null;
  high: number | null;
}

/** The throughput of each column that has one. */
export function barsOf(sides: Side[]): Bar[] {
  return sides.flatMap(({ instance, result }, index) => {
    const value = result?.throughput_images_per_sec ?? null;
    if (value === null || !result) return [];
    const name = `${index + 1}. ${instance?.vast_instance_id ?? ""}`;
    return [{ name, value, low: result.throughput_low, high: result.throughput_high }];
  });
}

interface Drawing {
  value: (dimension: number) => number;
  coord: (point: [number, number]) => [number, number];
}

export function throughputOption(bars: Bar[], palette: Palette): ChartOption {
  return {
    grid: { left: 8, right: 90, top: 8, bottom: 8, containLabel: true },
    tooltip: { show: false },
    xAxis: {
      type: "value",
      axisLabel: { color: palette.ink, hideOverlap: true },
      splitLine: { lineStyle: { color: palette.line } },
    },
    yAxis: {
      type: "category",
      inverse: true,
      data: bars.map((bar) => bar.name),
      axisLabel: { color: palette.ink, width: 120, overflow: "truncate" },
      axisLine: { lineStyle: { color: palette.line } },
      axisTick: { show: false },
    },
    series: [
      {
        id: "bars",
        type: "bar",
        barMaxWidth: 28,
        silent: true,
        itemStyle: { color: seriesColor(palette, 0), borderRadius: 3 },
        label: { show: true, position: "right", distance: 14, color: palette.ink },
        data: bars.map((bar) => ({
          value: bar.value,
          label: { formatter: imagesPerSecond(bar.value) },
        })),
      },
      intervals(bars, palette.ink),
    ],
  };
}

function intervals(bars: Bar[], color: string): object {
  return {
    id: "intervals",
    type: "custom",
    silent: true,
    z: 3,
    encode: { x: [1, 2], y: 0 },
    data: bars.flatMap(({ low, high }, index) =>
      low === null || high === null ? [] : [[index, low, high]],
    ),
    renderItem: (_: unknown, drawing: Drawing) => {
      const [from, y] = drawing.coord([drawing.value(1), drawing.value(0)]);
      const [to] = drawing.coord([drawing.value(2), drawing.value(0)]);
      const line = (x1: number, y1: number, x2: number, y2: number) => ({
        type: "line",
        shape: { x1, y1, x2, y2 },
        style: { stroke: color, lineWidth: 1.5 },
      });
      return {
        type: "group",
        children: [
          line(from, y, to, y),
          line(from, y - 6, from, y + 6),
          line(to, y - 6, to, y + 6),
        ],
      };
    },
  };
}
