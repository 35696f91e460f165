import { Button, Table, Text, useComputedColorScheme } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { Chart } from "../../parts/Chart";
import { number, significant } from "../../parts/format";
import { PALETTES } from "../../parts/palette";
import { Section } from "../../parts/Section";
import { quantile } from "../../parts/statistics";
import { type Cohort, LEAST, speed } from "./cohorts";
import { distributionOption, heightOf, labelOf } from "./distributionChart";

const FIRST = 8;

/** Each cohort's machines on one line, with the box of the middle half. */
export function Distribution({ found }: { found: Cohort[] }) {
  const [all, setAll] = useState(false);
  const navigate = useNavigate();
  const palette = PALETTES[useComputedColorScheme("light", { getInitialValueInEffect: false })];
  const shown = useMemo(() => (all ? found : found.slice(0, FIRST)), [all, found]);
  const option = useMemo(() => distributionOption(shown, palette), [shown, palette]);
  return (
    <Section
      title="Throughput by GPU model"
      text="Images/s of the GPU that was measured, of one model and configuration on a line. A point is an instance and leads to its run; hollow: not passed. Box: the middle half, and the median."
    >
      <Chart
        key={shown.map(labelOf).join()} // what is gone would stay: the chart only merges
        option={option}
        height={heightOf(shown)}
        label="Throughput of each instance by GPU model; the figures are in the tables below"
        onClick={(event) => {
          const run = (event.data as { run?: string | null } | undefined)?.run;
          if (run) void navigate({ to: "/runs/$runId", params: { runId: run } });
        }}
      />
      <Summary found={shown} />
      {found.length > FIRST && (
        <Button variant="subtle" onClick={() => setAll(!all)} style={{ alignSelf: "flex-start" }}>
          {all ? "Show fewer" : `Show all ${number(found.length)}`}
        </Button>
      )}
    </Section>
  );
}

function Summary({ found }: { found: Cohort[] }) {
  return (
    <Table.ScrollContainer minWidth={640}>
      <Table verticalSpacing={4} aria-label="Throughput by GPU model and configuration, images/s">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>GPU model</Table.Th>
            <Table.Th>Conditions</Table.Th>
            <Table.Th ta="right">Instances</Table.Th>
            <Table.Th ta="right">Lowest</Table.Th>
            <Table.Th ta="right">Median</Table.Th>
            <Table.Th ta="right">Highest</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {found.map((cohort) => {
            const speeds = cohort.machines.map(speed);
            return (
              <Table.Tr key={labelOf(cohort) + cohort.machines[0]?.row.id}>
                <Table.Td>{cohort.gpu}</Table.Td>
                <Table.Td>
                  {cohort.conditions}{" "}
                  <Text span size="xs" c="dimmed">
                    <code>{cohort.hash?.slice(0, 8) ?? "no configuration"}</code>
                  </Text>
                </Table.Td>
                <Table.Td ta="right">{number(cohort.machines.length)}</Table.Td>
                <Table.Td ta="right">{significant(speeds[0])}</Table.Td>
                <Table.Td ta="right">
                  {speeds.length < LEAST ? (
                    <Text span size="xs" c="dimmed">
                      too few
                    </Text>
                  ) : (
                    significant(quantile(speeds, 0.5))
                  )}
                </Table.Td>
                <Table.Td ta="right">{significant(speeds.at(-1))}</Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
