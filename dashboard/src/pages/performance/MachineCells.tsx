import { Table, Text } from "@mantine/core";
import { imagesPerSecond } from "../../parts/format";
import { LinkAnchor } from "../../parts/Links";
import { type Machine, speed } from "./cohorts";

/** Which instance it is; its GPU below. */
export function NameCell({ id, name, gpu }: { id: string; name: string; gpu: string | null }) {
  return (
    <Table.Td>
      <LinkAnchor
        to="/instances/$instanceId"
        params={{ instanceId: id }}
        inherit
        underline="always"
      >
        {name}
      </LinkAnchor>
      <Text size="xs" c="dimmed">
        {gpu}
      </Text>
    </Table.Td>
  );
}

/** The figure leads to the run that measured it; a submitted one has none. */
export function SpeedCell({ machine }: { machine: Machine }) {
  const figure = imagesPerSecond(speed(machine));
  const run = machine.latest.run_id;
  return (
    <Table.Td ta="right" style={{ whiteSpace: "nowrap" }}>
      {run ? (
        <LinkAnchor
          to="/runs/$runId"
          params={{ runId: run }}
          inherit
          underline="always"
          aria-label={`${figure}: the run of ${machine.row.name}`}
        >
          {figure}
        </LinkAnchor>
      ) : (
        figure
      )}
    </Table.Td>
  );
}
