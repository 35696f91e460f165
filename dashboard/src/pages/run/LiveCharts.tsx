import { Group, SimpleGrid, Text, useComputedColorScheme } from "@mantine/core";
import { useThrottledValue } from "@mantine/hooks";
import { useMemo } from "react";
import { Chart } from "../../parts/Chart";
import { duration, significant, UNKNOWN } from "../../parts/format";
import { PALETTES } from "../../parts/palette";
import { Section } from "../../parts/Section";
import { bandColor, chartOf, NAMES, rangeOf } from "./charts";
import { reasonText } from "./sentence";
import { heldBack, MEASURES, type Measure, type Story, seriesOf } from "./story";

/** Four times a second is as often as an eye can follow a line. */
const REDRAW_MS = 250;
const HEIGHT = 190;

/** What the machine did over the seconds of the benchmark; the charts share their cursor and zoom. */
export function LiveCharts({ story: newest, finished }: { story: Story; finished: boolean }) {
  const story = useThrottledValue(newest, REDRAW_MS);
  const shown = MEASURES.filter((measure) => seriesOf(story, measure).length > 0);
  if (shown.length === 0) {
    if (finished) return null; // a run that ended before it measured has nothing to draw
    return (
      <Section
        title="Live"
        text="Images per second, power, temperature, clock and utilization are drawn here once the machine measures."
      >
        {null}
      </Section>
    );
  }
  return (
    <Section
      title={finished ? "Over time" : "Live"}
      text="Minutes and seconds since the benchmark began. Ctrl and the wheel zoom all charts."
    >
      <Throttles story={story} />
      <SimpleGrid cols={{ base: 1, md: 2, xl: 3 }} spacing="lg">
        {shown.map((measure) => (
          <OneChart key={measure} story={story} measure={measure} />
        ))}
      </SimpleGrid>
    </Section>
  );
}

function OneChart({ story, measure }: { story: Story; measure: Measure }) {
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  const option = useMemo(
    () => chartOf(story, measure, rangeOf(story), PALETTES[scheme]),
    [story, measure, scheme],
  );
  const { name, unit } = NAMES[measure];
  const latest = latestOf(story, measure);
  return (
    <figure style={{ margin: 0, minWidth: 0 }}>
      <Group component="figcaption" justify="space-between" gap="xs">
        <Text size="sm" fw={600} component="span">
          {name}
        </Text>
        <Text size="sm" component="span">
          {latest}
        </Text>
      </Group>
      <Chart
        option={option}
        height={HEIGHT}
        label={`${name} over time in ${unit}; last ${latest}`}
        group="run"
      />
    </figure>
  );
}

/** The last value; of several GPUs the lowest and the highest. */
function latestOf(story: Story, measure: Measure): string {
  const { unit } = NAMES[measure];
  const values = seriesOf(story, measure).flatMap(({ points }) => points.at(-1)?.[1] ?? []);
  if (values.length === 0) return UNKNOWN;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const told = low === high ? significant(low) : `${significant(low)} to ${significant(high)}`;
  return `${told} ${unit}`;
}

/** The legend of the bands, with what no canvas tells to who can't see it. */
function Throttles({ story }: { story: Story }) {
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  const held = heldBack(story);
  if (held.length === 0)
    return (
      <Text size="sm" c="dimmed">
        No throttling was told.
      </Text>
    );
  const many = seriesOf(story, "sm_clock_mhz").length > 1;
  return (
    <Group component="ul" gap="lg" m={0} p={0} aria-label="Throttle reasons">
      {held.map(({ reason, seconds, gpus }, index) => (
        <Group component="li" key={reason} gap={8} wrap="nowrap" style={{ listStyle: "none" }}>
          <span
            aria-hidden
            style={{
              width: 22,
              height: 14,
              flex: "none",
              background: `color-mix(in srgb, ${bandColor(PALETTES[scheme], index)} 30%, transparent)`,
              border: `1px solid ${bandColor(PALETTES[scheme], index)}`,
            }}
          />
          <Text size="sm" component="span">
            Held back by {reasonText(reason)}: {duration(seconds)}
            {many && `, GPU ${gpus.join(", ")}`}
          </Text>
        </Group>
      ))}
    </Group>
  );
}
