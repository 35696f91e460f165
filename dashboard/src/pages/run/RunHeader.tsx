import { Button, Group, Skeleton, Text, Tooltip } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { IconArrowsDiff, IconBan, IconRefresh } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, asError, newKey, take } from "../../api/client";
import { StateBadge } from "../../parts/Badges";
import { LinkAnchor, LinkButton } from "../../parts/Links";
import { PageTitle } from "../../parts/PageTitle";
import { Time } from "../../parts/Time";
import { instanceQuery } from "../instance/instanceQueries";
import { told } from "../instance/options";
import { type Run, runQuery } from "./runQueries";

const REQUESTED: Record<string, string> = {
  api: "Requested by hand or by the API",
  schedule: "Requested by the schedule",
  cli: "Requested in a terminal",
};

/** `state` is the newest that the events told. */
export function RunHeader({ run, state }: { run: Run; state: string }) {
  const { data: instance } = useQuery(instanceQuery(run.instance_id));
  return (
    <PageTitle
      title={instance ? `Run of ${instance.vast_instance_id}` : "Run"}
      text={
        <Group gap="xs" mt={4}>
          <StateBadge state={state} />
          {instance ? (
            <LinkAnchor
              to="/instances/$instanceId"
              params={{ instanceId: run.instance_id }}
              size="sm"
              underline="always"
            >
              {instance.vast_instance_id}
              {instance.gpu_name && `, ${instance.gpu_name}`}
            </LinkAnchor>
          ) : (
            <Skeleton h={16} w={160} />
          )}
          <Text size="sm" component="span">
            {REQUESTED[run.requested_by] ?? `Requested by ${run.requested_by}`}{" "}
            <Time at={run.created_at} />
          </Text>
          <Text size="sm" component="span">
            Options: {told(run.options)}
          </Text>
          {run.attempt > 1 && (
            <Text size="sm" component="span">
              attempt {run.attempt}
            </Text>
          )}
          {run.cancel_requested_at && !run.finished && (
            <Text size="sm" component="span">
              is being ended on the machine
            </Text>
          )}
        </Group>
      }
      actions={
        <>
          {run.finished ? <TestAgain run={run} /> : <Cancel run={run} />}
          <LinkButton
            to="/compare"
            search={{ runs: run.id, instances: undefined }}
            variant="default"
            leftSection={<IconArrowsDiff size={16} aria-hidden />}
          >
            Compare with…
          </LinkButton>
        </>
      }
    />
  );
}

function Cancel({ run }: { run: Run }) {
  const queryClient = useQueryClient();
  const cancelling = useMutation({
    mutationFn: () =>
      take(api.POST("/v1/runs/{run_id}/cancel", { params: { path: { run_id: run.id } } })),
    onSuccess: (told) => {
      queryClient.setQueryData(runQuery(run.id).queryKey, told);
      notifications.show({
        message: told.finished ? "The run is cancelled." : "The run is being ended on the machine.",
      });
      return queryClient.invalidateQueries({ queryKey: ["run", run.id] });
    },
    onError: (error) => notifications.show({ color: "red", message: asError(error).message }),
  });
  const asked = run.cancel_requested_at !== null;
  return (
    <Tooltip label="It is being ended on the machine." disabled={!asked}>
      <Button
        variant="default"
        leftSection={<IconBan size={16} aria-hidden />}
        loading={cancelling.isPending}
        onClick={asked ? undefined : () => cancelling.mutate()}
        data-disabled={asked || undefined}
        aria-disabled={asked}
      >
        Cancel
      </Button>
    </Tooltip>
  );
}

/** The same test of the same machine once more. */
function TestAgain({ run }: { run: Run }) {
  const [key] = useState(newKey);
  const navigate = useNavigate();
  const requesting = useMutation({
    mutationFn: () =>
      take(
        api.POST("/v1/instances/{instance_id}/runs", {
          params: { path: { instance_id: run.instance_id }, header: { "Idempotency-Key": key } },
          body: run.options,
        }),
      ),
    onSuccess: async (next) => {
      notifications.show({ message: "The test is queued.", color: "teal" });
      await navigate({ to: "/runs/$runId", params: { runId: next.id } });
    },
    onError: (error) => notifications.show({ color: "red", message: asError(error).message }),
  });
  return (
    <Button
      leftSection={<IconRefresh size={16} aria-hidden />}
      loading={requesting.isPending}
      onClick={() => requesting.mutate()}
    >
      Test again
    </Button>
  );
}
