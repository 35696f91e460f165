import { type ReactTable, type Row, type RowSelectionState, useTable } from "@tanstack/react-table";
import { useCallback, useState } from "react";
import type { Overview } from "../../api/fleet";
import { columns, features } from "./columns";
import { SORT_LABELS, type Sort, type SortKey } from "./search";

export type FleetTable = ReactTable<typeof features, Overview>;
export type FleetRow = Row<typeof features, Overview>;

const idOf = (row: Overview) => row.id;

/** The table's model over rows that are filtered and sorted already; the selection outlives both. */
export function useFleetTable(
  rows: Overview[],
  sort: Sort | null,
  onSort: (sort: Sort | null) => void,
): FleetTable {
  const [rowSelection, setRowSelection] = useState<RowSelectionState>({});
  const sorting = sort ? [{ id: sort.key, desc: sort.desc }] : [];
  return useTable({
    features,
    columns,
    data: rows,
    getRowId: idOf,
    manualSorting: true,
    enableMultiSort: false,
    state: { rowSelection, sorting },
    onRowSelectionChange: setRowSelection,
    onSortingChange: (change) => {
      const [first] = typeof change === "function" ? change(sorting) : change;
      onSort(first && isKey(first.id) ? { key: first.id, desc: first.desc } : null);
    },
  });
}

function isKey(id: string): id is SortKey {
  return Object.hasOwn(SORT_LABELS, id);
}

/** On the link of a row: arrows go to the rows beside it, Space selects; Enter is the link's own. */
export function useRowKeys(rows: FleetRow[], show: (index: number) => void) {
  return useCallback(
    (event: React.KeyboardEvent<HTMLElement>) => {
      const link = event.target instanceof Element ? event.target.closest("[data-row-link]") : null;
      const at = link?.closest<HTMLElement>("[data-index]")?.dataset.index;
      if (at === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      const index = Number(at);
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === " ") {
        event.preventDefault();
        rows[index]?.toggleSelected();
      } else if (step !== undefined && rows[index + step]) {
        event.preventDefault();
        show(index + step);
        const place = `[data-index="${index + step}"] [data-row-link]`;
        event.currentTarget.querySelector<HTMLElement>(place)?.focus({ preventScroll: true });
      }
    },
    [rows, show],
  );
}
