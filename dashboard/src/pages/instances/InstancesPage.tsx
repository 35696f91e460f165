import { Group, Skeleton, Stack } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { IconPlus } from "@tabler/icons-react";
import { lazy, Suspense, useMemo, useState } from "react";
import { type Overview, useFleet } from "../../api/fleet";
import { EmptyState } from "../../parts/EmptyState";
import { FleetState } from "../../parts/FleetState";
import { LinkButton } from "../../parts/Links";
import { PageTitle } from "../../parts/PageTitle";
import { InstanceCards } from "./InstanceCards";
import { InstanceTable } from "./InstanceTable";
import { filtered, sorted } from "./rows";
import { SelectionBar } from "./SelectionBar";
import { SummaryLine } from "./SummaryLine";
import { Toolbar } from "./Toolbar";
import { useFleetTable } from "./useFleetTable";
import { TestingContext, useTesting } from "./useTesting";
import { useTyped, useView } from "./useView";

const TestWithOptions = lazy(() =>
  import("./TestWithOptions").then((module) => ({ default: module.TestWithOptions })),
);

export function InstancesPage() {
  const fleet = useFleet();
  const rows = fleet.data;
  return (
    <>
      <PageTitle
        title="GPU Instances"
        actions={
          <>
            <LinkButton to="/instances/import" variant="default">
              Import many
            </LinkButton>
            <LinkButton to="/instances/onboard" leftSection={<IconPlus size={16} aria-hidden />}>
              Onboard
            </LinkButton>
          </>
        }
      />
      <FleetState of={fleet} />
      {rows === undefined ? (
        !fleet.error && <Loading />
      ) : rows.length === 0 ? (
        <FirstMachine />
      ) : (
        <Fleet rows={rows} isReading={fleet.extent === "first" && fleet.isFetching} />
      )}
    </>
  );
}

interface FleetProps {
  rows: Overview[];
  isReading: boolean;
}

function Fleet({ rows, isReading }: FleetProps) {
  const { view, change } = useView();
  const { typed, setTyped, write, searched } = useTyped(view.q, change);
  const isNarrow = useMediaQuery("(max-width: 48em)", undefined, {
    getInitialValueInEffect: false,
  });
  const inOrder = useMemo(() => sorted(rows, view.sort), [rows, view.sort]);
  const shown = useMemo(
    () => filtered(inOrder, { ...view, q: searched }),
    [inOrder, view, searched],
  );
  const table = useFleetTable(shown, view.sort, (sort) => change({ sort }));
  const [toTest, setToTest] = useState<Overview[]>();
  const testing = useTesting(setToTest);
  const selection = table.state.rowSelection;
  const selected = useMemo(() => rows.filter(({ id }) => selection[id]), [rows, selection]);
  const shownSelected = shown.reduce((sum, { id }) => sum + (selection[id] ? 1 : 0), 0);
  return (
    <TestingContext value={testing}>
      <Toolbar
        rows={rows}
        view={view}
        change={change}
        typed={typed}
        onType={setTyped}
        onTyped={write}
        withSort={isNarrow}
      />
      {selected.length > 0 ? (
        <SelectionBar
          selected={selected}
          hidden={selected.length - shownSelected}
          onClear={() => table.resetRowSelection(true)}
        />
      ) : (
        <SummaryLine
          rows={rows}
          shown={shown.length}
          chosen={view.status}
          onChoose={(status) => change({ status })}
        />
      )}
      {shown.length === 0 ? (
        <EmptyState
          title="No instance matches"
          text={isReading ? "The rest is being read." : "Change the search or the filters."}
        />
      ) : isNarrow ? (
        <InstanceCards table={table} />
      ) : (
        <InstanceTable table={table} question={JSON.stringify([view, searched])} />
      )}
      {toTest && (
        <Suspense>
          <TestWithOptions
            instances={toTest}
            onClose={() => setToTest(undefined)}
            onTest={(options) => {
              setToTest(undefined);
              void testing.test(toTest, options);
            }}
          />
        </Suspense>
      )}
    </TestingContext>
  );
}

function FirstMachine() {
  return (
    <EmptyState
      title="No GPU instance yet"
      text="An instance is a machine with GPUs that you can log in to over SSH. Onboard one, and it can be tested with one click."
      action={
        <Group justify="center">
          <LinkButton to="/instances/onboard">Onboard the first machine</LinkButton>
          <LinkButton to="/instances/import" variant="default">
            Import many
          </LinkButton>
        </Group>
      }
    />
  );
}

function Loading() {
  return (
    <Stack gap="xs" aria-busy aria-label="Reading the instances">
      <Skeleton h={36} w="min(420px, 100%)" />
      <Skeleton h={24} w="min(300px, 80%)" />
      {Array.from({ length: 8 }, (_, index) => (
        <Skeleton key={index.toString()} h={48} />
      ))}
    </Stack>
  );
}
