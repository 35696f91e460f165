import { useMemo } from "react";
import classes from "./instances.module.css";
import type { FleetRow, FleetTable } from "./useFleetTable";

/** With Shift, everything from the one chosen before. A plain box: thousands of rows pass by it. */
export function SelectBox({ row, isSelected }: { row: FleetRow; isSelected: boolean }) {
  return (
    <label className={classes.selectBox}>
      <input
        type="checkbox"
        checked={isSelected}
        onChange={row.getToggleSelectedHandler()}
        aria-label={`Select ${row.original.name}`}
      />
    </label>
  );
}

/** All that the search and the filters leave. */
export function SelectAll({ table, label }: { table: FleetTable; label?: string }) {
  const { rows } = table.getRowModel();
  const selection = table.state.rowSelection;
  const count = useMemo(
    () => rows.reduce((sum, row) => sum + (selection[row.id] ? 1 : 0), 0),
    [rows, selection],
  );
  const isAll = rows.length > 0 && count === rows.length;
  return (
    <label className={classes.selectBox}>
      <input
        type="checkbox"
        checked={isAll}
        disabled={rows.length === 0}
        ref={(box) => {
          if (box) box.indeterminate = count > 0 && !isAll;
        }}
        onChange={() => table.toggleAllRowsSelected(!isAll)}
        aria-label={label ? undefined : "Select all shown"}
      />
      {label}
    </label>
  );
}
