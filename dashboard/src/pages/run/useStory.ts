import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { type LineState, openStream } from "../../api/stream";
import { asEvent, type RunEvent } from "./event";
import { phasesQuery, runQuery } from "./runQueries";
import { advance, BEGINNING, phaseMark, type Story } from "./story";

/** Events that come together are folded together: a replay of thousands draws a few times, a single one at once. */
const GATHER_MS = 100;

export interface Followed {
  story: Story;
  line: LineState;
}

/** The run's events from its first on, live; what they change on the server is read again. */
export function useStory(runId: string): Followed {
  const [story, setStory] = useState(BEGINNING);
  const [line, setLine] = useState<LineState>("connecting");
  useEffect(() => {
    setStory(BEGINNING);
    let waiting: RunEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    let shownAt = Number.NEGATIVE_INFINITY;
    const show = () => {
      timer = undefined;
      shownAt = performance.now();
      const news = waiting;
      waiting = [];
      setStory((before) => advance(before, news));
    };
    const close = openStream({
      url: `/v1/runs/${encodeURIComponent(runId)}/events`,
      onState: setLine,
      onEvent: (message) => {
        const event = asEvent(message.data);
        if (event === null) return;
        waiting.push(event);
        timer ??= setTimeout(show, Math.max(0, shownAt + GATHER_MS - performance.now()));
      },
    });
    return () => {
      clearTimeout(timer);
      close();
    };
  }, [runId]);
  useRereading(runId, story, line === "over");
  return { story, line };
}

/** Reads the run's phases again as it goes on, and all of it once it has ended. */
function useRereading(runId: string, story: Story, over: boolean): void {
  const queryClient = useQueryClient();
  const mark = phaseMark(story);
  const ended = story.ended || over;
  const first = useRef(true);
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    if (queryClient.getQueryData(runQuery(runId).queryKey)?.finished) return;
    if (ended) void queryClient.invalidateQueries({ queryKey: runQuery(runId).queryKey });
    else if (mark) void queryClient.invalidateQueries({ queryKey: phasesQuery(runId).queryKey });
  }, [queryClient, runId, mark, ended]);
}
