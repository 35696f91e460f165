import { Button, Group, Highlight, Text } from "@mantine/core";
import { IconArrowDown, IconPlayerPause } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";
import { exact, number } from "../../parts/format";
import classes from "./LogRows.module.css";
import { countSince, timeOf } from "./logLines";
import type { Line } from "./story";

interface Props {
  lines: Line[];
  search: string;
  live: boolean;
  /** Why there is no line, where there is none. */
  why: keyof typeof EMPTY;
  counted: string;
  state: string;
}

const EMPTY = {
  filtered: "No event fits the search and the types.",
  waiting: "Waiting for the first event.",
  silent: "This run ended without an event.",
};

const LINE_HEIGHT = 22;
/** As far from the end as a reader would still call being there, in pixels. */
const AT_END = 24;

/** Sticks to the newest line until one pauses it or scrolls up; only the lines in sight are in the document. */
export function LogRows({ lines, search, live, why, counted, state }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [isPaused, setPaused] = useState(false);
  const [isAtEnd, setAtEnd] = useState(true);
  const follows = isAtEnd && !isPaused;
  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => LINE_HEIGHT,
    getItemKey: (index) => lines[index]?.event.seq ?? index,
    overscan: 12,
    anchorTo: "end",
    followOnAppend: !isPaused,
    scrollEndThreshold: isPaused ? -1 : AT_END,
  });
  const isFilled = lines.length > 0;
  // A log that is there already when it is shown is opened at its end, like one that grows.
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when the first lines are there
  useEffect(() => {
    if (isFilled) rows.scrollToEnd();
  }, [isFilled]);
  // Rows that are measured, filtered or appended move the end without a scroll.
  useEffect(() => setAtEnd(rows.isAtEnd(AT_END)));
  const fresh = useFresh(lines, follows);
  const follow = () => {
    setPaused(false);
    rows.scrollToEnd();
  };
  return (
    <>
      <div
        ref={box}
        className={classes.box}
        role="log"
        aria-label="Events of the run"
        aria-live="off"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable without a mouse
        tabIndex={0}
      >
        {lines.length === 0 && (
          <Text size="sm" c="dimmed" p="xs">
            {EMPTY[why]}
          </Text>
        )}
        <div style={{ height: rows.getTotalSize(), position: "relative" }}>
          {rows.getVirtualItems().map((item) => {
            const line = lines[item.index];
            return (
              line && (
                <div
                  key={item.key}
                  ref={rows.measureElement}
                  data-index={item.index}
                  data-seq={line.event.seq}
                  data-type={line.event.type}
                  className={classes.row}
                  style={{ transform: `translateY(${item.start}px)` }}
                >
                  <Row line={line} search={search} />
                </div>
              )
            );
          })}
        </div>
      </div>
      <Group justify="space-between" mt={6} gap="xs">
        <Text size="xs" c="dimmed" data-counted>
          {counted}
        </Text>
        <Group gap="xs">
          <Text size="xs" c="dimmed" role="status">
            {live && !follows ? `Paused, ${number(fresh)} new. ` : ""}
            {state}
          </Text>
          <Buttons
            live={live}
            follows={follows}
            isAtEnd={isAtEnd}
            onPause={() => setPaused(true)}
            onFollow={follow}
          />
        </Group>
      </Group>
    </>
  );
}

interface ButtonsProps {
  live: boolean;
  follows: boolean;
  isAtEnd: boolean;
  onPause: () => void;
  onFollow: () => void;
}

function Buttons({ live, follows, isAtEnd, onPause, onFollow }: ButtonsProps) {
  const down = <IconArrowDown size={12} aria-hidden />;
  if (!live)
    return isAtEnd ? null : (
      <Button size="compact-xs" variant="default" leftSection={down} onClick={onFollow}>
        To the end
      </Button>
    );
  return (
    <Button.Group>
      <Button
        size="compact-xs"
        variant={follows ? "default" : "filled"}
        aria-pressed={!follows}
        leftSection={<IconPlayerPause size={12} aria-hidden />}
        onClick={onPause}
      >
        Pause
      </Button>
      <Button
        size="compact-xs"
        variant={follows ? "filled" : "default"}
        aria-pressed={follows}
        leftSection={down}
        onClick={onFollow}
      >
        Follow
      </Button>
    </Button.Group>
  );
}

/** How many lines came since following stopped. */
function useFresh(lines: Line[], follows: boolean): number {
  const newest = lines.at(-1)?.event.seq ?? 0;
  const [stoppedAt, setStoppedAt] = useState(newest);
  useEffect(() => {
    if (follows) setStoppedAt(newest);
  }, [follows, newest]);
  return countSince(lines, stoppedAt);
}

function Row({ line, search }: { line: Line; search: string }) {
  const { event, text } = line;
  return (
    <>
      <time dateTime={event.at} title={exact(new Date(event.at))} className={classes.time}>
        {timeOf(line)}
      </time>
      <span className={classes.type}>{event.type.replaceAll("_", " ")}</span>
      {search ? (
        <Highlight highlight={search} component="span" inherit className={classes.text}>
          {text}
        </Highlight>
      ) : (
        <span className={classes.text}>{text}</span>
      )}
    </>
  );
}
