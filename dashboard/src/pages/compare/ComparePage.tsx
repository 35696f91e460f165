import { Alert, Stack, Switch, Text, useComputedColorScheme } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { Chart } from "../../parts/Chart";
import { EmptyState } from "../../parts/EmptyState";
import { imagesPerSecond } from "../../parts/format";
import { PageTitle } from "../../parts/PageTitle";
import { PALETTES } from "../../parts/palette";
import { Section } from "../../parts/Section";
import { CompareTable } from "./CompareTable";
import { differentConditions, groupsOf, type Side } from "./compare";
import { type Chosen, chosenOf, searchOf } from "./compareSearch";
import { Picker } from "./Picker";
import { type Bar, barsOf, throughputOption } from "./throughputChart";
import { type Column, useSides } from "./useSides";

const route = getRouteApi("/signed-in/compare");

export function ComparePage() {
  const chosen = chosenOf(route.useSearch());
  const columns = useSides(chosen);
  const navigate = route.useNavigate();
  const choose = (next: Chosen[]) =>
    void navigate({ search: searchOf(next), replace: true, resetScroll: false });
  return (
    <>
      <PageTitle
        title="Compare"
        text="Two to five runs, or instances by their latest result, side by side."
      />
      <Stack gap="md">
        <Section title="Add to the comparison">
          <Picker chosen={chosen} onAdd={(added) => choose([...chosen, added])} />
        </Section>
        {columns.length === 0 ? (
          <EmptyState
            title="Nothing to compare yet"
            text="Choose an instance above, and a run of it or its latest result; then a second one. The button Compare on the page of an instance or a run leads here, too. What differs is marked, and figures are told relative to the first."
          />
        ) : (
          <Compared
            columns={columns}
            onRemove={(gone) =>
              choose(chosen.filter((each) => each.kind !== gone.kind || each.id !== gone.id))
            }
          />
        )}
      </Stack>
    </>
  );
}

interface ComparedProps {
  columns: Column[];
  onRemove: (chosen: Chosen) => void;
}

function Compared({ columns, onRemove }: ComparedProps) {
  const [onlyDifferences, setOnlyDifferences] = useState(false);
  const sides = columns.map((column) => column.side);
  const groups = groupsOf(sides).map((group) => ({
    ...group,
    rows: group.rows.filter((row) => row.differs || !onlyDifferences),
  }));
  return (
    <>
      <Warning sides={sides} />
      {columns.length === 1 && (
        <Text size="sm" c="dimmed" role="status">
          Add a second one to compare it with.
        </Text>
      )}
      <Throughput bars={barsOf(sides)} />
      <Section
        title="Side by side"
        text="A row whose values are not the same carries a sign; percentages are relative to the first column."
        action={
          <Switch
            label="Only differences"
            checked={onlyDifferences}
            onChange={(event) => setOnlyDifferences(event.currentTarget.checked)}
          />
        }
      >
        <CompareTable
          columns={columns}
          groups={groups.filter((group) => group.rows.length > 0)}
          onRemove={onRemove}
        />
      </Section>
    </>
  );
}

/** Figures of different configurations are no judgement on the machines. */
function Warning({ sides }: { sides: Side[] }) {
  const different = differentConditions(sides.map((side) => side.result));
  if (different === null) return null;
  const told = different.length > 0 ? different.join("; ") : "their configurations differ";
  return (
    <Alert
      color="yellow"
      variant="outline"
      icon={<IconAlertTriangle size={18} />}
      styles={{ title: { color: "var(--mantine-color-text)" } }}
      title={`Measured under different conditions: ${told}`}
    >
      Only figures of one configuration can be compared.
    </Alert>
  );
}

function Throughput({ bars }: { bars: Bar[] }) {
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  const told = bars.map((bar) => `${bar.name} ${imagesPerSecond(bar.value)}`).join(", ");
  // biome-ignore lint/correctness/useExhaustiveDependencies: bars are made anew each time, their text is what they say
  const option = useMemo(() => throughputOption(bars, PALETTES[scheme]), [told, scheme]);
  if (bars.length < 2) return null;
  return (
    <Section title="Throughput" text="With the 95% interval of each.">
      <Chart option={option} height={40 + bars.length * 44} label={`Throughput: ${told}`} />
    </Section>
  );
}
