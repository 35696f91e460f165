import { IconArrowDown, IconArrowsSort, IconArrowUp } from "@tabler/icons-react";
import { FlexRender, type Header } from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useCallback, useEffect, useRef } from "react";
import type { Overview } from "../../api/fleet";
import { columns, FIGURES, type features, TITLES, WIDTHS } from "./columns";
import classes from "./instances.module.css";
import { SelectAll, SelectBox } from "./SelectBox";
import { type FleetRow, type FleetTable, useRowKeys } from "./useFleetTable";

const ROW_HEIGHT = 52;
const HEAD_HEIGHT = 37;
const rowHeight = () => ROW_HEIGHT;

interface Props {
  table: FleetTable;
  /** Changes with what is asked for: another question is answered from its top. */
  question: string;
}

/** A plain table of which only the rows in sight exist: spacers above and below stand for the others. */
export function InstanceTable({ table, question }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const { rows } = table.getRowModel();
  const selection = table.state.rowSelection;
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: rowHeight,
    overscan: 8,
    scrollPaddingEnd: HEAD_HEIGHT,
  });
  const show = useCallback((index: number) => virtualizer.scrollToIndex(index), [virtualizer]);
  const pressed = useRowKeys(rows, show);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another question starts at the top
  useEffect(() => {
    box.current?.scrollTo({ top: 0 }); // which answers a promise, in browsers of late: not the effect's to return
  }, [question]);
  const items = virtualizer.getVirtualItems();
  const above = items[0]?.start ?? 0;
  const below = virtualizer.getTotalSize() - (items.at(-1)?.end ?? 0);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reached by the keyboard
    <section ref={box} className={classes.box} aria-label="GPU instances" tabIndex={0}>
      <table className={classes.table} aria-rowcount={rows.length + 1}>
        <caption className={classes.hidden}>GPU instances</caption>
        <colgroup>
          {table.getAllColumns().map(({ id }) => (
            <col key={id} style={{ width: WIDTHS[id] }} />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {table.getFlatHeaders().map((header) => (
              <Heading key={header.id} header={header} table={table} />
            ))}
          </tr>
        </thead>
        <tbody onKeyDown={pressed}>
          {above > 0 && <Spacer height={above} />}
          {items.map(({ index }) => {
            const row = rows[index];
            return row === undefined ? null : (
              <BodyRow
                key={row.id}
                row={row}
                index={index}
                isSelected={selection[row.id] === true}
              />
            );
          })}
          {below > 0 && <Spacer height={below} />}
        </tbody>
      </table>
    </section>
  );
}

function Spacer({ height }: { height: number }) {
  return (
    <tr aria-hidden style={{ height }}>
      <td colSpan={columns.length} style={{ padding: 0, border: 0 }} />
    </tr>
  );
}

function Heading({
  header,
  table,
}: {
  header: Header<typeof features, Overview>;
  table: FleetTable;
}) {
  const { column } = header;
  const isFigure = FIGURES.has(column.id) || undefined;
  if (column.id === "select")
    return (
      <th scope="col" className={classes.select}>
        <SelectAll table={table} />
      </th>
    );
  const sorted = column.getIsSorted();
  if (!column.getCanSort())
    return (
      <th scope="col" title={TITLES[column.id]}>
        <FlexRender header={header} />
      </th>
    );
  const Arrow = sorted === "asc" ? IconArrowUp : sorted === "desc" ? IconArrowDown : IconArrowsSort;
  return (
    <th
      scope="col"
      data-figure={isFigure}
      title={TITLES[column.id]}
      aria-sort={sorted ? (sorted === "asc" ? "ascending" : "descending") : undefined}
    >
      <button
        type="button"
        className={isFigure ? `${classes.sort} ${classes.figureSort}` : classes.sort}
        data-sorted={sorted || undefined}
        onClick={column.getToggleSortingHandler()}
      >
        <FlexRender header={header} />
        <Arrow size={14} aria-hidden />
      </button>
    </th>
  );
}

interface BodyRowProps {
  row: FleetRow;
  index: number;
  isSelected: boolean;
}

const BodyRow = memo(function BodyRow({ row, index, isSelected }: BodyRowProps) {
  return (
    <tr
      data-index={index}
      data-selected={isSelected || undefined}
      aria-rowindex={index + 2}
      aria-selected={isSelected}
      className={classes.row}
    >
      {row.getAllCells().map((cell) => (
        <td key={cell.id} data-figure={FIGURES.has(cell.column.id) || undefined}>
          {cell.column.id === "select" ? (
            <SelectBox row={row} isSelected={isSelected} />
          ) : (
            <FlexRender cell={cell} />
          )}
        </td>
      ))}
    </tr>
  );
});
