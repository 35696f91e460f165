import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Changes } from "../../api/fleet";
import { readJson } from "../../api/printable";
import { type LineState, openStream } from "../../api/stream";

/**
 * Reads the page's queries again when the server says that something of this instance changed, and after each
 * connect: the stream tells only what changes from then on.
 */
export function useInstanceChanges(id: string): LineState {
  const queryClient = useQueryClient();
  const [line, setLine] = useState<LineState>("connecting");
  useEffect(() => {
    const reread = () => void queryClient.invalidateQueries({ queryKey: ["instance", id] });
    let isNew = true;
    return openStream({
      url: "/v1/instances/changes",
      onState: (state) => {
        if (state === "live") isNew = true;
        setLine(state);
      },
      onEvent: (event) => {
        if (event.event !== "instances") return;
        const changes = readJson(event.data) as Changes;
        const isOurs = changes.items.some((item) => item.id === id) || changes.removed.includes(id);
        if (isNew || isOurs) reread();
        isNew = false;
      },
      onRefused: reread, // whose refusal says why
    });
  }, [id, queryClient]);
  return line;
}
