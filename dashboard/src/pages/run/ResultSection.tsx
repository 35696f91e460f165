import { Alert, Group, SimpleGrid, Stack, Table, Text } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { StateBadge } from "../../parts/Badges";
import { Facts } from "../../parts/Facts";
import { Section } from "../../parts/Section";
import { textOf } from "./event";
import { conditionFacts, figureRows } from "./resultRows";
import type { Result } from "./runQueries";
import { VerdictLines } from "./VerdictLines";

/** What was measured, under which conditions, and why the verdict is what it is. */
export function ResultSection({ result }: { result: Result }) {
  return (
    <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="md">
      <Section title="Result">
        <Figures result={result} />
      </Section>
      <Stack gap="md">
        <Section title="Verdict" action={<StateBadge state={result.verdict} />}>
          <Findings result={result} />
          <VerdictLines lines={judged(result)} />
          {result.error_message && <Text size="sm">{result.error_message}</Text>}
        </Section>
        <Section title="Conditions" text="Only results of one configuration can be compared.">
          <Facts facts={conditionFacts(result)} />
        </Section>
      </Stack>
    </SimpleGrid>
  );
}

function Figures({ result }: { result: Result }) {
  return (
    <Table verticalSpacing={6} horizontalSpacing="xs" aria-label="Figures of the result">
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Figure</Table.Th>
          <Table.Th ta="right">Value, with its 95% interval</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {figureRows(result).map(({ name, value, interval, note }) => (
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

/** The verdict's own lines: findings stand among them too, and are shown once. */
function judged(result: Result) {
  const found = new Set(result.findings.map((finding) => finding.code));
  return result.evidence.filter((line) => !(line.passed === null && found.has(line.check)));
}
