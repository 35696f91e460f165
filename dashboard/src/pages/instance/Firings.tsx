import { Table, Text } from "@mantine/core";
import { number } from "../../parts/format";
import { LinkAnchor } from "../../parts/Links";
import { Section } from "../../parts/Section";
import { Time } from "../../parts/Time";
import type { Schedule } from "./instanceQueries";

type Firing = Schedule["firings"][number];

const OUTCOMES: Record<Firing["outcome"], string> = {
  fired: "A test was started.",
  in_progress: "Left out: the test before was still under way.",
  missed: "Missed: no worker was there.",
  unreadable: "The schedule could not be read, and was turned off.",
};

/** What became of the latest due times. */
export function Firings({ schedule }: { schedule: Schedule }) {
  return (
    <Section title="Latest due times">
      {schedule.firings.length === 0 ? (
        <Text size="sm" c="dimmed">
          None has come yet.
        </Text>
      ) : (
        <Table.ScrollContainer minWidth={300}>
          <Table verticalSpacing={4} aria-label="Latest due times, newest first">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Due</Table.Th>
                <Table.Th>What became of it</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {schedule.firings.map((firing) => (
                <Table.Tr key={`${firing.due_at} ${firing.outcome}`}>
                  <Table.Td style={{ whiteSpace: "nowrap" }}>
                    <Time at={firing.due_at} />
                  </Table.Td>
                  <Table.Td>
                    {OUTCOMES[firing.outcome]}{" "}
                    {firing.run_id && (
                      <LinkAnchor
                        to="/runs/$runId"
                        params={{ runId: firing.run_id }}
                        inherit
                        underline="always"
                      >
                        Open the run
                      </LinkAnchor>
                    )}
                    {firing.times > 1 && (
                      <Text span size="xs" c="dimmed">
                        {number(firing.times)} times, until <Time at={firing.last_due_at} />
                      </Text>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
    </Section>
  );
}
