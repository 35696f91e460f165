import { Button, Paper, Skeleton, Stack, Table, Text } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { EmptyState } from "../../parts/EmptyState";
import { LinkAnchor } from "../../parts/Links";
import { ReadFault } from "../../parts/ReadFault";
import { Time } from "../../parts/Time";
import { auditLine } from "./audit";
import { type AuditEntry, auditQuery } from "./instanceQueries";

export function AuditTab({ instanceId }: { instanceId: string }) {
  const audit = useInfiniteQuery(auditQuery(instanceId));
  if (!audit.data) return audit.error ? <ReadFault of={audit} /> : <Skeleton h={320} />;
  const entries = audit.data.pages.flatMap((page) => page.items);
  if (entries.length === 0)
    return (
      <EmptyState
        title="Nothing in the audit log"
        text="Every change of this instance and every login to its machine is written here."
      />
    );
  return (
    <Stack gap="xs">
      <ReadFault of={audit} />
      <Paper className="surface">
        <Table.ScrollContainer minWidth={760}>
          <Table verticalSpacing={6} aria-label="Audit log of this instance, newest first">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>When</Table.Th>
                <Table.Th>Who</Table.Th>
                <Table.Th>What</Table.Th>
                <Table.Th>Details</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {entries.map((entry) => (
                <Row key={entry.id} entry={entry} />
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
        {audit.hasNextPage && (
          <Button
            variant="subtle"
            m="xs"
            loading={audit.isFetchingNextPage}
            onClick={() => void audit.fetchNextPage()}
          >
            Load more
          </Button>
        )}
      </Paper>
    </Stack>
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
