import { Skeleton, Stack } from "@mantine/core";
import { IconArrowLeft } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { api, ProblemError, take } from "../../api/client";
import { EmptyState } from "../../parts/EmptyState";
import { type Fact, Facts } from "../../parts/Facts";
import {
  dollarsPerHour,
  imagesPerDollar,
  imagesPerSecond,
  miles,
  UNKNOWN,
  watts,
} from "../../parts/format";
import { LinkAnchor, LinkButton } from "../../parts/Links";
import { PageTitle } from "../../parts/PageTitle";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { Section } from "../../parts/Section";
import { Time } from "../../parts/Time";
import { PublicFrame } from "../../shell/PublicFrame";
import { BadgeSnippets } from "./BadgeSnippets";
import { conditions, gpu, interval, Reliability } from "./figures";
import { dollarValue, type Listed } from "./order";
import { Verified } from "./Verified";

const route = getRouteApi("/listing/$listedId");

/** One verified machine, for anybody; the page that a supplier links to. */
export function ListedPage() {
  const { listedId } = route.useParams();
  const { data, error } = useQuery({
    queryKey: ["listed", listedId],
    queryFn: () =>
      take(api.GET("/v1/listing/{instance_id}", { params: { path: { instance_id: listedId } } })),
    staleTime: 60_000,
  });
  return (
    <PublicFrame>
      <LinkAnchor to="/listing" size="sm">
        <IconArrowLeft size={14} aria-hidden style={{ verticalAlign: -2 }} /> All verified GPUs
      </LinkAnchor>
      <Stack mt="sm" maw={1100}>
        {data ? <OneListed listed={data} /> : error ? <NotListed error={error} /> : <Loading />}
      </Stack>
    </PublicFrame>
  );
}

function OneListed({ listed }: { listed: Listed }) {
  return (
    <>
      <PageTitle
        title={gpu(listed)}
        text={
          <>
            Verified, measured <Time at={listed.measured_at} />
            {listed.location && ` · ${listed.location}`}
          </>
        }
      />
      <Section title="Measured">
        <Facts facts={measured(listed)} />
      </Section>
      <Section
        title="Conditions"
        text="Figures may be compared only where the configuration is the same."
      >
        <Facts facts={conditions(listed)} />
      </Section>
      <Verified />
      <BadgeSnippets listed={listed} />
    </>
  );
}

function measured(listed: Listed): Fact[] {
  return [
    ["Images", imagesPerSecond(listed.throughput_images_per_sec)],
    ["95 % interval", interval(listed) ? `${interval(listed)} img/s` : UNKNOWN],
    ["Compute miles", miles(listed.compute_miles_per_hour)],
    ["Power", watts(listed.power_draw_watts)],
    ["Price", dollarsPerHour(listed.price_per_hour)],
    ["Images per dollar", imagesPerDollar(dollarValue(listed))],
    ["Passed, 90 days", <Reliability key="reliability" listed={listed} />],
  ];
}

function NotListed({ error }: { error: unknown }) {
  if (error instanceof ProblemError && (error.status === 404 || error.status === 422))
    return (
      <>
        <PageTitle title="Not listed" />
        <EmptyState
          title="This GPU is not listed"
          text="It is mistyped, or was never verified, or its latest test did not pass, or its supplier took it back."
          action={<LinkButton to="/listing">All verified GPUs</LinkButton>}
        />
      </>
    );
  return (
    <>
      <PageTitle title="Verified GPU" />
      <ProblemAlert error={error} />
    </>
  );
}

function Loading() {
  return (
    <>
      <PageTitle title="Verified GPU" />
      <Skeleton h={160} aria-label="Loading the GPU" />
    </>
  );
}
