import { Table, Text } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { EmptyState } from "../../parts/EmptyState";
import { LinkAnchor } from "../../parts/Links";
import { Time } from "../../parts/Time";
import { auditLine } from "./audit";
import { type AuditEntry, auditQuery } from "./instanceQueries";
import { PagedTable } from "./PagedTable";

export function AuditTab({ instanceId }: { instanceId: string }) {
  return (
    <PagedTable
      of={useInfiniteQuery(auditQuery(instanceId))}
      label="Audit log of this instance, newest first"
      columns={
        <>
          <Table.Th>When</Table.Th>
          <Table.Th>Who</Table.Th>
          <Table.Th>What</Table.Th>
          <Table.Th>Details</Table.Th>
        </>
      }
      row={(entry) => <Row key={entry.id} entry={entry} />}
      empty={
        <EmptyState
          title="Nothing in the audit log"
          text="Every change of this instance and every login to its machine is written here."
        />
      }
    />
  );
}

function Row({ entry }: { entry: AuditEntry }) {
  const line = auditLine(entry);
  const run = runOf(entry);
  return (
    <Table.Tr>
      <Table.Td style={{ whiteSpace: "nowrap" }}>
        <Time at={entry.at} />
      </Table.Td>
      <Table.Td style={{ whiteSpace: "nowrap" }}>{line.who}</Table.Td>
      <Table.Td style={{ whiteSpace: "nowrap" }}>
        {run ? (
          <LinkAnchor to="/runs/$runId" params={{ runId: run }} inherit underline="always">
            {line.what}
          </LinkAnchor>
        ) : (
          line.what
        )}
      </Table.Td>
      <Table.Td style={{ overflowWrap: "anywhere" }} w="100%">
        {line.isChange
          ? line.changes.map((change) => (
              <Text size="sm" key={change}>
                {change}
              </Text>
            ))
          : line.changes.join(" · ")}
      </Table.Td>
    </Table.Tr>
  );
}

function runOf(entry: AuditEntry): string | null {
  if (entry.action.startsWith("gpu_test_runs.")) return entry.subject_id;
  return typeof entry.detail.run_id === "string" ? entry.detail.run_id : null;
}
