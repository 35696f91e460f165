import { Alert, Code, Stack, Text } from "@mantine/core";
import { IconAlertTriangle, IconBan, IconHelpCircle } from "@tabler/icons-react";
import { type Fact, Facts } from "../../parts/Facts";
import { Section } from "../../parts/Section";
import { isRecord } from "./event";
import type { Run } from "./runQueries";

type Failure = NonNullable<Run["error"]>;

const LOOKS: Record<string, { color: string; icon: typeof IconBan; title: string }> = {
  failed: { color: "red", icon: IconAlertTriangle, title: "The run failed" },
  inconclusive: { color: "yellow", icon: IconHelpCircle, title: "The run proved nothing" },
  cancelled: { color: "gray", icon: IconBan, title: "The run was cancelled" },
};

/** Why a run did not pass: its code, what happened, what to do, and what was seen. */
export function FailureSection({ state, error }: { state: string; error: Failure }) {
  const {
    color,
    icon: Icon,
    title,
  } = LOOKS[state] ?? {
    color: "red",
    icon: IconAlertTriangle,
    title: "The run did not pass",
  };
  const { facts, blocks } = seen(error.evidence);
  return (
    <Section title={title} action={<Code fz="sm">{error.code}</Code>}>
      <Alert
        color={color}
        variant="outline"
        icon={<Icon size={18} />}
        styles={{ title: { color: "var(--mantine-color-text)" } }}
        title="What happened"
      >
        <Text size="sm" style={{ overflowWrap: "anywhere" }}>
          {error.message}
        </Text>
      </Alert>
      <div>
        <Text size="sm" fw={600}>
          What to do
        </Text>
        <Text size="sm">{error.remedy}</Text>
      </div>
      {facts.length + blocks.length > 0 && (
        <Stack gap="xs">
          <Text size="sm" fw={600}>
            What was seen
          </Text>
          {facts.length > 0 && <Facts facts={facts} />}
          {blocks.map(([name, text]) => (
            <div key={name}>
              <Text size="xs" c="dimmed" mb={4}>
                {name}
              </Text>
              <Code
                block
                tabIndex={0}
                role="region"
                aria-label={name}
                mah={260}
                style={PREFORMATTED}
              >
                {text}
              </Code>
            </div>
          ))}
        </Stack>
      )}
    </Section>
  );
}

const PREFORMATTED = {
  overflow: "auto",
  whiteSpace: "pre-wrap",
  overflowWrap: "anywhere",
} as const;
/** Longer than this a text is a block of its own. */
const LONGEST_FACT = 120;

/** Evidence as facts, where it is short, and as what a terminal would have shown. */
export function seen(evidence: Record<string, unknown>): {
  facts: Fact[];
  blocks: [name: string, text: string][];
} {
  const facts: Fact[] = [];
  const blocks: [string, string][] = [];
  for (const [key, value] of Object.entries(evidence)) {
    if (value === null || value === "") continue;
    const name = key.replaceAll("_", " ");
    const text = asText(value);
    if (text.includes("\n") || text.length > LONGEST_FACT || isOutput(key))
      blocks.push([name, text]);
    else facts.push([name, text]);
  }
  return { facts, blocks };
}

function isOutput(key: string): boolean {
  return ["stdout", "stderr", "stderr_tail", "detail"].includes(key);
}

function asText(value: unknown): string {
  if (Array.isArray(value)) return value.map(asText).join("\n");
  if (isRecord(value))
    return Object.entries(value)
      .map(([name, each]) => `${name}: ${asText(each)}`)
      .join("\n");
  return String(value);
}
