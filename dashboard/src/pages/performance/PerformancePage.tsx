import { Skeleton, Stack } from "@mantine/core";
import { useMemo, useState } from "react";
import { type Overview, useFleet } from "../../api/fleet";
import { EmptyState } from "../../parts/EmptyState";
import { FleetState } from "../../parts/FleetState";
import { LinkButton } from "../../parts/Links";
import { PageTitle } from "../../parts/PageTitle";
import { cohorts, measured } from "./cohorts";
import { Distribution } from "./Distribution";
import { Efficiency } from "./Efficiency";
import { type Filter, Filters, filtered } from "./Filters";
import { Slowest } from "./Slowest";
import { TotalFigures } from "./TotalFigures";
import { Uptime } from "./Uptime";

export function PerformancePage() {
  const fleet = useFleet();
  return (
    <>
      <PageTitle title="Performance" text="The latest result of each instance, against its like." />
      <Stack>
        <FleetState of={fleet} />
        {fleet.data ? (
          <Fleet rows={fleet.data} />
        ) : (
          !fleet.error && (
            <Stack aria-busy aria-label="Loading the fleet">
              <Skeleton h={90} />
              <Skeleton h={320} />
            </Stack>
          )
        )}
      </Stack>
    </>
  );
}

function Fleet({ rows }: { rows: Overview[] }) {
  const [filter, setFilter] = useState<Filter>({ gpu: null, profile: null });
  const shown = useMemo(() => filtered(rows, filter), [rows, filter]);
  const machines = useMemo(() => measured(shown), [shown]);
  const found = useMemo(() => cohorts(machines), [machines]);
  if (rows.length === 0)
    return (
      <EmptyState
        title="No instance yet"
        text="Onboard a GPU instance and test it: its figures are compared here with the rest of the fleet."
        action={<LinkButton to="/instances/onboard">Onboard a GPU instance</LinkButton>}
      />
    );
  return (
    <Stack>
      <Filters rows={rows} filter={filter} onChange={setFilter} />
      <TotalFigures rows={shown} />
      {machines.length === 0 ? (
        <EmptyState
          title="No result yet"
          text="None of these instances has been measured. Test them, and their figures are here."
          action={<LinkButton to="/instances">To your GPU instances</LinkButton>}
        />
      ) : (
        <>
          <Distribution found={found} />
          <Slowest found={found} />
          <Efficiency machines={machines} />
        </>
      )}
      <Uptime rows={shown} />
    </Stack>
  );
}
