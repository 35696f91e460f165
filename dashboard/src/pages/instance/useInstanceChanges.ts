import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { Shapes } from "../../api/client";
import { openStream } from "../../api/stream";

interface Changes {
  items: Shapes["Overview"][];
  removed: string[];
}

/** Reads the page's queries again when the server says that something of this instance changed. */
export function useInstanceChanges(id: string): void {
  const queryClient = useQueryClient();
  useEffect(
    () =>
      openStream({
        url: "/v1/instances/changes",
        onState: () => undefined,
        onEvent: (event) => {
          if (event.event !== "instances") return;
          const changes = JSON.parse(event.data) as Changes;
          if (changes.items.some((item) => item.id === id) || changes.removed.includes(id))
            void queryClient.invalidateQueries({ queryKey: ["instance", id] });
        },
      }),
    [id, queryClient],
  );
}
