import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, asError, take } from "../../api/client";
import { type Instance, instanceQuery } from "./instanceQueries";

/** Puts an instance on the public listing or takes it off; both can be undone by the other. */
export function useListing(instance: Instance) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (listed: boolean) =>
      take(
        api.PATCH("/v1/instances/{instance_id}", {
          params: { path: { instance_id: instance.id } },
          body: { listed },
        }),
      ),
    onSuccess: (changed) => {
      queryClient.setQueryData(instanceQuery(instance.id).queryKey, changed);
      notifications.show({
        message: changed.listed
          ? "On the listing as soon as it is active with a passed result."
          : "Taken off the listing.",
      });
    },
    onError: (error) => notifications.show({ color: "red", message: asError(error).message }),
  });
}
