import { ActionIcon, Button, Group, Text, Tooltip } from "@mantine/core";
import { IconAdjustments, IconPlayerPlay, IconX } from "@tabler/icons-react";
import type { Overview } from "../../api/fleet";
import { number } from "../../parts/format";
import { LinkButton } from "../../parts/Links";
import classes from "./instances.module.css";
import { useTestingActions } from "./useTesting";

const COMPARED = { least: 2, most: 5 };

interface Props {
  selected: Overview[];
  /** Chosen, but not among the rows that search and filters leave. */
  hidden: number;
  onClear: () => void;
}

/** What can be done with the chosen instances. */
export function SelectionBar({ selected, hidden, onClear }: Props) {
  const { test, cancel, withOptions } = useTestingActions();
  const atWork = selected.filter(({ run }) => run !== null).length;
  return (
    <Group
      gap="xs"
      className={`${classes.line} ${classes.chosen}`}
      role="group"
      aria-label="Selected instances"
    >
      <Text size="sm" component="span" role="status">
        <b>{number(selected.length)}</b> selected{hidden > 0 && `, ${number(hidden)} not shown`}
      </Text>
      <Button
        size="compact-sm"
        leftSection={<IconPlayerPlay size={14} aria-hidden />}
        onClick={() => void test(selected)}
      >
        Test {number(selected.length)}
      </Button>
      <Button
        size="compact-sm"
        variant="default"
        leftSection={<IconAdjustments size={14} aria-hidden />}
        onClick={() => withOptions(selected)}
      >
        With options…
      </Button>
      {atWork > 0 && (
        <Button size="compact-sm" variant="default" onClick={() => void cancel(selected)}>
          Cancel {number(atWork)} {atWork === 1 ? "test" : "tests"}
        </Button>
      )}
      <CompareButton selected={selected} />
      <Tooltip label="Clear the selection">
        <ActionIcon
          variant="subtle"
          color="gray"
          onClick={onClear}
          aria-label="Clear the selection"
        >
          <IconX size={16} aria-hidden />
        </ActionIcon>
      </Tooltip>
    </Group>
  );
}

function CompareButton({ selected }: { selected: Overview[] }) {
  const count = selected.length;
  if (count >= COMPARED.least && count <= COMPARED.most)
    return (
      <LinkButton
        to="/compare"
        search={{ instances: selected.map(({ id }) => id).join(","), runs: undefined }}
        size="compact-sm"
        variant="default"
      >
        Compare
      </LinkButton>
    );
  return (
    <Tooltip label="Two to five instances can be compared">
      <Button size="compact-sm" variant="default" data-disabled aria-disabled>
        Compare
      </Button>
    </Tooltip>
  );
}
