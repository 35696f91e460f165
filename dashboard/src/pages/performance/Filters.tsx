import { Group, Select } from "@mantine/core";
import { useMemo } from "react";
import type { Overview } from "../../api/fleet";

export interface Filter {
  gpu: string | null;
  profile: string | null;
}

const gpuOf = (row: Overview) => row.latest?.measured_gpu_name ?? row.gpu_name;

/** A profile is one of a result: with it, instances without a result are left out. */
export function filtered(rows: Overview[], { gpu, profile }: Filter): Overview[] {
  return rows.filter(
    (row) =>
      (gpu === null || gpuOf(row) === gpu) && (profile === null || row.latest?.profile === profile),
  );
}

interface Props {
  rows: Overview[];
  filter: Filter;
  onChange: (filter: Filter) => void;
}

export function Filters({ rows, filter, onChange }: Props) {
  const gpus = useMemo(() => names(rows.map(gpuOf)), [rows]);
  const profiles = useMemo(() => names(rows.map((row) => row.latest?.profile)), [rows]);
  return (
    <Group gap="sm">
      <Select
        label="GPU model"
        placeholder="All models"
        data={gpus}
        value={filter.gpu}
        onChange={(gpu) => onChange({ ...filter, gpu })}
        clearable
        searchable
        data-search
        w={280}
        maw="100%"
        clearButtonProps={{ "aria-label": "All models" }}
      />
      <Select
        label="Profile"
        placeholder="All profiles"
        data={profiles}
        value={filter.profile}
        onChange={(profile) => onChange({ ...filter, profile })}
        clearable
        w={160}
        clearButtonProps={{ "aria-label": "All profiles" }}
      />
    </Group>
  );
}

function names(values: (string | null | undefined)[]): string[] {
  return [...new Set(values.filter((value): value is string => !!value))].sort();
}
