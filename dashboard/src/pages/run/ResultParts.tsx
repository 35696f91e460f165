import { Alert, Group, Stack, Table, Text } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { textOf } from "./event";
import type { FigureRow } from "./resultRows";
import { judged } from "./resultRows";
import type { Result } from "./runQueries";
import { VerdictLines } from "./VerdictLines";

/** Figures of a result, each with its interval. */
export function Figures({ rows }: { rows: FigureRow[] }) {
  return (
    <Table verticalSpacing={6} horizontalSpacing="xs" aria-label="Figures of the result">
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Figure</Table.Th>
          <Table.Th ta="right">Value, with its 95% interval</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {rows.map(({ name, value, interval, note }) => (
          <Table.Tr key={name}>
            <Table.Th scope="row" fw={500}>
              {name}
              <Text size="xs" c="dimmed">
                {note}
              </Text>
            </Table.Th>
            <Table.Td ta="right">
              <Text component="span" size="sm" fw={650}>
                {value}
              </Text>
              <Text size="xs" c="dimmed">
                {interval}
              </Text>
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

/** Why the verdict is what it is: what was found, what was checked, and what was said. */
export function Judgement({ result }: { result: Result }) {
  return (
    <>
      <Findings result={result} />
      <VerdictLines lines={judged(result)} />
      {result.error_message && (
        <Text size="sm" style={{ overflowWrap: "anywhere" }}>
          {result.error_message}
        </Text>
      )}
    </>
  );
}

/** What was odd about the machine: it explains a figure and fails nobody. */
function Findings({ result }: { result: Result }) {
  if (result.findings.length === 0) return null;
  return (
    <Alert
      color="yellow"
      variant="outline"
      icon={<IconAlertTriangle size={18} />}
      styles={{ title: { color: "var(--mantine-color-text)" } }}
      title={result.findings.length === 1 ? "A finding" : `${result.findings.length} findings`}
    >
      <Stack gap={4}>
        {result.findings.map((finding) => (
          <Group key={JSON.stringify(finding)} gap={6}>
            <Text size="sm" style={{ overflowWrap: "anywhere" }}>
              {textOf(finding.message)}
            </Text>
            <Text size="xs" c="dimmed" ff="monospace">
              {textOf(finding.code)}
            </Text>
          </Group>
        ))}
      </Stack>
    </Alert>
  );
}
