import { Alert, Skeleton, Stack } from "@mantine/core";
import { IconRefresh } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { asError } from "../../api/client";
import { PageTabs } from "../../parts/PageTabs";
import { ReadFault } from "../../parts/ReadFault";
import { Missing } from "../../shell/Broken";
import { EventLog } from "./EventLog";
import { FailureSection } from "./FailureSection";
import { FiguresTab } from "./FiguresTab";
import { LiveCharts } from "./LiveCharts";
import { PhaseSteps } from "./PhaseSteps";
import { RawTab } from "./RawTab";
import { ResultSection } from "./ResultSection";
import { RunHeader } from "./RunHeader";
import { type Run, runQuery } from "./runQueries";
import { TelemetryTab } from "./TelemetryTab";
import { type Followed, useStory } from "./useStory";

const route = getRouteApi("/signed-in/runs/$runId");

export function RunPage() {
  const { runId } = route.useParams();
  // Another run begins with a page of its own: nothing of the one before is shown under it.
  return <OneRun key={runId} runId={runId} />;
}

function OneRun({ runId }: { runId: string }) {
  const reading = useQuery(runQuery(runId));
  const { data: run, error } = reading;
  const followed = useStory(runId);
  if (error && [404, 422].includes(asError(error).status)) return <Missing />;
  if (!run) return error ? <ReadFault of={reading} /> : <Loading />;
  return (
    <>
      <ReadFault of={reading} />
      <Shown run={run} followed={followed} />
    </>
  );
}

function Shown({ run, followed }: { run: Run; followed: Followed }) {
  const { story, line } = followed;
  const state = run.finished ? run.state : (story.state ?? run.state);
  return (
    <>
      <RunHeader run={run} state={state} />
      <Stack gap="md">
        {line === "resuming" && (
          <Alert color="yellow" variant="outline" icon={<IconRefresh size={18} />} role="status">
            The connection dropped; resuming after event {story.lastSeq}. Nothing is lost.
          </Alert>
        )}
        <PhaseSteps run={run} story={story} />
        {run.error && <FailureSection state={run.state} error={run.error} />}
        {run.result && <ResultSection result={run.result} />}
        <LiveCharts story={story} finished={run.finished} />
        <Details run={run} followed={followed} />
      </Stack>
    </>
  );
}

function Details({ run, followed }: { run: Run; followed: Followed }) {
  const { tab } = route.useSearch();
  const navigate = route.useNavigate();
  const { story, line } = followed;
  return (
    <section
      className="surface"
      aria-label="Details"
      style={{ padding: "var(--mantine-spacing-md)" }}
    >
      <PageTabs
        tabs={{
          log: ["Log", <EventLog key="log" runId={run.id} story={story} line={line} />],
          figures: ["Figures", <FiguresTab key="figures" runId={run.id} />],
          telemetry: ["Telemetry", <TelemetryTab key="telemetry" runId={run.id} />],
          raw: ["Raw JSON", <RawTab key="raw" run={run} />],
        }}
        asked={tab}
        onAsk={(asked) =>
          void navigate({ search: { tab: asked }, replace: true, resetScroll: false })
        }
      />
    </section>
  );
}

function Loading() {
  return (
    <Stack aria-busy aria-label="Loading the run">
      <Skeleton h={36} w="min(420px, 100%)" />
      <Skeleton h={20} w="min(280px, 100%)" />
      <Skeleton h={132} />
      <Skeleton h={320} />
    </Stack>
  );
}
