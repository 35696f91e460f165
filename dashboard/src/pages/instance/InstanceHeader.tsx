import { ActionIcon, Button, Group, Menu, Text, Tooltip } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import {
  IconArrowsDiff,
  IconBan,
  IconDots,
  IconEye,
  IconEyeOff,
  IconPencil,
  IconTrash,
} from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, asError, take } from "../../api/client";
import { StateBadge } from "../../parts/Badges";
import { address } from "../../parts/format";
import { LinkAnchor, LinkButton } from "../../parts/Links";
import { PageTitle } from "../../parts/PageTitle";
import { Time } from "../../parts/Time";
import { ChangeInstance } from "./ChangeInstance";
import { DeleteInstance } from "./DeleteInstance";
import type { Instance, Run } from "./instanceQueries";
import { TestNow } from "./TestNow";
import { useListing } from "./useListing";

interface Props {
  instance: Instance;
  unfinished: Run | undefined;
}

export function InstanceHeader({ instance, unfinished }: Props) {
  const { ssh_user, ssh_host, ssh_port } = instance;
  return (
    <PageTitle
      title={instance.vast_instance_id}
      text={
        <Group gap="xs" mt={4}>
          <Text component="span" size="sm" ff="monospace" style={{ overflowWrap: "anywhere" }}>
            {address(ssh_user, ssh_host, ssh_port)}
          </Text>
          <StateBadge state={instance.status} />
          <TestState instance={instance} unfinished={unfinished} />
        </Group>
      }
      actions={
        <>
          <TestNow instance={instance} busy={unfinished !== undefined} />
          {unfinished && <Cancel run={unfinished} />}
          <LinkButton
            to="/compare"
            search={{ instances: instance.id, runs: undefined }}
            variant="default"
            leftSection={<IconArrowsDiff size={16} aria-hidden />}
          >
            Compare
          </LinkButton>
          <More instance={instance} busy={unfinished !== undefined} />
        </>
      }
    />
  );
}

/** The run under way with its link, or how long ago the last one ended. */
function TestState({ instance, unfinished }: Props) {
  if (unfinished)
    return (
      <Group gap={6} component="span">
        <StateBadge state={unfinished.state} />
        <LinkAnchor
          to="/runs/$runId"
          params={{ runId: unfinished.id }}
          size="sm"
          underline="always"
        >
          {unfinished.cancel_requested_at ? "Run is being cancelled" : "Follow the run"}
        </LinkAnchor>
      </Group>
    );
  return (
    <Group gap={6} component="span">
      <Text component="span" size="sm">
        Test: {instance.test_status.replaceAll("_", " ")}
        {instance.tested_at && (
          <>
            , <Time at={instance.tested_at} />
          </>
        )}
      </Text>
    </Group>
  );
}

function Cancel({ run }: { run: Run }) {
  const queryClient = useQueryClient();
  const cancelling = useMutation({
    mutationFn: () =>
      take(api.POST("/v1/runs/{run_id}/cancel", { params: { path: { run_id: run.id } } })),
    onSuccess: (told) => {
      notifications.show({
        message: told.finished ? "The run is cancelled." : "The run is being ended on the machine.",
      });
      return queryClient.invalidateQueries({ queryKey: ["instance", run.instance_id] });
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

function More({ instance, busy }: { instance: Instance; busy: boolean }) {
  const [changing, change] = useDisclosure();
  const [deleting, remove] = useDisclosure();
  const listing = useListing(instance);
  return (
    <>
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <ActionIcon variant="default" size={36} aria-label="More actions">
            <IconDots size={18} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<IconPencil size={16} />} onClick={change.open}>
            Edit
          </Menu.Item>
          <Menu.Item
            leftSection={instance.listed ? <IconEyeOff size={16} /> : <IconEye size={16} />}
            onClick={() => listing.mutate(!instance.listed)}
          >
            {instance.listed ? "Take off the listing" : "Put on the listing"}
          </Menu.Item>
          <Menu.Divider />
          <Menu.Item leftSection={<IconTrash size={16} />} onClick={remove.open}>
            Delete
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <ChangeInstance instance={instance} opened={changing} onClose={change.close} />
      <DeleteInstance instance={instance} busy={busy} opened={deleting} onClose={remove.close} />
    </>
  );
}
