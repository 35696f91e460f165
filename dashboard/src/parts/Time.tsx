import { useSyncExternalStore } from "react";
import { exact, relative, UNKNOWN } from "./format";

const listeners = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

/** One clock for all times on a page; it ticks while somebody looks at one. */
function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of listeners) each();
  }, 10_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** Relative, with the exact time on hover. */
export function Time({ at, isBrief }: { at: string | null | undefined; isBrief?: boolean }) {
  useSyncExternalStore(subscribe, () => now);
  if (!at) return <span>{UNKNOWN}</span>;
  const date = new Date(at);
  return (
    <time dateTime={at} title={exact(date)}>
      {relative(date, new Date(), isBrief)}
    </time>
  );
}
