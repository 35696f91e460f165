import {
  Alert,
  Button,
  Group,
  SegmentedControl,
  SimpleGrid,
  Skeleton,
  Stack,
  Text,
  useComputedColorScheme,
} from "@mantine/core";
import { IconDownload } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { Chart } from "../../parts/Chart";
import { conditionsOf } from "../../parts/conditions";
import { EmptyState } from "../../parts/EmptyState";
import { celsius, imagesPerSecond, miles, milliseconds, watts } from "../../parts/format";
import { PALETTES, seriesColor } from "../../parts/palette";
import { ReadFault } from "../../parts/ReadFault";
import { Section } from "../../parts/Section";
import { HistoryTable } from "./HistoryTable";
import { changes, configurations, within } from "./history";
import { historyOption, type Plot } from "./historyChart";
import { downloadHistory } from "./historyCsv";
import { historyQuery, MOST_HISTORY, type PastResult } from "./instanceQueries";

const RANGES = [
  { value: "7", label: "7 days" },
  { value: "30", label: "30 days" },
  { value: "90", label: "90 days" },
  { value: "all", label: "All" },
];

const PLOTS: Plot[] = [
  {
    measure: "throughput_images_per_sec",
    name: "Throughput",
    unit: "images/s",
    format: imagesPerSecond,
  },
  { measure: "latency_ms", name: "Latency of a step", unit: "ms", format: milliseconds },
  { measure: "power_draw_watts", name: "Power", unit: "W", format: watts },
  { measure: "temperature_celsius", name: "Temperature", unit: "°C", format: celsius },
  { measure: "compute_miles_per_hour", name: "Compute miles", unit: "per hour", format: miles },
];

export function HistoryTab({ instanceId }: { instanceId: string }) {
  const history = useQuery(historyQuery(instanceId));
  const [range, setRange] = useState("30");
  const items = history.data?.items;
  const shown = useMemo(
    () => within(items ?? [], range === "all" ? null : Number(range), new Date()),
    [items, range],
  );
  if (!items) return history.error ? <ReadFault of={history} /> : <Skeleton h={480} />;
  if (items.length === 0)
    return (
      <EmptyState
        title="No history yet"
        text="Each test adds a point to the plots of this page. Start one above, or have them made regularly with a schedule."
      />
    );
  return (
    <Stack>
      <ReadFault of={history} />
      <Group justify="space-between">
        <SegmentedControl
          data={RANGES}
          value={range}
          onChange={setRange}
          aria-label="Range of time"
        />
        <Button
          variant="default"
          leftSection={<IconDownload size={16} aria-hidden />}
          disabled={shown.length === 0}
          onClick={() => void downloadHistory(shown, `history-${instanceId}`)}
        >
          Download CSV
        </Button>
      </Group>
      {items.length === MOST_HISTORY && (
        <Alert color="gray">
          The newest {MOST_HISTORY.toLocaleString("en")} results are shown.
        </Alert>
      )}
      {shown.length === 0 ? (
        <EmptyState
          title="No result in this time"
          text="There are older ones: choose a longer range."
        />
      ) : (
        <>
          <Plots results={shown} key={range} />
          <HistoryTable results={shown} />
        </>
      )}
    </Stack>
  );
}

function Plots({ results }: { results: PastResult[] }) {
  const navigate = useNavigate();
  const palette = usePalette();
  const found = useMemo(() => configurations(results), [results]);
  const options = useMemo(() => {
    const marked = changes(results);
    return PLOTS.map((plot, index) => historyOption(plot, found, marked, index === 0, palette));
  }, [found, results, palette]);
  const open = (event: { data?: unknown }) => {
    const run = (event.data as { run?: string | null } | undefined)?.run;
    if (run) void navigate({ to: "/runs/$runId", params: { runId: run } });
  };
  const chart = (plot: Plot, index: number, height: number) => (
    <Section key={plot.measure} title={`${plot.name}, ${plot.unit}`}>
      <Chart
        // Series that are gone would stay: the chart only merges.
        key={found.length}
        option={options[index] ?? {}}
        height={height}
        label={`${plot.name} over time; the figures are in the table below`}
        onClick={open}
      />
    </Section>
  );
  return (
    <>
      {PLOTS.slice(0, 1).map((plot) => chart(plot, 0, 320))}
      <Legend results={results} />
      <SimpleGrid cols={{ base: 1, lg: 2 }}>
        {PLOTS.slice(1).map((plot, index) => chart(plot, index + 1, 200))}
      </SimpleGrid>
    </>
  );
}

const SIGNS = ["●", "■", "▲", "◆", "▢", "▼"];

function usePalette() {
  return PALETTES[useComputedColorScheme("light", { getInitialValueInEffect: false })];
}

function Legend({ results }: { results: PastResult[] }) {
  const palette = usePalette();
  return (
    <Stack gap={4}>
      <Group gap="md" component="ul" m={0} p={0} style={{ listStyle: "none" }}>
        {configurations(results).map(({ hash, results: ofHash }, index) => (
          <Text key={hash} size="sm" component="li">
            <span aria-hidden style={{ color: seriesColor(palette, index) }}>
              {SIGNS[index % SIGNS.length]}
            </span>{" "}
            {ofHash[0] && conditionsOf(ofHash[0])}{" "}
            <Text span size="xs" c="dimmed">
              <code>{hash ?? "no configuration"}</code>, {ofHash.length}{" "}
              {ofHash.length === 1 ? "result" : "results"}
            </Text>
          </Text>
        ))}
      </Group>
      <Text size="sm" c="dimmed">
        A point is a result and leads to its run; hollow: not passed. Bars: the 95% interval of the
        measurement. Line and band: the median of up to 7 results of one configuration, and twice
        1.4826 × the median absolute deviation either way. Dashed: driver or torch changed.
      </Text>
    </Stack>
  );
}
