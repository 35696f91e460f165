import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { api, take } from "../../api/client";
import { Confirm } from "./Confirm";
import type { Instance } from "./instanceQueries";

interface Props {
  instance: Instance;
  busy: boolean;
  opened: boolean;
  onClose: () => void;
}

export function DeleteInstance({ instance, busy, opened, onClose }: Props) {
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const deleting = useMutation({
    mutationFn: () =>
      take(
        api.DELETE("/v1/instances/{instance_id}", {
          params: { path: { instance_id: instance.id } },
        }),
      ),
    onSuccess: async () => {
      notifications.show({ message: `${instance.vast_instance_id} is deleted.` });
      await navigate({ to: "/instances" });
      queryClient.removeQueries({ queryKey: ["instance", instance.id] });
      await queryClient.invalidateQueries({ queryKey: ["instances"] });
    },
  });
  return (
    <Confirm
      title={`Delete ${instance.vast_instance_id}?`}
      text="The instance goes, with its runs, results, schedule, login key and inventory item. This can't be undone. On the machine nothing is changed."
      button="Delete"
      prevented={busy ? "A test is under way; cancel it first." : undefined}
      opened={opened}
      onClose={onClose}
      doing={deleting}
    />
  );
}
