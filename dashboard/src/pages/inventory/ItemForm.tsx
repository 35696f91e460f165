import { Button, Group, Modal, NumberInput, Select, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type RefObject, useRef } from "react";
import { api, asError, newKey, take } from "../../api/client";
import { ProblemAlert } from "../../parts/ProblemAlert";
import type { Item, Status } from "./inventory";

interface Props {
  /** The item to change, or `new` for another. */
  item: Item | "new";
  onClose: () => void;
}

interface Values {
  gpu_model: string;
  quantity: number | string;
  hours_available: number | string;
  status: Status;
}

const MOST = 1_000_000;
const STATUSES = [
  { value: "active", label: "Active" },
  { value: "inactive", label: "Inactive" },
  { value: "maintenance", label: "Maintenance" },
];

export function ItemForm({ item, onClose }: Props) {
  const key = useRef("");
  const form = useForm<Values>({
    initialValues: valuesOf(item),
    validate,
    onValuesChange: () => {
      key.current = ""; // another request than the one before
    },
  });
  const saving = useSaving(item, key, onClose, (errors) => form.setErrors(errors));
  const placed = Object.keys(form.errors).length > 0;
  const ofInstance = item !== "new" && item.instance_id !== null;
  return (
    <Modal
      opened
      onClose={onClose}
      title={item === "new" ? "Add an item" : "Edit the item"}
      centered
    >
      <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
        <Stack>
          {saving.error && !placed && <ProblemAlert error={saving.error} />}
          {ofInstance && (
            <Text size="sm" c="dimmed">
              This item stands for an instance: its GPU and count are the instance's, and a test
              that passes makes it active.
            </Text>
          )}
          <TextInput
            label="GPU model"
            placeholder="NVIDIA H100"
            required
            maxLength={200}
            data-autofocus
            disabled={ofInstance}
            {...form.getInputProps("gpu_model")}
          />
          <Group grow align="flex-start">
            <NumberInput
              label="Quantity"
              required
              {...FIGURE}
              allowDecimal={false}
              disabled={ofInstance}
              {...form.getInputProps("quantity")}
            />
            <NumberInput
              label="Hours available"
              required
              {...FIGURE}
              {...form.getInputProps("hours_available")}
            />
          </Group>
          <Select
            label="Status"
            allowDeselect={false}
            data={STATUSES.filter(
              ({ value }) => !ofInstance || value !== "active" || item.status === "active",
            )}
            {...form.getInputProps("status")}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={saving.isPending}>
              {item === "new" ? "Add" : "Save"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

const FIGURE = { min: 0, max: MOST, allowNegative: false, thousandSeparator: "," };

function useSaving(
  item: Item | "new",
  key: RefObject<string>,
  onSaved: () => void,
  onRefused: (errors: Record<string, string>) => void,
) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (values: Values) => {
      key.current ||= newKey();
      return item === "new" ? added(values, key.current) : changed(item, values);
    },
    onSuccess: async (saved) => {
      await queryClient.invalidateQueries({ queryKey: ["inventory"] });
      notifications.show({ message: `${saved.gpu_model} is saved.`, color: "teal" });
      onSaved();
    },
    onError: (error) => {
      const pointed = asError(error).problem.errors ?? [];
      onRefused(Object.fromEntries(pointed.map((each) => [each.pointer, each.message])));
    },
  });
}

function added(values: Values, key: string): Promise<Item> {
  return take(
    api.POST("/v1/inventory", {
      params: { header: { "Idempotency-Key": key } },
      body: bodyOf(values),
    }),
  );
}

/** Says only what is new: of an instance's item the rest is not ours to set. */
function changed(item: Item, values: Values): Promise<Item> {
  const body = bodyOf(values);
  const news = Object.entries(body).filter(([name, value]) => item[name as keyof Item] !== value);
  return take(
    api.PATCH("/v1/inventory/{item_id}", {
      params: { path: { item_id: item.id } },
      body: Object.fromEntries(news),
    }),
  );
}

function bodyOf(values: Values) {
  return {
    gpu_model: values.gpu_model.trim(),
    quantity: Number(values.quantity),
    hours_available: Number(values.hours_available),
    status: values.status,
  };
}

function valuesOf(item: Item | "new"): Values {
  if (item === "new") return { gpu_model: "", quantity: 1, hours_available: 0, status: "active" };
  const { gpu_model, quantity, hours_available, status } = item;
  return { gpu_model, quantity, hours_available, status };
}

function validate(values: Values) {
  return {
    gpu_model: values.gpu_model.trim() ? null : "Which GPU it is, such as NVIDIA H100.",
    quantity: figureFault(values.quantity),
    hours_available: figureFault(values.hours_available),
  };
}

function figureFault(value: number | string): string | null {
  const figure = Number(value);
  return value !== "" && figure >= 0 && figure <= MOST ? null : "From 0 to 1,000,000.";
}
