import { Button, Group, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQueryClient } from "@tanstack/react-query";
import { api, asError, take } from "../../api/client";
import { afterMaintenance, type Item } from "./inventory";

const UNDO_MS = 12_000;

/** What can be done to an item from its row; each tells what came of it. */
export function useItemChanges() {
  const queryClient = useQueryClient();
  const path = (item: Item) => ({ params: { path: { item_id: item.id } } });

  const tell = async (change: Promise<unknown>, done: () => void) => {
    try {
      await change;
    } catch (error) {
      const { problem } = asError(error);
      notifications.show({ color: "red", title: problem.detail, message: problem.remedy });
      return;
    } finally {
      await queryClient.invalidateQueries({ queryKey: ["inventory"] });
    }
    done();
  };

  const restore = (item: Item) =>
    tell(take(api.POST("/v1/inventory/{item_id}/restore", path(item))), () =>
      notifications.show({ message: `${item.gpu_model} is back.`, color: "teal" }),
    );

  const remove = (item: Item) =>
    tell(take(api.DELETE("/v1/inventory/{item_id}", path(item))), () =>
      offerUndo(item, () => void restore(item)),
    );

  const switchMaintenance = (item: Item) => {
    const status = afterMaintenance(item);
    return tell(
      take(api.PATCH("/v1/inventory/{item_id}", { ...path(item), body: { status } })),
      () =>
        notifications.show({ message: `${item.gpu_model} is ${WORDS[status]}.`, color: "teal" }),
    );
  };

  return { restore, remove, switchMaintenance };
}

const WORDS = {
  active: "active",
  inactive: "out of maintenance; a test makes it active",
  maintenance: "in maintenance",
};

function offerUndo(item: Item, undo: () => void): void {
  const id = `deleted-${item.id}`;
  notifications.show({
    id,
    autoClose: UNDO_MS,
    title: `${item.gpu_model} is deleted`,
    message: (
      <Group justify="space-between" gap="sm">
        <Text size="sm">For 30 days it can be restored.</Text>
        <Button
          size="xs"
          variant="default"
          onClick={() => {
            notifications.hide(id);
            undo();
          }}
        >
          Undo
        </Button>
      </Group>
    ),
  });
}
