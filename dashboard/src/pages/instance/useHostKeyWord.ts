import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "../../api/client";
import { instanceQuery } from "./instanceQueries";

/** The supplier's word that a key is the machine's: the one on record is confirmed by it, the one on offer pinned. */
export function useHostKeyWord(id: string, hostKey: string, told: string, onDone: () => void) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: () =>
      take(
        api.POST("/v1/instances/{instance_id}/host-key", {
          params: { path: { instance_id: id } },
          body: { host_key: hostKey },
        }),
      ),
    onSuccess: async (changed) => {
      queryClient.setQueryData(instanceQuery(id).queryKey, changed);
      onDone();
      notifications.show({ message: told, color: "teal" });
      await queryClient.invalidateQueries({ queryKey: ["instance", id] });
    },
  });
}
