import { Button, Group, Select, Tooltip } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, take } from "../../api/client";
import { fleetQuery, type Overview } from "../../api/fleet";
import { relative } from "../../parts/format";
import { ReadFault } from "../../parts/ReadFault";
import { MOST_SIDES } from "./compare";
import type { Chosen } from "./compareSearch";

interface Props {
  chosen: Chosen[];
  onAdd: (added: Chosen) => void;
}

const LATEST = "latest";
const LIST = 50;

/** An instance of the caller's fleet, and of it the latest result or one of its runs. */
export function Picker({ chosen, onAdd }: Props) {
  const fleet = useQuery(fleetQuery);
  const [instanceId, setInstanceId] = useState<string | null>(null);
  const [what, setWhat] = useState(LATEST);
  const runs = useRuns(instanceId);
  const added: Chosen | null =
    instanceId === null
      ? null
      : what === LATEST
        ? { kind: "instance", id: instanceId }
        : { kind: "run", id: what };
  const why = reason(added, chosen);
  if (fleet.error && !fleet.data) return <ReadFault of={fleet} />;
  return (
    <Group
      component="form"
      align="flex-end"
      gap="sm"
      onSubmit={(event) => {
        event.preventDefault();
        if (added === null || why !== null) return;
        onAdd(added);
        setWhat(LATEST);
      }}
    >
      <Select
        label="Instance"
        placeholder={fleet.data ? "Name, GPU or location" : "Loading…"}
        data-search
        searchable
        clearable
        limit={LIST}
        nothingFoundMessage="No instance fits."
        data={(fleet.data ?? []).map((row) => ({ value: row.id, label: labelOf(row) }))}
        value={instanceId}
        onChange={(value) => {
          setInstanceId(value);
          setWhat(LATEST);
        }}
        style={{ flex: "1 1 260px", maxWidth: 460 }}
      />
      <Select
        label="Result"
        allowDeselect={false}
        disabled={instanceId === null}
        data={[{ value: LATEST, label: "The latest" }, ...runs]}
        value={what}
        onChange={(value) => setWhat(value ?? LATEST)}
        style={{ flex: "1 1 180px", maxWidth: 300 }}
      />
      <Tooltip label={why} disabled={why === null}>
        <Button
          type="submit"
          leftSection={<IconPlus size={16} aria-hidden />}
          data-disabled={why !== null || undefined}
          aria-disabled={why !== null}
        >
          Add
        </Button>
      </Tooltip>
    </Group>
  );
}

function useRuns(instanceId: string | null) {
  const { data } = useQuery({
    queryKey: ["instance", instanceId, "finished runs"],
    enabled: instanceId !== null,
    queryFn: () =>
      take(api.GET("/v1/runs", { params: { query: { instance_id: instanceId, limit: LIST } } })),
  });
  const finished = (data?.items ?? []).filter((run) => run.finished);
  return finished.map((run) => ({
    value: run.id,
    label: `${relative(new Date(run.created_at), new Date())}, ${run.state}, ${run.options.profile}`,
  }));
}

/** Why it can't be added; null where it can. */
function reason(added: Chosen | null, chosen: Chosen[]): string | null {
  if (chosen.length >= MOST_SIDES) return `${MOST_SIDES} fit side by side; take one out first.`;
  if (added === null) return "Choose an instance first.";
  const known = chosen.some((each) => each.kind === added.kind && each.id === added.id);
  return known ? "It is there already." : null;
}

function labelOf(row: Overview): string {
  const gpu = row.gpu_name && `${row.gpu_count ?? 1} × ${row.gpu_name}`;
  return [row.name, gpu, row.location].filter(Boolean).join(", ");
}
