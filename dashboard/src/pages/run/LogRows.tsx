import { Button, Highlight, Text } from "@mantine/core";
import { IconArrowDown } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";
import { exact } from "../../parts/format";
import classes from "./LogRows.module.css";
import { timeOf } from "./logLines";
import type { Line } from "./story";

interface Props {
  lines: Line[];
  search: string;
  live: boolean;
  /** Why there is no line, where there is none. */
  why: keyof typeof EMPTY;
}

const EMPTY = {
  filtered: "No event fits the search and the types.",
  waiting: "Waiting for the first event.",
  silent: "This run ended without an event.",
};

const LINE_HEIGHT = 22;
/** As far from the end as a reader would still call being there, in pixels. */
const AT_END = 24;

/** Sticks to the newest line until one scrolls up; only the lines in sight are in the document. */
export function LogRows({ lines, search, live, why }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [follows, setFollows] = useState(true);
  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => LINE_HEIGHT,
    getItemKey: (index) => lines[index]?.event.seq ?? index,
    overscan: 12,
    anchorTo: "end",
    followOnAppend: true,
    scrollEndThreshold: AT_END,
  });
  const isFilled = lines.length > 0;
  // A log that is there already when it is shown is opened at its end, like one that grows.
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when the first lines are there
  useEffect(() => {
    if (isFilled) rows.scrollToEnd();
  }, [isFilled]);
  // Rows that are measured, filtered or appended move the end without a scroll.
  useEffect(() => setFollows(rows.isAtEnd(AT_END)));
  return (
    <div className={classes.frame}>
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
      {!follows && lines.length > 0 && (
        <Button
          size="xs"
          className={classes.resume}
          leftSection={<IconArrowDown size={14} aria-hidden />}
          onClick={() => rows.scrollToEnd()}
        >
          {live ? "Paused: follow again" : "To the end"}
        </Button>
      )}
    </div>
  );
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
