import { Alert, Skeleton, Stack, Tabs, Text } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { asError } from "../../api/client";
import { LinkAnchor } from "../../parts/Links";
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

const TABS = {
  overview: "Overview",
  history: "History",
  runs: "Runs",
  schedule: "Schedule",
  "host-key": "Host key and login",
  audit: "Audit",
} as const;
type Tab = keyof typeof TABS;

const isTab = (value: string | undefined): value is Tab => value !== undefined && value in TABS;

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
      <Tabs
        value={isTab(tab) ? tab : "overview"}
        onChange={(value) => void navigate({ search: { tab: value ?? undefined }, replace: true })}
        keepMounted={false}
      >
        <div style={{ overflowX: "auto" }}>
          <Tabs.List style={{ flexWrap: "nowrap", minWidth: "max-content" }}>
            {Object.entries(TABS).map(([value, label]) => (
              <Tabs.Tab key={value} value={value}>
                {label}
              </Tabs.Tab>
            ))}
          </Tabs.List>
        </div>
        <Panel tab="overview">
          <OverviewTab instance={instance} />
        </Panel>
        <Panel tab="history">
          <HistoryTab instanceId={instance.id} />
        </Panel>
        <Panel tab="runs">
          <RunsTab instanceId={instance.id} />
        </Panel>
        <Panel tab="schedule">
          <ScheduleTab instanceId={instance.id} />
        </Panel>
        <Panel tab="host-key">
          <HostKeyTab instance={instance} />
        </Panel>
        <Panel tab="audit">
          <AuditTab instanceId={instance.id} />
        </Panel>
      </Tabs>
    </>
  );
}

function Panel({ tab, children }: { tab: Tab; children: React.ReactNode }) {
  return (
    <Tabs.Panel value={tab} pt="md">
      {children}
    </Tabs.Panel>
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
