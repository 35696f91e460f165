import { Grid, Stack, Switch, Text } from "@mantine/core";
import type { CSSProperties, ReactNode } from "react";
import { EmptyState } from "../../parts/EmptyState";
import { type Fact, Facts } from "../../parts/Facts";
import { dollarsPerHour, gibibytes, number, UNKNOWN } from "../../parts/format";
import { Section } from "../../parts/Section";
import { Time } from "../../parts/Time";
import { BadgeSnippet } from "./BadgeSnippet";
import type { Instance } from "./instanceQueries";
import { LatestResult } from "./LatestResult";
import { useListing } from "./useListing";

export function OverviewTab({ instance }: { instance: Instance }) {
  const latest = instance.latest_result;
  return (
    <Grid gap="md">
      <Grid.Col span={{ base: 12, lg: 7 }}>
        {latest ? (
          <LatestResult result={latest} />
        ) : (
          <EmptyState
            title="No result yet"
            text="Start a test: about a minute later the figures, their conditions and the verdict are here."
          />
        )}
      </Grid.Col>
      <Grid.Col span={{ base: 12, lg: 5 }}>
        <Stack>
          <Section title="Facts">
            <div style={{ "--facts-column": "125px" } as CSSProperties}>
              <Facts facts={facts(instance)} />
            </div>
          </Section>
          <ListingSection instance={instance} />
        </Stack>
      </Grid.Col>
    </Grid>
  );
}

function ListingSection({ instance }: { instance: Instance }) {
  const listing = useListing(instance);
  return (
    <Section title="Public listing">
      <Stack gap="sm">
        <Switch
          label="Listed"
          description="Anybody may see the GPU, its figures, location and price; never its address or whose it is."
          checked={listing.isPending ? listing.variables : instance.listed}
          onChange={(event) => listing.mutate(event.currentTarget.checked)}
        />
        <BadgeSnippet instance={instance} />
      </Stack>
    </Section>
  );
}

/** What the supplier says, and beside it what was measured where the two are not the same. */
function facts(instance: Instance): Fact[] {
  const measured = instance.latest_result;
  return [
    ["GPU", both(instance.gpu_name, measured?.measured_gpu_name)],
    ["GPUs", both(instance.gpu_count, measured?.measured_gpu_count)],
    ["Price", dollarsPerHour(instance.price_per_hour)],
    ["Location", instance.location ?? UNKNOWN],
    ["Provider", instance.provider ?? UNKNOWN],
    ["CUDA", both(instance.cuda_version, measured?.cuda_version)],
    ["Driver", measured?.driver_version ?? UNKNOWN],
    ["CPUs", number(instance.cpu_count)],
    ["Memory", gibibytes(instance.ram_gb)],
    ["Disk", gibibytes(instance.disk_space_gb)],
    [
      "Machine and offer",
      [instance.vast_machine_id, instance.vast_offer_id].filter(Boolean).join(" · ") || UNKNOWN,
    ],
    ["Onboarded", <Time key="created" at={instance.created_at} />],
  ];
}

function both(claimed: string | number | null, measured: string | number | null | undefined) {
  if (measured === null || measured === undefined)
    return claimed === null ? (
      UNKNOWN
    ) : (
      <>
        {claimed} <Small>claimed</Small>
      </>
    );
  if (claimed === null || claimed === measured)
    return (
      <>
        {measured} <Small>{claimed === null ? "measured" : "measured, as claimed"}</Small>
      </>
    );
  return (
    <>
      {measured} <Small>measured</Small>
      <br />
      {claimed} <Small>claimed</Small>
    </>
  );
}

function Small({ children }: { children: ReactNode }) {
  return (
    <Text span size="xs" c="dimmed">
      {children}
    </Text>
  );
}
