import { Box, Group, NativeSelect, Stack, Text } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { Facts } from "../../parts/Facts";
import {
  dollarsPerHour,
  imagesPerDollar,
  imagesPerSecond,
  miles,
  UNKNOWN,
} from "../../parts/format";
import { LinkAnchor } from "../../parts/Links";
import { Time } from "../../parts/Time";
import { gpu, interval, Reliability } from "./figures";
import { HEADS } from "./ListingTable";
import { dollarValue, type Listed, nextSort } from "./order";

interface Props {
  items: Listed[];
  sort: string | undefined;
}

/** The table's rows where there is no room for columns. */
export function ListingCards({ items, sort }: Props) {
  const navigate = useNavigate({ from: "/listing" });
  return (
    <Box hiddenFrom="sm">
      <Stack gap="sm">
        <NativeSelect
          label="Order"
          value={sort ?? ""}
          onChange={(event) => {
            const value = event.currentTarget.value || undefined;
            void navigate({ search: (old) => ({ ...old, sort: value }) });
          }}
          data={[{ value: "", label: "Latest tested first" }, ...HEADS.flatMap(ways)]}
        />
        {items.map((listed) => (
          <Card key={listed.id} listed={listed} />
        ))}
      </Stack>
    </Box>
  );
}

function ways({ column, label }: (typeof HEADS)[number]) {
  const first = nextSort(undefined, column) ?? column;
  const second = nextSort(first, column) ?? column;
  return [first, second].map((value) => ({
    value,
    label: `${label}, ${value.startsWith("-") ? "descending" : "ascending"}`,
  }));
}

function Card({ listed }: { listed: Listed }) {
  return (
    <Stack
      component="article"
      className="surface"
      p="md"
      gap="sm"
      style={{ "--facts-column": "120px" }}
    >
      <Group justify="space-between" gap="xs" align="baseline">
        <LinkAnchor to="/listing/$listedId" params={{ listedId: listed.id }} fw={600}>
          {gpu(listed)}
        </LinkAnchor>
        <Text size="sm" c="dimmed" style={{ overflowWrap: "anywhere" }}>
          {listed.location ?? "location not told"}
        </Text>
      </Group>
      <Facts
        facts={[
          [
            "Images",
            <span key="images">
              {imagesPerSecond(listed.throughput_images_per_sec)}{" "}
              <Text span display="block" size="xs" c="dimmed">
                {interval(listed)}
              </Text>
            </span>,
          ],
          ["Compute miles", miles(listed.compute_miles_per_hour)],
          ["Price", dollarsPerHour(listed.price_per_hour)],
          ["Images per dollar", imagesPerDollar(dollarValue(listed))],
          ["Passed, 90 days", <Reliability key="reliability" listed={listed} />],
          ["Measured", <Time key="time" at={listed.measured_at} />],
          ["Precision", listed.conditions.precision ?? UNKNOWN],
        ]}
      />
    </Stack>
  );
}
