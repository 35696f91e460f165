import { Text } from "@mantine/core";

/** What the word means, and what it does not. */
export function Verified() {
  return (
    <div className="surface" style={{ padding: "var(--mantine-spacing-md)" }}>
      <Text size="sm" maw={900}>
        <b>Verified</b> means that our server logged in to the machine over SSH, trained ResNet-50
        on it and judged the figures against what such a GPU can do. GPU, count, speed and power are
        what we measured then, not what the supplier claims; location and price are the supplier's
        word.
      </Text>
      <Text size="sm" c="dimmed" maw={900} mt="xs">
        What it does not cover: a supplier has root on the machine, and with enough effort could
        relay the work to a better card elsewhere. A figure says how the machine did at that time
        and under those conditions, not that it always will.
      </Text>
    </div>
  );
}
