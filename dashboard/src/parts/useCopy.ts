import { useEffect, useRef, useState } from "react";

/** `selected`: no way to the clipboard was left, and the text waits for the reader's own Ctrl+C. */
export type Outcome = "none" | "copied" | "selected";

const SHOWN_MS = 1500;

/**
 * Copies a text that stands in `source`. Browsers keep the clipboard from pages on plain http; there the old command
 * does it, and where that is refused, too, the text is left selected.
 */
export function useCopy(text: string) {
  const source = useRef<HTMLElement>(null);
  const [outcome, setOutcome] = useState<Outcome>("none");
  useEffect(() => {
    if (outcome !== "copied") return;
    const timer = setTimeout(() => setOutcome("none"), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [outcome]);
  const copy = async () => {
    const isDone = (await byClipboard(text)) || byCommand(text, source.current);
    setOutcome(isDone ? "copied" : "selected");
  };
  return { source, outcome, copy: () => void copy() };
}

async function byClipboard(text: string): Promise<boolean> {
  if (!navigator.clipboard) return false;
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // the reader or a policy forbids it
  }
}

/** Selects what is shown, for the command copies a selection; the listener sees to it that it is the text exactly. */
function byCommand(text: string, shown: HTMLElement | null): boolean {
  if (shown === null) return false;
  const selection = window.getSelection();
  selection?.selectAllChildren(shown);
  let isWritten = false;
  const write = (event: ClipboardEvent) => {
    event.clipboardData?.setData("text/plain", text);
    event.preventDefault();
    isWritten = true;
  };
  document.addEventListener("copy", write);
  try {
    isWritten = document.execCommand("copy") && isWritten;
  } finally {
    document.removeEventListener("copy", write);
  }
  if (isWritten) selection?.removeAllRanges();
  return isWritten;
}
