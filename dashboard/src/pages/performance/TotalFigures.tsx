import { Paper, SimpleGrid, Text } from "@mantine/core";
import type { Overview } from "../../api/fleet";
import { miles, number, percent } from "../../parts/format";
import { totals } from "./cohorts";

export function TotalFigures({ rows }: { rows: Overview[] }) {
  const all = totals(rows);
  return (
    <SimpleGrid cols={{ base: 2, md: 4 }} spacing="sm" verticalSpacing="sm">
      <Total
        name="Compute miles, active"
        value={miles(all.milesPerHour)}
        note={
          all.withoutMiles > 0
            ? `${number(all.withoutMiles)} active without a score`
            : "latest scores of the active instances, of all their GPUs"
        }
      />
      <Total
        name="GPUs, active"
        value={number(all.activeGpus)}
        note={`of ${number(all.gpus)} in all`}
      />
      <Total
        name="Instances, active"
        value={number(all.active)}
        note={`of ${number(all.instances)} in all`}
      />
      <Total
        name="Uptime, 30 days"
        value={all.uptime === null ? "–" : percent(all.uptime * 100)}
        note={`${number(all.tests - all.unreachable)} of ${number(all.tests)} tests reached their machine`}
      />
    </SimpleGrid>
  );
}

function Total({ name, value, note }: { name: string; value: string; note: string }) {
  return (
    <Paper className="surface" p="md">
      <Text size="xs" c="dimmed">
        {name}
      </Text>
      <Text fz={{ base: 16, sm: 20 }} fw={650} lh={1.3} style={{ overflowWrap: "anywhere" }}>
        {value}
      </Text>
      <Text size="xs" c="dimmed">
        {note}
      </Text>
    </Paper>
  );
}
