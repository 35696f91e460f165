import { Button, Group, Modal, NumberInput, Stack, Text, TextInput, Tooltip } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, asError, take } from "../../api/client";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { type Instance, instanceQuery } from "./instanceQueries";

interface Props {
  instance: Instance;
  opened: boolean;
  onClose: () => void;
}

export function ChangeInstance({ instance, opened, onClose }: Props) {
  return (
    <Modal opened={opened} onClose={onClose} title={`Edit ${instance.vast_instance_id}`} size="lg">
      <ChangeForm instance={instance} onClose={onClose} />
    </Modal>
  );
}

const FIELDS = [
  "provider",
  "location",
  "price_per_hour",
  "ssh_host",
  "ssh_port",
  "ssh_user",
] as const;
type Values = Pick<Instance, (typeof FIELDS)[number]>;

function ChangeForm({ instance, onClose }: Omit<Props, "opened">) {
  const [opened] = useState(instance);
  const [values, setValues] = useState<Values>(instance);
  const queryClient = useQueryClient();
  // Only what was changed is sent: the rest may have been changed elsewhere meanwhile.
  const changes = Object.fromEntries(
    FIELDS.filter((name) => values[name] !== opened[name]).map((name) => [name, values[name]]),
  );
  const changing = useMutation({
    mutationFn: () =>
      take(
        api.PATCH("/v1/instances/{instance_id}", {
          params: { path: { instance_id: instance.id } },
          body: changes,
        }),
      ),
    onSuccess: async (changed) => {
      queryClient.setQueryData(instanceQuery(instance.id).queryKey, changed);
      notifications.show({ message: "Saved.", color: "teal" });
      onClose();
      await queryClient.invalidateQueries({ queryKey: ["instance", instance.id] });
    },
  });
  const error = changing.error ? asError(changing.error) : undefined;
  const set = (change: Partial<Values>) => setValues({ ...values, ...change });
  const line = (name: "provider" | "location" | "ssh_host" | "ssh_user", label: string) => (
    <TextInput
      label={label}
      maxLength={name === "ssh_host" ? 255 : 200}
      required={name.startsWith("ssh")}
      value={values[name] ?? ""}
      onChange={(event) => {
        const typed = event.currentTarget.value;
        set({ [name]: typed === "" && !name.startsWith("ssh") ? null : typed });
      }}
      error={error?.at(name)}
    />
  );
  const same = Object.keys(changes).length === 0;
  const moved = "ssh_host" in changes || "ssh_port" in changes;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (!same) changing.mutate();
      }}
    >
      <Stack gap="sm">
        {error && <ProblemAlert error={error} />}
        {line("provider", "Provider")}
        {line("location", "Location")}
        <NumberInput
          label="Price per hour"
          description="For the whole machine, in US dollars"
          prefix="$"
          min={0}
          decimalScale={4}
          value={values.price_per_hour ?? ""}
          onChange={(value) => set({ price_per_hour: typeof value === "number" ? value : null })}
          error={error?.at("price_per_hour")}
        />
        <Group grow align="flex-start" preventGrowOverflow={false}>
          {line("ssh_host", "SSH host")}
          <NumberInput
            label="SSH port"
            required
            min={1}
            max={65535}
            allowDecimal={false}
            maw={140}
            value={values.ssh_port}
            onChange={(value) => typeof value === "number" && set({ ssh_port: value })}
            error={error?.at("ssh_port")}
          />
        </Group>
        {line("ssh_user", "SSH user")}
        {moved && (
          <Text size="sm" role="status">
            Another address is another machine: its status, test status and host key start anew. The
            history stays.
          </Text>
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Close
          </Button>
          <Tooltip label="Nothing is changed yet." disabled={!same}>
            <Button
              type="submit"
              loading={changing.isPending}
              data-disabled={same || undefined}
              aria-disabled={same}
            >
              Save
            </Button>
          </Tooltip>
        </Group>
      </Stack>
    </form>
  );
}
