import { Accordion, Button, Group, Stack, Switch, Text, Tooltip } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, asError, type ProblemError, take } from "../../api/client";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { Confirm } from "./Confirm";
import { type Schedule, scheduleQuery } from "./instanceQueries";
import { OptionsFields } from "./OptionsFields";
import { told } from "./options";
import { TimetableFields } from "./TimetableFields";
import { type Draft, refusedAt, timetableOf } from "./timetable";

interface Props {
  instanceId: string;
  schedule: Schedule | null;
  draft: Draft;
  changed: boolean;
  /** Of the preview: it is refused as saving would be. */
  refusal: ProblemError | undefined;
  onChange: (change: Partial<Draft>) => void;
  onDone: () => void;
}

export function ScheduleForm(props: Props) {
  const { instanceId, schedule, draft, changed, onDone } = props;
  const queryClient = useQueryClient();
  const saving = useMutation({
    mutationFn: () =>
      take(
        api.PUT("/v1/instances/{instance_id}/schedule", {
          params: { path: { instance_id: instanceId } },
          body: {
            ...timetableOf(draft),
            misfire: draft.misfire,
            enabled: draft.enabled,
            options: draft.options,
          },
        }),
      ),
    onSuccess: async (saved) => {
      queryClient.setQueryData(scheduleQuery(instanceId).queryKey, saved);
      onDone();
      notifications.show({ message: "The schedule is saved.", color: "teal" });
      await queryClient.invalidateQueries({ queryKey: ["instance", instanceId] });
    },
  });
  const same = schedule !== null && !changed;
  const onChange = (change: Partial<Draft>) => {
    saving.reset(); // what was refused is no longer what is typed
    props.onChange(change);
  };
  const error = saving.error ? asError(saving.error) : undefined;
  const refused = refusedAt(props.refusal ?? error);
  return (
    <form
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (!same) saving.mutate();
      }}
    >
      <Stack>
        {error && Object.keys(refusedAt(error)).length === 0 && <ProblemAlert error={error} />}
        <Switch
          label="On"
          description="Off keeps the schedule, and tests nothing."
          checked={draft.enabled}
          onChange={(event) => onChange({ enabled: event.currentTarget.checked })}
        />
        <TimetableFields draft={draft} refused={refused} onChange={onChange} />
        <Accordion variant="contained">
          <Accordion.Item value="options">
            <Accordion.Control>
              Options of the tests{" "}
              <Text span size="sm" c="dimmed">
                {told(draft.options)}
              </Text>
            </Accordion.Control>
            <Accordion.Panel>
              <OptionsFields
                options={draft.options}
                error={error}
                prefix="options."
                onChange={(options) => onChange({ options })}
              />
            </Accordion.Panel>
          </Accordion.Item>
        </Accordion>
        <Group>
          <Tooltip label="Nothing is changed yet." disabled={!same}>
            <Button
              type="submit"
              loading={saving.isPending}
              data-disabled={same || undefined}
              aria-disabled={same}
            >
              Save schedule
            </Button>
          </Tooltip>
          {changed && (
            <Button variant="default" onClick={onDone}>
              Discard changes
            </Button>
          )}
          {schedule && <Remove instanceId={instanceId} onDone={onDone} />}
        </Group>
      </Stack>
    </form>
  );
}

function Remove({ instanceId, onDone }: Pick<Props, "instanceId" | "onDone">) {
  const [opened, { open, close }] = useDisclosure();
  const queryClient = useQueryClient();
  const removing = useMutation({
    mutationFn: () =>
      take(
        api.DELETE("/v1/instances/{instance_id}/schedule", {
          params: { path: { instance_id: instanceId } },
        }),
      ),
    onSuccess: async () => {
      queryClient.setQueryData(scheduleQuery(instanceId).queryKey, null);
      onDone();
      close();
      notifications.show({ message: "The schedule is removed." });
      await queryClient.invalidateQueries({ queryKey: ["instance", instanceId] });
    },
  });
  return (
    <>
      <Button variant="subtle" color="gray" ml="auto" onClick={open}>
        Remove schedule
      </Button>
      <Confirm
        title="Remove the schedule?"
        text="The instance is no longer tested by itself. Runs and results stay."
        button="Remove"
        opened={opened}
        onClose={close}
        doing={removing}
      />
    </>
  );
}
