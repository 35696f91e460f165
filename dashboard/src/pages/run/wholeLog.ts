import { openStream } from "../../api/stream";
import { asEvent, type RunEvent } from "./event";
import type { Story } from "./story";

/** Reads a run's events from the server, from the first to number `last`. */
export type ReadEvents = (runId: string, last: number) => Promise<RunEvent[]>;

/** Every event up to the newest that the page knows, those too that it has let go of. */
export async function wholeLog(
  runId: string,
  story: Pick<Story, "lines" | "leftOut" | "lastSeq">,
  read: ReadEvents = readEvents,
): Promise<RunEvent[]> {
  if (story.leftOut === 0) return story.lines.map(({ event }) => event);
  return read(runId, story.lastSeq);
}

function readEvents(runId: string, last: number): Promise<RunEvent[]> {
  return new Promise((resolve, reject) => {
    const events: RunEvent[] = [];
    const close = openStream({
      url: `/v1/runs/${encodeURIComponent(runId)}/events`,
      onEvent: (message) => {
        const event = asEvent(message.data);
        if (event === null || event.seq > last) return;
        events.push(event);
        if (event.seq < last) return;
        close();
        resolve(events);
      },
      onState: (state) => {
        // An end before the last event: the run was deleted meanwhile.
        if (state === "over") reject(new Error("The log is gone: its run was deleted."));
      },
      onRefused: (status) => reject(new Error(`The log can't be read (status ${status}).`)),
    });
  });
}
