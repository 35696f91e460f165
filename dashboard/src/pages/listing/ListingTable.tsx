import { ActionIcon, Box, Table, Text, UnstyledButton } from "@mantine/core";
import {
  IconArrowDown,
  IconArrowsSort,
  IconArrowUp,
  IconChevronDown,
  IconChevronRight,
} from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { Fragment, useState } from "react";
import { Facts } from "../../parts/Facts";
import { dollarsPerHour, imagesPerDollar, number, significant, UNKNOWN } from "../../parts/format";
import { LinkAnchor } from "../../parts/Links";
import { Time } from "../../parts/Time";
import { conditions, gpu, interval, Reliability } from "./figures";
import { type Column, dollarValue, type Listed, nextSort, orderOf } from "./order";

export const HEADS: { column: Column; label: string; unit?: string; isFigure?: boolean }[] = [
  { column: "gpu", label: "GPU" },
  { column: "location", label: "Location" },
  { column: "images", label: "Images", unit: "img/s", isFigure: true },
  { column: "miles", label: "Compute miles", unit: "cmi/h", isFigure: true },
  { column: "price", label: "Price", unit: "as offered", isFigure: true },
  { column: "value", label: "Per dollar", isFigure: true },
  { column: "reliability", label: "Passed", unit: "in 90 days", isFigure: true },
  { column: "measured", label: "Measured" },
];

interface Props {
  items: Listed[];
  sort: string | undefined;
}

export function ListingTable({ items, sort }: Props) {
  return (
    <Box className="surface" visibleFrom="sm">
      <Table.ScrollContainer minWidth={940}>
        <Table aria-label="Verified GPUs" verticalSpacing="xs" highlightOnHover>
          <Table.Thead>
            <Table.Tr>
              <Table.Td w={44} />
              {HEADS.map((head) => (
                <Head key={head.column} {...head} sort={sort} />
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {items.map((listed) => (
              <Row key={listed.id} listed={listed} />
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Box>
  );
}

type HeadProps = (typeof HEADS)[number] & { sort: string | undefined };

function Head({ column, label, unit, isFigure, sort }: HeadProps) {
  const navigate = useNavigate({ from: "/listing" });
  const order = orderOf(sort);
  const isSorted = order?.column === column;
  const Icon = !isSorted ? IconArrowsSort : order.descending ? IconArrowDown : IconArrowUp;
  return (
    <Table.Th
      aria-sort={isSorted ? (order.descending ? "descending" : "ascending") : undefined}
      ta={isFigure ? "right" : undefined}
      style={{ whiteSpace: "nowrap" }}
    >
      <UnstyledButton
        fz="sm"
        fw={600}
        ta="inherit"
        onClick={() =>
          void navigate({ search: (old) => ({ ...old, sort: nextSort(sort, column) }) })
        }
      >
        {label}{" "}
        <Icon size={13} aria-hidden opacity={isSorted ? 1 : 0.45} style={{ verticalAlign: -2 }} />
        {unit && (
          <Text span display="block" size="xs" c="dimmed">
            {unit}
          </Text>
        )}
      </UnstyledButton>
    </Table.Th>
  );
}

function Row({ listed }: { listed: Listed }) {
  const [opened, setOpened] = useState(false);
  const Chevron = opened ? IconChevronDown : IconChevronRight;
  return (
    <Fragment>
      <Table.Tr>
        <Table.Td>
          <ActionIcon
            variant="subtle"
            color="gray"
            onClick={() => setOpened(!opened)}
            aria-expanded={opened}
            aria-label={`Conditions of ${gpu(listed)}`}
          >
            <Chevron size={18} />
          </ActionIcon>
        </Table.Td>
        <Table.Td style={{ overflowWrap: "anywhere", minWidth: 180 }}>
          <LinkAnchor to="/listing/$listedId" params={{ listedId: listed.id }} fw={600} size="sm">
            {gpu(listed)}
          </LinkAnchor>
        </Table.Td>
        <Table.Td style={{ overflowWrap: "anywhere" }}>{listed.location ?? UNKNOWN}</Table.Td>
        <Table.Td ta="right">
          {significant(listed.throughput_images_per_sec)}
          <Text size="xs" c="dimmed" title="It is in here with 95 % confidence">
            {interval(listed)}
          </Text>
        </Table.Td>
        <Table.Td ta="right">{number(listed.compute_miles_per_hour)}</Table.Td>
        <Table.Td ta="right">{dollarsPerHour(listed.price_per_hour)}</Table.Td>
        <Table.Td ta="right">{imagesPerDollar(dollarValue(listed))}</Table.Td>
        <Table.Td ta="right">
          <Reliability listed={listed} />
        </Table.Td>
        <Table.Td>
          <Time at={listed.measured_at} />
        </Table.Td>
      </Table.Tr>
      {opened && (
        <Table.Tr>
          <Table.Td />
          <Table.Td colSpan={HEADS.length} py="md">
            <Facts facts={conditions(listed)} />
          </Table.Td>
        </Table.Tr>
      )}
    </Fragment>
  );
}
