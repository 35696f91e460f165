import { Anchor, Button, Stack, Text } from "@mantine/core";
import { asError } from "../api/client";
import { ProblemAlert } from "./ProblemAlert";
import { Time } from "./Time";

interface Reading {
  data: unknown;
  error: unknown;
  dataUpdatedAt: number;
  isFetching: boolean;
  refetch: () => unknown;
}

/**
 * Why something could not be read: the whole problem where there is nothing to show, a quiet line where there is; what
 * was read before stays in its place then.
 */
export function ReadFault({ of: reading }: { of: Reading }) {
  const { data, error, dataUpdatedAt, isFetching, refetch } = reading;
  if (!error) return null;
  const read = () => void refetch();
  if (data === undefined)
    return (
      <Stack align="flex-start" gap="sm">
        <ProblemAlert error={error} />
        <Button variant="default" loading={isFetching} onClick={read}>
          Try again
        </Button>
      </Stack>
    );
  return (
    <Text size="sm" c="dimmed" role="status" data-stale>
      Could not be read again: {asError(error).problem.title} What is shown is of{" "}
      <Time at={new Date(dataUpdatedAt).toISOString()} />.{" "}
      <Anchor
        component="button"
        type="button"
        size="sm"
        underline="always"
        disabled={isFetching}
        onClick={read}
      >
        {isFetching ? "Reading…" : "Read again"}
      </Anchor>
    </Text>
  );
}
