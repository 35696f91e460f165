import { Group, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import type { CSSProperties, ReactNode } from "react";
import { StateBadge } from "../../parts/Badges";
import { Facts } from "../../parts/Facts";
import { LinkAnchor } from "../../parts/Links";
import { Section } from "../../parts/Section";
import { Time } from "../../parts/Time";
import { Figures, Judgement } from "../run/ResultParts";
import { conditionFacts, type FigureRow, figureRows } from "../run/resultRows";
import type { Result } from "../run/runQueries";

/** What an instance is judged by at a glance. */
const HEADLINES = new Set(["Throughput", "Compute miles"]);

/** The newest result as its run tells it, with what counts most in large. */
export function LatestResult({ result }: { result: Result }) {
  const rows = figureRows(result);
  return (
    <Section
      title="Latest result"
      text={
        <Group gap="xs">
          <StateBadge state={result.verdict} />
          <span>
            <Time at={result.completed_at ?? result.created_at} />
            {result.source !== "pushed" && `, ${result.source}`}
          </span>
        </Group>
      }
      action={
        result.run_id && (
          <LinkAnchor
            to="/runs/$runId"
            params={{ runId: result.run_id }}
            size="sm"
            underline="always"
          >
            Open the run
          </LinkAnchor>
        )
      }
    >
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        {rows
          .filter(({ name }) => HEADLINES.has(name))
          .map((row) => (
            <Headline key={row.name} row={row} />
          ))}
      </SimpleGrid>
      <Part title="Verdict">
        <Judgement result={result} />
      </Part>
      <Part title="Further figures">
        <Figures rows={rows.filter(({ name }) => !HEADLINES.has(name))} />
      </Part>
      <Part title="Conditions">
        <div style={{ "--facts-column": "125px" } as CSSProperties}>
          <Facts facts={conditionFacts(result)} />
        </div>
      </Part>
    </Section>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Stack gap="xs">
      <Title order={3} size="h6">
        {title}
      </Title>
      {children}
    </Stack>
  );
}

function Headline({ row: { name, value, interval, note } }: { row: FigureRow }) {
  return (
    <div>
      <Text size="xs" c="dimmed">
        {name}
      </Text>
      <Text fz={26} fw={650} lh={1.2}>
        {value}
      </Text>
      <Text size="xs" c="dimmed">
        {interval ? `95% interval ${interval}` : note}
      </Text>
    </div>
  );
}
