import { Table, Text } from "@mantine/core";
import { useMemo } from "react";
import type { Overview } from "../../api/fleet";
import { StateBadge } from "../../parts/Badges";
import { number, percent } from "../../parts/format";
import { Section } from "../../parts/Section";
import { uptimeOf } from "./cohorts";
import { NameCell } from "./MachineCells";
import { useShown } from "./useShown";

/** Who could not be reached when it was tested. */
export function Uptime({ rows }: { rows: Overview[] }) {
  const ranked = useMemo(
    () =>
      rows
        .flatMap((row) => {
          const uptime = uptimeOf(row);
          return uptime === null ? [] : [{ row, uptime }];
        })
        .sort((a, b) => a.uptime - b.uptime || b.row.tests_30d - a.row.tests_30d),
    [rows],
  );
  const [shown, more] = useShown(ranked);
  const untested = rows.length - ranked.length;
  return (
    <Section
      title="Uptime"
      text={`Uptime = 1 − tests that did not reach the machine ÷ tests, of the last 30 days. ${
        untested > 0 ? `Left out: ${number(untested)} without a test in that time.` : ""
      }`}
    >
      {ranked.length === 0 ? (
        <Text size="sm">No test ended in the last 30 days.</Text>
      ) : (
        <Table.ScrollContainer minWidth={520}>
          <Table verticalSpacing={4} aria-label="Instances by uptime, lowest first">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Instance</Table.Th>
                <Table.Th>Status</Table.Th>
                <Table.Th ta="right">Uptime</Table.Th>
                <Table.Th ta="right">Tests</Table.Th>
                <Table.Th ta="right">Not reached</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {shown.map(({ row, uptime }) => (
                <Table.Tr key={row.id}>
                  <NameCell id={row.id} name={row.name} gpu={row.gpu_name} />
                  <Table.Td miw={112}>
                    <StateBadge state={row.status} size="sm" />
                  </Table.Td>
                  <Table.Td ta="right">{percent(uptime * 100)}</Table.Td>
                  <Table.Td ta="right">{number(row.tests_30d)}</Table.Td>
                  <Table.Td ta="right">{number(row.unreachable_30d)}</Table.Td>
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
