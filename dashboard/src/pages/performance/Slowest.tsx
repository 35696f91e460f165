import { Table, Text } from "@mantine/core";
import { useMemo } from "react";
import { StateBadge } from "../../parts/Badges";
import { imagesPerSecond, number, percent } from "../../parts/format";
import { Section } from "../../parts/Section";
import { type Cohort, LEAST, slowest } from "./cohorts";
import { NameCell, SpeedCell } from "./MachineCells";
import { useShown } from "./useShown";

/** Who is furthest below machines of its like. */
export function Slowest({ found }: { found: Cohort[] }) {
  const slow = useMemo(() => slowest(found), [found]);
  const [shown, more] = useShown(slow);
  const alone = found.filter((cohort) => cohort.median === null);
  const left = alone.reduce((count, cohort) => count + cohort.machines.length, 0);
  return (
    <Section
      title="Slowest against their cohort"
      text={
        <>
          A cohort is one GPU model and one configuration. Deficit = 1 − images/s ÷ median images/s
          of the cohort.{" "}
          {left > 0 &&
            `${number(left)} ${left === 1 ? "instance is" : "instances are"} in a cohort of fewer than ${LEAST}, too few to compare.`}
        </>
      }
    >
      {slow.length === 0 ? (
        <Text size="sm">No cohort has {LEAST} instances or more yet.</Text>
      ) : (
        <Table.ScrollContainer minWidth={640}>
          <Table
            verticalSpacing={4}
            aria-label="Instances by deficit against their cohort, largest first"
          >
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Instance</Table.Th>
                <Table.Th>Verdict</Table.Th>
                <Table.Th ta="right">Images/s</Table.Th>
                <Table.Th ta="right">Cohort median</Table.Th>
                <Table.Th ta="right">Deficit</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {shown.map(({ machine, median, deficit }) => (
                <Table.Tr key={machine.row.id}>
                  <NameCell id={machine.row.id} name={machine.row.name} gpu={machine.gpu} />
                  <Table.Td miw={112}>
                    <StateBadge state={machine.latest.verdict} size="sm" />
                  </Table.Td>
                  <SpeedCell machine={machine} />
                  <Table.Td ta="right">{imagesPerSecond(median)}</Table.Td>
                  <Table.Td ta="right" fw={deficit > 0.05 ? 650 : undefined}>
                    {percent(deficit * 100)}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {more}
    </Section>
  );
}
