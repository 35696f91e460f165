import { Table, Text } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { StateBadge } from "../../parts/Badges";
import { EmptyState } from "../../parts/EmptyState";
import { duration, UNKNOWN } from "../../parts/format";
import { LinkAnchor } from "../../parts/Links";
import { Time } from "../../parts/Time";
import { type Run, runsQuery } from "./instanceQueries";
import { told } from "./options";
import { PagedTable } from "./PagedTable";

export function RunsTab({ instanceId }: { instanceId: string }) {
  return (
    <PagedTable
      of={useInfiniteQuery(runsQuery(instanceId))}
      label="Runs of this instance, newest first"
      columns={
        <>
          <Table.Th>Run</Table.Th>
          <Table.Th>State</Table.Th>
          <Table.Th>Reason</Table.Th>
          <Table.Th>Options</Table.Th>
          <Table.Th>Asked for by</Table.Th>
          <Table.Th ta="right">Duration</Table.Th>
        </>
      }
      row={(run) => <Row key={run.id} run={run} />}
      empty={
        <EmptyState
          title="No run yet"
          text="Each test is a run, with its log and result. Start one with “Test now”."
        />
      }
    />
  );
}

const ASKED_BY: Record<string, string> = {
  api: "you",
  schedule: "the schedule",
  cli: "the command line",
};

function Row({ run }: { run: Run }) {
  return (
    <Table.Tr>
      <Table.Td style={{ whiteSpace: "nowrap" }}>
        <LinkAnchor to="/runs/$runId" params={{ runId: run.id }} inherit underline="always">
          <Time at={run.created_at} />
        </LinkAnchor>
      </Table.Td>
      <Table.Td miw={120}>
        <StateBadge state={run.state} size="sm" />
      </Table.Td>
      <Table.Td maw={420}>
        <Text size="sm" lineClamp={2} title={run.error?.message}>
          {reason(run)}
        </Text>
      </Table.Td>
      <Table.Td>{told(run.options)}</Table.Td>
      <Table.Td>{ASKED_BY[run.requested_by] ?? run.requested_by}</Table.Td>
      <Table.Td ta="right" style={{ whiteSpace: "nowrap" }}>
        {lasted(run)}
      </Table.Td>
    </Table.Tr>
  );
}

function reason(run: Run): string {
  if (run.error) return run.error.message;
  if (!run.finished && run.cancel_requested_at) return "Being ended on the machine.";
  if (!run.finished && run.not_before) return "The machine was busy; it is tried again.";
  return "";
}

/** From when a worker began; of what never began there is no duration. */
function lasted(run: Run): string {
  const began = run.claimed_at ?? run.started_at;
  if (!began || !run.finished_at) return UNKNOWN;
  return duration((new Date(run.finished_at).getTime() - new Date(began).getTime()) / 1000);
}
