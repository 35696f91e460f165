import { Anchor, Text } from "@mantine/core";
import type { Extent, useFleet } from "../api/fleet";
import type { LineState } from "../api/stream";
import { number } from "./format";
import { ReadFault } from "./ReadFault";

/** What a page of the fleet must say of itself: that it is old, that it is not all, that it is being read. */
export function FleetState({ of: fleet }: { of: ReturnType<typeof useFleet> }) {
  const { data, line, extent, isFetching, refetch } = fleet;
  if (data === undefined) return <ReadFault of={fleet} />;
  const text = stateText(line, extent, isFetching, data.length);
  if (text === "") return null;
  return (
    <Text size="sm" c="dimmed" role="status" mb="xs" data-stale>
      {text}{" "}
      {extent !== "whole" && !isFetching && (
        <Anchor
          component="button"
          type="button"
          size="sm"
          underline="always"
          onClick={() => void refetch()}
        >
          Read again
        </Anchor>
      )}
    </Text>
  );
}

export function stateText(
  line: LineState,
  extent: Extent,
  isReading: boolean,
  count: number,
): string {
  const told: string[] = [];
  if (line === "resuming")
    told.push("The connection was lost; resuming. What is shown may be old.");
  if (extent === "first")
    told.push(
      isReading
        ? `The rest is being read: so far ${number(count)} instances are shown.`
        : `Not all instances could be read: ${number(count)} are shown.`,
    );
  if (extent === "old" && !isReading)
    told.push("The instances could not be read again. What is shown may be old.");
  return told.join(" ");
}
