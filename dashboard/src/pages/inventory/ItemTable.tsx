import {
  ActionIcon,
  Button,
  Group,
  Skeleton,
  Table,
  Text,
  Tooltip,
  UnstyledButton,
  VisuallyHidden,
} from "@mantine/core";
import {
  IconArrowBackUp,
  IconChevronDown,
  IconChevronUp,
  IconPencil,
  IconTool,
  IconTrash,
} from "@tabler/icons-react";
import { StateBadge } from "../../parts/Badges";
import { number } from "../../parts/format";
import { LinkAnchor } from "../../parts/Links";
import { Time } from "../../parts/Time";
import { COLUMNS, type Column, clicked, type Item, type Order } from "./inventory";
import { useItemChanges } from "./useItemChanges";

interface Props {
  /** Undefined while they are on their way. */
  items: readonly Item[] | undefined;
  deleted: boolean;
  order: Order;
  onOrder: (order: Order) => void;
  onEdit: (item: Item) => void;
}

const FIGURES: Column[] = ["quantity", "hours_available"];

export function ItemTable({ items, deleted, order, onOrder, onEdit }: Props) {
  return (
    <Table.ScrollContainer minWidth={640} type="native">
      <Table
        aria-label={deleted ? "Deleted items" : "Inventory items"}
        verticalSpacing={6}
        highlightOnHover
      >
        <Table.Thead>
          <Table.Tr>
            {(Object.keys(COLUMNS) as Column[]).map((column) => (
              <Heading
                key={column}
                column={column}
                label={column === "created_at" && deleted ? "Deleted" : COLUMNS[column]}
                order={order}
                onOrder={onOrder}
              />
            ))}
            <Table.Th pos="relative">
              <VisuallyHidden>Actions</VisuallyHidden>
            </Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {items === undefined && <Waiting />}
          {items?.map((item) => (
            <ItemRow key={item.id} item={item} onEdit={onEdit} />
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

interface HeadingProps extends Pick<Props, "order" | "onOrder"> {
  column: Column;
  label: string;
}

function Heading({ column, label, order, onOrder }: HeadingProps) {
  const sorted = order.by === column;
  const Icon = order.descending ? IconChevronDown : IconChevronUp;
  return (
    <Table.Th
      aria-sort={sorted ? (order.descending ? "descending" : "ascending") : "none"}
      ta={FIGURES.includes(column) ? "right" : undefined}
    >
      <UnstyledButton fz="sm" fw={600} onClick={() => onOrder(clicked(order, column))}>
        <Group gap={4} wrap="nowrap" component="span">
          {label}
          {sorted && <Icon size={14} aria-hidden />}
        </Group>
      </UnstyledButton>
    </Table.Th>
  );
}

function Waiting() {
  return [1, 2, 3, 4, 5].map((line) => (
    <Table.Tr key={line}>
      <Table.Td colSpan={6}>
        <Skeleton h={22} />
      </Table.Td>
    </Table.Tr>
  ));
}

function ItemRow({ item, onEdit }: { item: Item; onEdit: (item: Item) => void }) {
  return (
    <Table.Tr data-item={item.id}>
      <Table.Td miw={140} style={{ overflowWrap: "anywhere" }}>
        <Text size="sm" fw={500}>
          {item.gpu_model}
        </Text>
        {item.instance_id && (
          <LinkAnchor
            to="/instances/$instanceId"
            params={{ instanceId: item.instance_id }}
            size="xs"
            underline="always"
          >
            Stands for an instance
          </LinkAnchor>
        )}
      </Table.Td>
      <Table.Td>
        <StateBadge state={item.status} />
      </Table.Td>
      <Table.Td ta="right">{number(item.quantity)}</Table.Td>
      <Table.Td ta="right">{number(item.hours_available, 1)} h</Table.Td>
      <Table.Td>
        <Time at={item.deleted_at ?? item.created_at} />
      </Table.Td>
      <Table.Td>
        {item.deleted_at ? <Restore item={item} /> : <Actions item={item} onEdit={onEdit} />}
      </Table.Td>
    </Table.Tr>
  );
}

function Restore({ item }: { item: Item }) {
  const { restore } = useItemChanges();
  return (
    <Group justify="flex-end">
      <Button
        size="xs"
        variant="default"
        leftSection={<IconArrowBackUp size={16} aria-hidden />}
        aria-label={`Restore ${item.gpu_model}`}
        onClick={() => void restore(item)}
      >
        Restore
      </Button>
    </Group>
  );
}

function Actions({ item, onEdit }: { item: Item; onEdit: (item: Item) => void }) {
  const { remove, switchMaintenance } = useItemChanges();
  const inMaintenance = item.status === "maintenance";
  return (
    <Group gap={4} justify="flex-end" wrap="nowrap">
      <Action label="Edit" item={item} icon={IconPencil} onClick={() => onEdit(item)} />
      <Action
        label={inMaintenance ? "End maintenance" : "Start maintenance"}
        item={item}
        icon={IconTool}
        filled={inMaintenance}
        onClick={() => void switchMaintenance(item)}
      />
      <Action
        label="Delete"
        item={item}
        icon={IconTrash}
        reason={item.instance_id ? "It stands for an instance and goes with it." : undefined}
        onClick={() => void remove(item)}
      />
    </Group>
  );
}

interface ActionProps {
  label: string;
  item: Item;
  icon: typeof IconTool;
  filled?: boolean;
  /** Why it can't be done. */
  reason?: string | undefined;
  onClick: () => void;
}

function Action({ label, item, icon: Icon, filled, reason, onClick }: ActionProps) {
  return (
    <Tooltip label={reason ?? label}>
      <ActionIcon
        variant={filled ? "light" : "subtle"}
        color="gray"
        size="lg"
        aria-label={`${label}: ${item.gpu_model}`}
        aria-disabled={reason !== undefined}
        data-disabled={reason !== undefined || undefined}
        onClick={reason ? undefined : onClick}
      >
        <Icon size={18} aria-hidden />
      </ActionIcon>
    </Tooltip>
  );
}
