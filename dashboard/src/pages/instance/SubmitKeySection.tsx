import { Button, Group, NumberInput, Stack, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, type Shapes, take } from "../../api/client";
import { LinkAnchor } from "../../parts/Links";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { Section } from "../../parts/Section";
import { KeyDialog } from "../profile/KeyDialog";
import { keysQuery } from "../profile/keysQuery";
import type { Instance } from "./instanceQueries";

type Wanted = Shapes["NewSubmitKey"];

const DAYS = 7;
const MOST_DAYS = 90;

/** A key for the agent that is run by hand on the machine: it submits this instance's results and does nothing else. */
export function SubmitKeySection({ instance }: { instance: Instance }) {
  const [opened, { open, close }] = useDisclosure();
  return (
    <Section
      title="Submit by hand"
      text={
        <>
          The agent that a check or a test has left on the machine can be run by hand, too. The key
          that it needs submits for this instance only, for some days, and is revoked on your{" "}
          <LinkAnchor to="/profile" inherit underline="always">
            profile
          </LinkAnchor>
          .
        </>
      }
    >
      <Button variant="default" onClick={open} style={{ alignSelf: "flex-start" }}>
        New submit key
      </Button>
      <NewSubmitKey instance={instance} opened={opened} onClose={close} />
    </Section>
  );
}

interface Props {
  instance: Instance;
  opened: boolean;
  onClose: () => void;
}

function NewSubmitKey({ instance, opened, onClose }: Props) {
  const queryClient = useQueryClient();
  const form = useForm({ initialValues: { name: "", days: DAYS } });
  const making = useMutation({
    mutationFn: (body: Wanted) =>
      take(
        api.POST("/v1/instances/{instance_id}/submit-keys", {
          params: { path: { instance_id: instance.id } },
          body,
        }),
      ),
    onSuccess: () => queryClient.invalidateQueries(keysQuery),
  });
  const close = () => {
    making.reset(); // the key is kept nowhere in the page
    onClose();
  };
  return (
    <KeyDialog
      title={`New submit key for ${instance.vast_instance_id}`}
      opened={opened}
      onClose={close}
      made={making.data?.key}
      example={(key) => byHand(key, instance.id)}
    >
      <form
        onSubmit={form.onSubmit(({ name, days }) =>
          making.mutate({ name: name.trim() || null, expires_in_days: days }),
        )}
      >
        <Stack>
          {making.error && <ProblemAlert error={making.error} />}
          <TextInput
            label="Name"
            description="As you would look for it later; it may be left out."
            maxLength={100}
            data-autofocus
            {...form.getInputProps("name")}
          />
          <NumberInput
            label="Days until it expires"
            min={1}
            max={MOST_DAYS}
            clampBehavior="strict"
            allowDecimal={false}
            required
            {...form.getInputProps("days")}
          />
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={close}>
              Cancel
            </Button>
            <Button type="submit" loading={making.isPending}>
              Make the key
            </Button>
          </Group>
        </Stack>
      </form>
    </KeyDialog>
  );
}

/** With the agent that a check or a test has left there; the key stays out of the list of processes. */
function byHand(key: string, instanceId: string): string {
  const address = `${window.location.origin}/functions/v1/submit-test-results`;
  return `HARBORX_API_KEY=${key} python3 ~/.harborx/agents/*.pyz --gpu-instance-id ${instanceId} --api-url ${address}`;
}
