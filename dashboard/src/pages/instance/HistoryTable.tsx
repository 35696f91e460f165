import { Button, Paper, Table, Text } from "@mantine/core";
import { useState } from "react";
import { StateBadge } from "../../parts/Badges";
import { conditionsOf } from "../../parts/conditions";
import { celsius, milliseconds, number, significant, UNKNOWN, watts } from "../../parts/format";
import { LinkAnchor } from "../../parts/Links";
import { Time } from "../../parts/Time";
import type { PastResult } from "./instanceQueries";

const STEP = 50;

/** The figures of the plots, newest first. */
export function HistoryTable({ results }: { results: PastResult[] }) {
  const [count, setCount] = useState(STEP);
  const newest = results.slice(-count).reverse();
  return (
    <Paper className="surface">
      <Table.ScrollContainer minWidth={1240}>
        <Table striped verticalSpacing={6} captionSide="top">
          <Table.Caption
            ta="left"
            px="md"
            pt="md"
            pb={4}
            mt={0}
            c="var(--mantine-color-text)"
            fw={600}
          >
            Results, newest first
          </Table.Caption>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>When</Table.Th>
              <Table.Th>Verdict</Table.Th>
              <Table.Th ta="right">Images/s</Table.Th>
              <Table.Th ta="right">95% interval</Table.Th>
              <Table.Th ta="right">Latency</Table.Th>
              <Table.Th ta="right">Power</Table.Th>
              <Table.Th ta="right">Temperature</Table.Th>
              <Table.Th ta="right">Compute miles/h</Table.Th>
              <Table.Th>Driver, torch</Table.Th>
              <Table.Th>Conditions</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {newest.map((result) => (
              <Row key={`${result.run_id} ${result.at}`} result={result} />
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {results.length > count && (
        <Button variant="subtle" m="xs" onClick={() => setCount(count + 4 * STEP)}>
          Show more ({number(results.length - count)} older)
        </Button>
      )}
    </Paper>
  );
}

function Row({ result }: { result: PastResult }) {
  const { throughput_low: low, throughput_high: high } = result;
  return (
    <Table.Tr>
      <Table.Td style={{ whiteSpace: "nowrap" }}>
        {result.run_id ? (
          <LinkAnchor
            to="/runs/$runId"
            params={{ runId: result.run_id }}
            inherit
            underline="always"
          >
            <Time at={result.at} />
          </LinkAnchor>
        ) : (
          <>
            <Time at={result.at} />{" "}
            <Text span size="xs" c="dimmed">
              {result.source}
            </Text>
          </>
        )}
      </Table.Td>
      <Table.Td miw={112}>
        <StateBadge state={result.verdict} size="sm" />
      </Table.Td>
      <Table.Td ta="right">{significant(result.throughput_images_per_sec)}</Table.Td>
      <Table.Td ta="right" style={{ whiteSpace: "nowrap" }}>
        {low === null || high === null ? UNKNOWN : `${significant(low)} to ${significant(high)}`}
      </Table.Td>
      <Table.Td ta="right">{milliseconds(result.latency_ms)}</Table.Td>
      <Table.Td ta="right">{watts(result.power_draw_watts)}</Table.Td>
      <Table.Td ta="right">{celsius(result.temperature_celsius)}</Table.Td>
      <Table.Td ta="right">{number(result.compute_miles_per_hour)}</Table.Td>
      <Table.Td style={{ whiteSpace: "nowrap" }}>
        {result.driver_version ?? UNKNOWN}, {result.torch_version ?? UNKNOWN}
      </Table.Td>
      <Table.Td style={{ whiteSpace: "nowrap" }}>
        <span title={result.configuration_hash ?? undefined}>{conditionsOf(result)}</span>
      </Table.Td>
    </Table.Tr>
  );
}
