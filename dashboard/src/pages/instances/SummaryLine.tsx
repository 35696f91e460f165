import { Group, Text, UnstyledButton } from "@mantine/core";
import { useMemo } from "react";
import type { Overview } from "../../api/fleet";
import { number } from "../../parts/format";
import classes from "./instances.module.css";
import { counted, STATUSES } from "./rows";

interface Props {
  rows: Overview[];
  shown: number;
  chosen: string[];
  onChoose: (status: string[]) => void;
}

/** How many there are of each status; a count filters by it. */
export function SummaryLine({ rows, shown, chosen, onChoose }: Props) {
  const counts = useMemo(() => new Map(counted(rows, "status")), [rows]);
  return (
    <Group gap="xs" className={classes.line}>
      <Text size="sm" component="span">
        <b>{number(rows.length)}</b> {rows.length === 1 ? "instance" : "instances"}
        {shown !== rows.length && `, ${number(shown)} shown`}
      </Text>
      {STATUSES.filter((status) => counts.has(status) || chosen.includes(status)).map((status) => {
        const isChosen = chosen.length === 1 && chosen[0] === status;
        return (
          <UnstyledButton
            key={status}
            className={classes.count}
            aria-pressed={isChosen}
            title={isChosen ? "Show every status" : `Show only ${status}`}
            onClick={() => onChoose(isChosen ? [] : [status])}
          >
            <span className={classes.dot} data-status={status} />
            <b>{number(counts.get(status) ?? 0)}</b> {status}
          </UnstyledButton>
        );
      })}
    </Group>
  );
}
