import { SimpleGrid, Stack } from "@mantine/core";
import { StateBadge } from "../../parts/Badges";
import { Facts } from "../../parts/Facts";
import { Section } from "../../parts/Section";
import { Figures, Judgement } from "./ResultParts";
import { conditionFacts, figureRows } from "./resultRows";
import type { Result } from "./runQueries";

/** What was measured, under which conditions, and why the verdict is what it is. */
export function ResultSection({ result }: { result: Result }) {
  return (
    <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="md">
      <Section title="Result">
        <Figures rows={figureRows(result)} />
      </Section>
      <Stack gap="md">
        <Section title="Verdict" action={<StateBadge state={result.verdict} />}>
          <Judgement result={result} />
        </Section>
        <Section title="Conditions" text="Only results of one configuration can be compared.">
          <Facts facts={conditionFacts(result)} />
        </Section>
      </Stack>
    </SimpleGrid>
  );
}
