import { Button, CloseButton, Group, NativeSelect, TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useMemo } from "react";
import type { Overview } from "../../api/fleet";
import { FilterMenu } from "./FilterMenu";
import { counted } from "./rows";
import { isFiltered, SORT_LABELS, type SortKey, type View } from "./search";

interface Props {
  rows: Overview[];
  view: View;
  change: (part: Partial<View>) => void;
  typed: string;
  onType: (text: string) => void;
  /** Typing has ended. */
  onTyped: () => void;
  /** The headings of a wide table sort it; cards have none. */
  withSort: boolean;
}

export function Toolbar({ rows, view, change, typed, onType, onTyped, withSort }: Props) {
  return (
    <Group gap="xs" mb="xs">
      <TextInput
        data-search
        aria-label="Search instances"
        placeholder="Search name, address, GPU…"
        leftSection={<IconSearch size={16} aria-hidden />}
        rightSection={
          typed ? (
            <CloseButton size="sm" aria-label="Clear the search" onClick={() => onType("")} />
          ) : null
        }
        value={typed}
        onChange={(event) => onType(event.currentTarget.value)}
        onBlur={onTyped}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          if (typed) onType("");
          else event.currentTarget.blur();
        }}
        style={{ flex: "1 1 220px", maxWidth: 420 }}
      />
      <Filters rows={rows} view={view} change={change} />
      {withSort && <SortSelect view={view} change={change} />}
      {(isFiltered(view) || typed) && (
        <Button
          variant="subtle"
          color="gray"
          px="xs"
          onClick={() => {
            onType("");
            change({ q: "", status: [], verdict: [], gpu: [] });
          }}
        >
          Clear filters
        </Button>
      )}
    </Group>
  );
}

function Filters({ rows, view, change }: Pick<Props, "rows" | "view" | "change">) {
  const options = useMemo(
    () => ({
      status: counted(rows, "status"),
      verdict: counted(rows, "verdict"),
      gpu: counted(rows, "gpu"),
    }),
    [rows],
  );
  return (
    <>
      <FilterMenu
        label="Status"
        none="none"
        options={options.status}
        chosen={view.status}
        onChange={(status) => change({ status })}
      />
      <FilterMenu
        label="Verdict"
        none="no result"
        options={options.verdict}
        chosen={view.verdict}
        onChange={(verdict) => change({ verdict })}
      />
      <FilterMenu
        label="GPU"
        none="not known"
        options={options.gpu}
        chosen={view.gpu}
        onChange={(gpu) => change({ gpu })}
      />
    </>
  );
}

const ORDERS = (Object.keys(SORT_LABELS) as SortKey[]).flatMap((key) => [
  { value: key, label: `${SORT_LABELS[key]}, ascending` },
  { value: `-${key}`, label: `${SORT_LABELS[key]}, descending` },
]);

function SortSelect({ view, change }: Pick<Props, "view" | "change">) {
  const sort = view.sort;
  return (
    <NativeSelect
      aria-label="Sort by"
      data={[{ value: "", label: "Newest first" }, ...ORDERS]}
      value={sort ? (sort.desc ? "-" : "") + sort.key : ""}
      onChange={(event) => {
        const value = event.currentTarget.value;
        const key = value.replace(/^-/, "") as SortKey;
        change({ sort: value ? { key, desc: value.startsWith("-") } : null });
      }}
    />
  );
}
