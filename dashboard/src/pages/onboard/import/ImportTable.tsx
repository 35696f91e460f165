import {
  Button,
  Checkbox,
  Group,
  List,
  Loader,
  SegmentedControl,
  Stack,
  Table,
  Text,
} from "@mantine/core";
import { memo, useState } from "react";
import { dollarsPerHour, number, UNKNOWN } from "../../../parts/format";
import { LinkAnchor } from "../../../parts/Links";
import type { Row } from "./row";
import type { Outcome } from "./useImport";

const AT_FIRST = 100;

interface Props {
  rows: readonly Row[];
  outcomes: ReadonlyMap<Row, Outcome>;
  chosen: ReadonlySet<Row>;
  onChoose: (rows: readonly Row[], chosen: boolean) => void;
  disabled: boolean;
}

type View = "all" | "ready" | "problems" | "failed";

/** What would be onboarded, and what became of it. */
export function ImportTable({ rows, outcomes, chosen, onChoose, disabled }: Props) {
  const [view, setView] = useState<View>("all");
  const [most, setMost] = useState(AT_FIRST);
  const views = sorted(rows, outcomes);
  const shown = views[view];
  return (
    <Stack gap="sm">
      <SegmentedControl
        size="xs"
        aria-label="Rows to show"
        style={{ alignSelf: "flex-start", maxWidth: "100%" }}
        value={view}
        onChange={(value) => setView(value as View)}
        data={(Object.keys(NAMES) as View[]).map((value) => ({
          value,
          label: `${NAMES[value]} ${number(views[value].length)}`,
        }))}
      />
      <Table.ScrollContainer minWidth={600} type="native">
        <Table aria-label="Machines to import" verticalSpacing={6} highlightOnHover>
          <Table.Thead>
            <Table.Tr>
              <Table.Th w={40}>
                <ChooseAll
                  ready={views.ready}
                  chosen={chosen}
                  onChoose={onChoose}
                  disabled={disabled}
                />
              </Table.Th>
              <Table.Th>Instance id</Table.Th>
              <Table.Th w="38%">Outcome</Table.Th>
              <Table.Th>GPU</Table.Th>
              <Table.Th ta="right">Price</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {shown.slice(0, most).map((row) => (
              <MachineRow
                key={row.place + row.name}
                row={row}
                outcome={outcomes.get(row)}
                chosen={chosen.has(row)}
                onChoose={onChoose}
                disabled={disabled}
              />
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {shown.length === 0 && (
        <Text size="sm" c="dimmed" ta="center" py="md">
          There are none.
        </Text>
      )}
      {shown.length > most && (
        <Group justify="center">
          <Text size="sm" c="dimmed">
            {number(most)} of {number(shown.length)} are shown.
          </Text>
          <Button variant="default" size="xs" onClick={() => setMost(most + 500)}>
            Show more
          </Button>
        </Group>
      )}
    </Stack>
  );
}

const NAMES: Record<View, string> = {
  all: "All",
  ready: "Ready",
  problems: "Problems",
  failed: "Failed",
};

function sorted(rows: readonly Row[], outcomes: Props["outcomes"]): Record<View, Row[]> {
  const views: Record<View, Row[]> = { all: [...rows], ready: [], problems: [], failed: [] };
  for (const row of rows) {
    if (row.problems.length > 0) views.problems.push(row);
    else if (outcomes.get(row)?.state !== "onboarded") views.ready.push(row);
    if (outcomes.get(row)?.state === "failed") views.failed.push(row);
  }
  return views;
}

interface ChooseAllProps extends Pick<Props, "chosen" | "onChoose" | "disabled"> {
  ready: readonly Row[];
}

function ChooseAll({ ready, chosen, onChoose, disabled }: ChooseAllProps) {
  const count = ready.filter((row) => chosen.has(row)).length;
  const all = ready.length > 0 && count === ready.length;
  return (
    <Checkbox
      aria-label="Choose all that are ready"
      disabled={disabled || ready.length === 0}
      checked={all}
      indeterminate={count > 0 && !all}
      onChange={() => onChoose(ready, !all)}
    />
  );
}

interface RowProps extends Pick<Props, "onChoose" | "disabled"> {
  row: Row;
  outcome: Outcome | undefined;
  chosen: boolean;
}

const MachineRow = memo(function MachineRow(props: RowProps) {
  const { row, outcome, chosen, onChoose, disabled } = props;
  const fixed = row.problems.length > 0 || outcome?.state === "onboarded";
  return (
    <Table.Tr data-name={row.name}>
      <Table.Td>
        <Checkbox
          aria-label={`Choose ${row.name || row.place}`}
          checked={chosen && !fixed}
          disabled={disabled || fixed}
          onChange={(event) => onChoose([row], event.currentTarget.checked)}
        />
      </Table.Td>
      <Table.Td style={{ overflowWrap: "anywhere" }}>
        <Text size="sm" fw={500}>
          {row.name || UNKNOWN}
        </Text>
        <Text size="xs" c="dimmed">
          {row.user}@{row.host || "?"}:{row.port ?? "?"}, {row.place}
        </Text>
      </Table.Td>
      <Table.Td style={{ overflowWrap: "anywhere" }}>
        <OutcomeCell row={row} outcome={outcome} />
      </Table.Td>
      <Table.Td>{gpuOf(row)}</Table.Td>
      <Table.Td ta="right">{dollarsPerHour(row.amounts.price_per_hour)}</Table.Td>
    </Table.Tr>
  );
});

function gpuOf({ texts, amounts }: Row): string {
  const { gpu_count: count } = amounts;
  if (!texts.gpu_name) return count === undefined ? UNKNOWN : `${number(count)} GPUs`;
  return count === undefined ? texts.gpu_name : `${number(count)} × ${texts.gpu_name}`;
}

function OutcomeCell({ row, outcome }: { row: Row; outcome: Outcome | undefined }) {
  if (row.problems.length > 0)
    return (
      <List size="sm" listStyleType="none" c="var(--mantine-color-error)">
        {row.problems.map((problem) => (
          <List.Item key={problem}>{problem}</List.Item>
        ))}
      </List>
    );
  switch (outcome?.state) {
    case "sending":
      return <Loader size="xs" aria-label="being onboarded" role="img" />;
    case "onboarded":
      return (
        <Text size="sm">
          Onboarded:{" "}
          <LinkAnchor
            to="/instances/$instanceId"
            params={{ instanceId: outcome.instanceId }}
            size="sm"
            underline="always"
          >
            open {row.name}
          </LinkAnchor>
        </Text>
      );
    case "failed":
      return (
        <Text size="sm" c="var(--mantine-color-error)">
          {outcome.error.problem.detail}
        </Text>
      );
    default:
      return (
        <Text size="sm" c="dimmed">
          Ready
        </Text>
      );
  }
}
