import { Alert, Skeleton, Stack, Text } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { asError } from "../../api/client";
import { LinkAnchor } from "../../parts/Links";
import { PageTabs } from "../../parts/PageTabs";
import { ReadFault } from "../../parts/ReadFault";
import { Missing } from "../../shell/Broken";
import { AuditTab } from "./AuditTab";
import { HistoryTab } from "./HistoryTab";
import { HostKeyTab } from "./HostKeyTab";
import { InstanceHeader } from "./InstanceHeader";
import { type Instance, instanceQuery, type Run, runsQuery } from "./instanceQueries";
import { OverviewTab } from "./OverviewTab";
import { RunsTab } from "./RunsTab";
import { ScheduleTab } from "./ScheduleTab";
import { useInstanceChanges } from "./useInstanceChanges";

const route = getRouteApi("/signed-in/instances/$instanceId");

export function InstancePage() {
  const { instanceId } = route.useParams();
  const line = useInstanceChanges(instanceId);
  const instance = useQuery(instanceQuery(instanceId));
  const runs = useInfiniteQuery(runsQuery(instanceId));
  if (instance.error && isGone(instance.error)) return <Missing />;
  if (!instance.data) return instance.error ? <ReadFault of={instance} /> : <Loading />;
  // One run of an instance is unfinished at a time, and it is the newest.
  const newest = runs.data?.pages[0]?.items[0];
  const unfinished = newest && !newest.finished ? newest : undefined;
  return (
    <>
      <ReadFault of={instance} />
      {line === "resuming" && !instance.error && (
        <Text size="sm" c="dimmed" role="status" mb="xs">
          The connection dropped; resuming. What is shown may be a moment old.
        </Text>
      )}
      <Shown instance={instance.data} unfinished={unfinished} />
    </>
  );
}

const isGone = (error: unknown) => [404, 422].includes(asError(error).status);

function Shown({ instance, unfinished }: { instance: Instance; unfinished: Run | undefined }) {
  const { tab } = route.useSearch();
  const navigate = route.useNavigate();
  return (
    <>
      <InstanceHeader instance={instance} unfinished={unfinished} />
      {instance.host_key_offered && (
        <Alert
          color="yellow"
          variant="outline"
          mb="md"
          styles={{ title: { color: "var(--mantine-color-text)" } }}
          icon={<IconAlertTriangle size={18} />}
          title="The machine shows another host key than the one we know"
        >
          Nothing is sent to it until you have looked.{" "}
          <LinkAnchor
            from="/instances/$instanceId"
            to="."
            search={{ tab: "host-key" }}
            inherit
            underline="always"
          >
            Compare the keys
          </LinkAnchor>
        </Alert>
      )}
      <PageTabs
        tabs={{
          overview: ["Overview", <OverviewTab key="overview" instance={instance} />],
          history: ["History", <HistoryTab key="history" instanceId={instance.id} />],
          runs: ["Runs", <RunsTab key="runs" instanceId={instance.id} />],
          schedule: ["Schedule", <ScheduleTab key="schedule" instanceId={instance.id} />],
          "host-key": ["Host key and login", <HostKeyTab key="host-key" instance={instance} />],
          audit: ["Audit", <AuditTab key="audit" instanceId={instance.id} />],
        }}
        asked={tab}
        onAsk={(asked) => void navigate({ search: { tab: asked }, replace: true })}
      />
    </>
  );
}

function Loading() {
  return (
    <Stack aria-busy aria-label="Loading the instance">
      <Skeleton h={36} w="min(420px, 100%)" />
      <Skeleton h={20} w="min(280px, 100%)" />
      <Skeleton h={260} />
    </Stack>
  );
}
