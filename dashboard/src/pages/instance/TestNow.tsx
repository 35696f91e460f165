import { Button, Group, Modal, Stack, Text, Tooltip } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { IconPlayerPlay } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, asError, newKey, take } from "../../api/client";
import { ProblemAlert } from "../../parts/ProblemAlert";
import type { Instance, Options } from "./instanceQueries";
import { OptionsFields } from "./OptionsFields";
import { DEFAULT_OPTIONS } from "./options";

interface Props {
  instance: Instance;
  /** A test is under way: there is one at a time. */
  busy: boolean;
}

export function TestNow({ instance, busy }: Props) {
  const [opened, { open, close }] = useDisclosure();
  return (
    <>
      <Tooltip label="A test is under way; there is one at a time." disabled={!busy}>
        <Button
          leftSection={<IconPlayerPlay size={16} aria-hidden />}
          onClick={busy ? undefined : open}
          data-disabled={busy || undefined}
          aria-disabled={busy}
        >
          Test now
        </Button>
      </Tooltip>
      <Modal opened={opened} onClose={close} title={`Test ${instance.vast_instance_id}`} size="lg">
        <RequestForm instance={instance} onClose={close} />
      </Modal>
    </>
  );
}

function RequestForm({ instance, onClose }: { instance: Instance; onClose: () => void }) {
  const [options, setOptions] = useState<Options>(DEFAULT_OPTIONS);
  const [key, setKey] = useState(newKey);
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const requesting = useMutation({
    mutationFn: () =>
      take(
        api.POST("/v1/instances/{instance_id}/runs", {
          params: { path: { instance_id: instance.id }, header: { "Idempotency-Key": key } },
          body: options,
        }),
      ),
    onSuccess: async (run) => {
      notifications.show({ message: "The test is queued.", color: "teal" });
      await queryClient.invalidateQueries({ queryKey: ["instance", instance.id] });
      await navigate({ to: "/runs/$runId", params: { runId: run.id } });
    },
  });
  const error = requesting.error ? asError(requesting.error) : undefined;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        requesting.mutate();
      }}
    >
      <Stack>
        <Text size="sm" c="dimmed">
          ResNet-50 training on synthetic images. Only results with the same conditions can be
          compared with each other, so the defaults are best for a history.
        </Text>
        {error && <ProblemAlert error={error} />}
        <OptionsFields
          options={options}
          error={error}
          onChange={(changed) => {
            setOptions(changed);
            setKey(newKey()); // another request than the one that was refused
          }}
        />
        <Group justify="flex-end">
          <Button
            variant="subtle"
            color="gray"
            mr="auto"
            onClick={() => setOptions(DEFAULT_OPTIONS)}
          >
            Defaults
          </Button>
          <Button variant="default" onClick={onClose}>
            Close
          </Button>
          <Button type="submit" loading={requesting.isPending}>
            Start the test
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
