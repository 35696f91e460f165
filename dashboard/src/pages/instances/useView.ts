import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { asSearch, asView, type View } from "./search";

const route = getRouteApi("/signed-in/instances");
const TYPED_MS = 300;

/** The view that the address names, and the way to another one. */
export function useView() {
  const search = route.useSearch();
  const navigate = useNavigate();
  const view = useMemo(() => asView(search), [search]);
  const change = useCallback(
    (part: Partial<View>) =>
      void navigate({
        to: "/instances",
        search: (old) => asSearch({ ...asView(old), ...part }),
        replace: true,
        resetScroll: false,
      }),
    [navigate],
  );
  return { view, change };
}

/** What is typed into the search: shown at once, searched when there is time, in the address after a moment. */
export function useTyped(q: string, change: (part: Partial<View>) => void) {
  const [typed, setTyped] = useState(q);
  const written = useRef(q);
  const before = useRef(q);
  if (before.current !== q) {
    before.current = q;
    if (written.current !== q) setTyped(q); // changed by something else: Back, a link, Clear
    written.current = q;
  }
  const write = useCallback(() => {
    if (written.current === typed) return;
    written.current = typed;
    change({ q: typed });
  }, [typed, change]);
  useEffect(() => {
    const timer = setTimeout(write, TYPED_MS);
    return () => clearTimeout(timer);
  }, [write]);
  return { typed, setTyped, write, searched: useDeferredValue(typed) };
}
