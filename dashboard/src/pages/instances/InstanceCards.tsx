import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { memo, useCallback, useEffect, useRef, useState } from "react";
import {
  GpuCell,
  MilesCell,
  NameCell,
  NextCell,
  StatusCell,
  ThroughputCell,
  TrendCell,
  VerdictCell,
} from "./cells";
import classes from "./instances.module.css";
import { RowActions } from "./RowActions";
import { SelectAll, SelectBox } from "./SelectBox";
import { type FleetRow, type FleetTable, useRowKeys } from "./useFleetTable";

const CARD_HEIGHT = 196; // with the gap below
const cardHeight = () => CARD_HEIGHT;

/** The table for narrow screens: a card an instance, in the scroll of the page. */
export function InstanceCards({ table }: { table: FleetTable }) {
  const list = useRef<HTMLUListElement>(null);
  const [top, setTop] = useState(0);
  useEffect(() => {
    if (list.current) setTop(list.current.getBoundingClientRect().top + window.scrollY);
  }, []);
  const { rows } = table.getRowModel();
  const selection = table.state.rowSelection;
  const virtualizer = useWindowVirtualizer({
    count: rows.length,
    estimateSize: cardHeight,
    overscan: 4,
    scrollMargin: top,
    scrollPaddingStart: 64,
  });
  const show = useCallback((index: number) => virtualizer.scrollToIndex(index), [virtualizer]);
  const pressed = useRowKeys(rows, show);
  return (
    <>
      <SelectAll table={table} label="Select all shown" />
      <ul
        ref={list}
        className={classes.cards}
        aria-label="GPU instances"
        style={{ height: virtualizer.getTotalSize() }}
        onKeyDown={pressed}
      >
        {virtualizer.getVirtualItems().map(({ index, start }) => {
          const row = rows[index];
          return row === undefined ? null : (
            <Card
              key={row.id}
              row={row}
              index={index}
              top={start - top}
              isSelected={selection[row.id] === true}
            />
          );
        })}
      </ul>
    </>
  );
}

interface CardProps {
  row: FleetRow;
  index: number;
  top: number;
  isSelected: boolean;
}

const Card = memo(function Card({ row, index, top, isSelected }: CardProps) {
  const instance = row.original;
  return (
    <li
      data-index={index}
      data-selected={isSelected || undefined}
      className={classes.card}
      style={{ transform: `translateY(${top}px)` }}
    >
      <SelectBox row={row} isSelected={isSelected} />
      <div className={classes.cell}>
        <NameCell instance={instance} />
      </div>
      <RowActions instance={instance} />
      <div className={classes.cardLine}>
        <div className={classes.cell}>
          <StatusCell instance={instance} />
        </div>
        <VerdictCell instance={instance} />
      </div>
      <div className={classes.cardLine}>
        <div className={classes.cell}>
          <GpuCell instance={instance} />
        </div>
        <div className={classes.cardFigure}>
          <ThroughputCell instance={instance} />
          {instance.latest && <span className={classes.unit}>img/s</span>}
        </div>
        <TrendCell values={instance.trend} />
      </div>
      <div className={classes.cardLine}>
        <span className={classes.cardFigure}>
          <MilesCell instance={instance} />
          <span className={classes.unit}>compute miles/h</span>
        </span>
        <span className={classes.cardFigure}>
          <span className={classes.unit}>next test</span>
          <NextCell instance={instance} />
        </span>
      </div>
    </li>
  );
});
