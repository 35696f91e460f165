import { Alert, Text } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { asError } from "../api/client";
import { Again } from "./Again";

/** What happened and what to do, as the catalogue of errors has it. */
export function ProblemAlert({ error }: { error: unknown }) {
  const { problem, again } = asError(error);
  // The detail begins with the title, which stands above it already.
  const detail = problem.detail.startsWith(problem.title)
    ? problem.detail.slice(problem.title.length).trim()
    : problem.detail;
  return (
    <Alert
      role="alert"
      color="red"
      variant="outline"
      icon={<IconAlertTriangle size={18} />}
      title={problem.title}
      style={{ overflowWrap: "anywhere" }}
      // The red of an outline misses the contrast on white.
      styles={{ title: { color: "var(--mantine-color-error)" } }}
    >
      {detail && <Text size="sm">{detail}</Text>}
      {problem.remedy && (
        <Text size="sm" c="dimmed">
          {problem.remedy}
        </Text>
      )}
      {again !== undefined && (
        // A timer is not read out each time it changes, as the rest of an alert is.
        <Text size="sm" role="timer">
          <Again at={again} />
        </Text>
      )}
    </Alert>
  );
}
