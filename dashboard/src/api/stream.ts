import { type EventSourceMessage, EventSourceParserStream } from "eventsource-parser/stream";

/** `resuming`: the line broke, and goes on after the last event that was seen. */
export type LineState = "connecting" | "live" | "resuming" | "paused" | "over";

export interface StreamOptions {
  url: string;
  onEvent: (event: EventSourceMessage) => void;
  onState: (state: LineState) => void;
  /** Told for an answer that no repeat will mend: 401, 403, 404. The stream is over then. */
  onRefused?: (status: number) => void;
}

const FIRST_WAIT = 250;
const LONGEST_WAIT = 5_000;
/** A server that says nothing for so long, not even a comment, is gone. */
const SILENCE = 40_000;
const HIDDEN_WAIT = 15_000;

/**
 * Server-sent events that go on where they broke: a reconnect sends the last id that was seen, so no event is lost and
 * none comes twice. A page that nobody sees lets go of its connection (a browser has six a server) and resumes when it
 * is seen again.
 */
export function openStream(options: StreamOptions): () => void {
  const ended = new AbortController();
  let wake: (() => void) | undefined;
  let current: AbortController | undefined;
  let hiddenTimer: ReturnType<typeof setTimeout> | undefined;

  const seen = () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = setTimeout(() => current?.abort(), HIDDEN_WAIT);
    else wake?.();
  };
  document.addEventListener("visibilitychange", seen);
  window.addEventListener("online", seen);
  void follow();
  if (document.hidden) seen(); // a tab that was opened in the background

  return () => {
    ended.abort();
    current?.abort();
    wake?.();
    clearTimeout(hiddenTimer);
    document.removeEventListener("visibilitychange", seen);
    window.removeEventListener("online", seen);
  };

  async function follow(): Promise<void> {
    let lastId: string | undefined;
    let wait = FIRST_WAIT;
    options.onState("connecting");
    while (!ended.signal.aborted) {
      current = new AbortController();
      const outcome = await readOnce(options, lastId, current, (id) => {
        lastId = id ?? lastId;
        wait = FIRST_WAIT;
      });
      if (ended.signal.aborted) return;
      if (outcome === "over") return options.onState("over");
      if (document.hidden) {
        options.onState("paused");
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      options.onState("resuming");
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, wait * (0.75 + Math.random() / 2));
      });
      wait = Math.min(wait * 2, LONGEST_WAIT);
    }
  }
}

async function readOnce(
  options: StreamOptions,
  lastId: string | undefined,
  line: AbortController,
  heard: (id: string | undefined) => void,
): Promise<"over" | "broken"> {
  let silence = setTimeout(() => line.abort(), SILENCE);
  const alive = () => {
    clearTimeout(silence);
    silence = setTimeout(() => line.abort(), SILENCE);
  };
  try {
    const answer = await fetch(options.url, {
      headers: { Accept: "text/event-stream", ...(lastId && { "Last-Event-ID": lastId }) },
      signal: line.signal,
      cache: "no-store",
    });
    if ([401, 403, 404].includes(answer.status)) {
      options.onRefused?.(answer.status);
      return "over";
    }
    if (!answer.ok || answer.body === null) return "broken";
    options.onState("live");
    const events = answer.body
      .pipeThrough(new TextDecoderStream() as unknown as ReadableWritablePair<string, Uint8Array>)
      .pipeThrough(new EventSourceParserStream({ onComment: alive }));
    const reader = events.getReader();
    while (true) {
      const { done, value } = await reader.read();
      if (done) return "broken";
      alive();
      heard(value.id);
      if (value.event === "end") return "over";
      options.onEvent(value);
    }
  } catch {
    return "broken"; // whatever broke it: the next connection says what is wrong
  } finally {
    clearTimeout(silence);
    line.abort();
  }
}
