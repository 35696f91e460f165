import { Alert, Code, Stack, Text } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import type { Check } from "./useConnectionCheck";

type Failure = NonNullable<Check["error"]>;

/** What happened, what to do, and what was seen. */
export function CheckFailure({ error }: { error: Failure }) {
  const seen = Object.entries(error.evidence);
  return (
    <Alert
      role="alert"
      color="red"
      variant="outline"
      icon={<IconAlertTriangle size={18} aria-hidden />}
      title={error.message}
      style={{ overflowWrap: "anywhere" }}
      styles={{ title: { color: "var(--mantine-color-error)" } }}
    >
      <Stack gap="xs">
        <Text size="sm">{error.remedy}</Text>
        {seen.length > 0 && (
          <div>
            <Text size="sm" fw={500}>
              What was seen
            </Text>
            {seen.map(([name, value]) => (
              <Code block key={name} style={{ whiteSpace: "pre-wrap" }}>
                {name}: {typeof value === "string" ? value : JSON.stringify(value)}
              </Code>
            ))}
          </div>
        )}
        <Text size="xs" c="dimmed">
          Code <Code>{error.code}</Code>. Nothing was saved.
        </Text>
      </Stack>
    </Alert>
  );
}
