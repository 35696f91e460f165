import { useComputedColorScheme } from "@mantine/core";
import { BarChart, BoxplotChart, CustomChart, LineChart, ScatterChart } from "echarts/charts";
import {
  AriaComponent,
  DatasetComponent,
  DataZoomComponent,
  GridComponent,
  LegendComponent,
  MarkAreaComponent,
  MarkLineComponent,
  TooltipComponent,
} from "echarts/components";
import type { ECElementEvent, EChartsCoreOption } from "echarts/core";
import * as echarts from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useRef } from "react";
import { PALETTES } from "./palette";

echarts.use([
  ...[BarChart, BoxplotChart, CustomChart, LineChart, ScatterChart],
  ...[AriaComponent, DatasetComponent, DataZoomComponent, GridComponent, LegendComponent],
  ...[MarkAreaComponent, MarkLineComponent, TooltipComponent, CanvasRenderer],
]);

export type ChartOption = EChartsCoreOption;

export interface ChartProps {
  option: ChartOption;
  height: number;
  /** What the chart shows, for who can't see it; the figures themselves stand in a table or facts nearby. */
  label: string;
  onClick?: (event: ECElementEvent) => void;
  /** Charts of one group share their cursor and zoom. */
  group?: string;
}

export function EChart({ option, height, label, onClick, group }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<echarts.ECharts>(undefined);
  const clicked = useRef(onClick);
  clicked.current = onClick;
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });

  useEffect(() => {
    if (box.current === null) return;
    const made = echarts.init(box.current);
    chart.current = made;
    made.on("click", (event) => clicked.current?.(event as ECElementEvent));
    if (group) {
      made.group = group;
      echarts.connect(group);
    }
    const resized = new ResizeObserver(() => made.resize());
    resized.observe(box.current);
    return () => {
      resized.disconnect();
      made.dispose();
    };
  }, [group]);

  useEffect(() => {
    const base = inTheme(scheme);
    const tooltip = { ...base.tooltip, ...(option.tooltip as object | undefined) };
    chart.current?.setOption(
      { ...base, ...option, tooltip },
      { notMerge: false, lazyUpdate: true },
    );
  }, [option, scheme]);

  return <div ref={box} role="img" aria-label={label} style={{ height, width: "100%" }} />;
}

function inTheme(scheme: "light" | "dark") {
  const { ink, line, surface, series } = PALETTES[scheme];
  return {
    color: series,
    backgroundColor: "transparent",
    textStyle: { color: ink, fontFamily: "inherit" },
    animation: false,
    tooltip: {
      trigger: "axis",
      confine: true,
      backgroundColor: surface,
      borderColor: line,
      textStyle: { color: ink, fontSize: 13 },
    },
  };
}
