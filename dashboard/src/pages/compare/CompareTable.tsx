import { ActionIcon, Group, Skeleton, Stack, Table, Text, Tooltip } from "@mantine/core";
import { IconArrowDown, IconArrowUp, IconEqualNot, IconX } from "@tabler/icons-react";
import { Fragment } from "react";
import { asError } from "../../api/client";
import { StateBadge } from "../../parts/Badges";
import { LinkAnchor } from "../../parts/Links";
import { Time } from "../../parts/Time";
import classes from "./CompareTable.module.css";
import { changeText, type Group as Rows } from "./compare";
import type { Chosen } from "./compareSearch";
import type { Cell, Row } from "./row";
import type { Column } from "./useSides";

interface Props {
  columns: Column[];
  groups: Rows[];
  onRemove: (chosen: Chosen) => void;
}

export function CompareTable({ columns, groups, onRemove }: Props) {
  return (
    <Table.ScrollContainer minWidth={160 + columns.length * 190}>
      <Table className={classes.table} aria-label="Comparison" verticalSpacing={6}>
        <Table.Thead>
          <Table.Tr>
            <Table.Td className={classes.name} />
            {columns.map((column, index) => (
              <Table.Th key={column.side.key} scope="col" style={{ verticalAlign: "top" }}>
                <ColumnHead column={column} number={index + 1} onRemove={onRemove} />
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {groups.map(({ name, rows }) => (
            <Fragment key={name}>
              <Table.Tr>
                <Table.Th scope="colgroup" colSpan={columns.length + 1} className={classes.group}>
                  {name}
                </Table.Th>
              </Table.Tr>
              {rows.map((row) => (
                <OneRow key={row.name} row={row} columns={columns} />
              ))}
            </Fragment>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function ColumnHead({
  column: { side, chosen, loading, error },
  number,
  onRemove,
}: {
  column: Column;
  number: number;
  onRemove: (chosen: Chosen) => void;
}) {
  const { instance, run, result } = side;
  const name = instance?.vast_instance_id ?? (error ? "Not found" : "…");
  const runId = run?.id ?? result?.run_id;
  return (
    <Stack gap={4}>
      <Group justify="space-between" wrap="nowrap" align="flex-start" gap={4}>
        <Text size="sm" fw={650} style={{ overflowWrap: "anywhere" }}>
          {number}. {name}
        </Text>
        <Tooltip label="Take out">
          <ActionIcon
            variant="subtle"
            color="gray"
            size="sm"
            onClick={() => onRemove(chosen)}
            aria-label={`Take out ${name}`}
          >
            <IconX size={14} />
          </ActionIcon>
        </Tooltip>
      </Group>
      {loading && !error && <Skeleton h={16} />}
      {error !== null && error !== undefined && (
        <Text size="xs" c="var(--mantine-color-error)">
          {asError(error).message}
        </Text>
      )}
      {(run ?? result) && (
        <Group gap={6}>
          <StateBadge state={run?.state ?? result?.verdict ?? ""} size="sm" />
          <Text size="xs" c="dimmed" component="span" fw={400}>
            <Time at={run?.finished_at ?? run?.created_at ?? result?.created_at} />
          </Text>
          {runId && (
            <LinkAnchor to="/runs/$runId" params={{ runId }} size="xs" underline="always" fw={400}>
              Open the run
            </LinkAnchor>
          )}
        </Group>
      )}
      {!loading && !error && !run && !result && (
        <Text size="xs" c="dimmed" fw={400}>
          No result yet
        </Text>
      )}
      {run && !result && (
        <Text size="xs" c="dimmed" fw={400}>
          This run has no result
        </Text>
      )}
    </Stack>
  );
}

function OneRow({ row, columns }: { row: Row; columns: Column[] }) {
  return (
    <Table.Tr className={classes.row} data-differs={row.differs || undefined}>
      <Table.Th scope="row" className={classes.name} fw={500}>
        <Group gap={6} wrap="nowrap">
          {row.name}
          {row.differs && (
            <IconEqualNot size={14} role="img" aria-label="differs" className={classes.mark} />
          )}
        </Group>
      </Table.Th>
      {row.cells.map((cell, index) => (
        <Table.Td key={columns[index]?.side.key} className={classes.cell}>
          <Value cell={cell} />
        </Table.Td>
      ))}
    </Table.Tr>
  );
}

function Value({ cell: { text, note, change, rank } }: { cell: Cell }) {
  const Icon = rank === "best" ? IconArrowUp : IconArrowDown;
  return (
    <>
      <Group gap={8} component="span">
        <span>{text}</span>
        {change !== null && (
          <Text size="xs" c="dimmed" component="span">
            {changeText(change)}
          </Text>
        )}
        {rank && (
          <span
            className={`${classes.rank} ${rank === "best" ? "state-teal" : "state-red"}`}
            data-rank={rank}
          >
            <Icon size={12} aria-hidden /> {rank}
          </span>
        )}
      </Group>
      {note && (
        <Text size="xs" c="dimmed">
          {note}
        </Text>
      )}
    </>
  );
}
