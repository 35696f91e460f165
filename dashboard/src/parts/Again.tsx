import { useEffect, useReducer } from "react";
import { duration } from "./format";

const TICK_MS = 250;

/** When something that was refused for now may be tried once more, counted down. */
export function Again({ at }: { at: number }) {
  const [, tick] = useReducer((count: number) => count + 1, 0);
  const seconds = Math.ceil((at - Date.now()) / 1000);
  const isOver = seconds <= 0;
  useEffect(() => {
    if (isOver) return;
    const timer = setInterval(tick, TICK_MS);
    return () => clearInterval(timer);
  }, [isOver]);
  return isOver ? "You can try again now." : `Again in ${duration(seconds)}.`;
}
