import { Button, Paper, Skeleton, Stack, Table } from "@mantine/core";
import type { InfiniteData, UseInfiniteQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ReadFault } from "../../parts/ReadFault";

interface Props<T> {
  of: UseInfiniteQueryResult<InfiniteData<{ items: T[] }>>;
  label: string;
  columns: ReactNode;
  row: (item: T) => ReactNode;
  /** What stands there instead where there is nothing. */
  empty: ReactNode;
}

/** What is read page by page, newest first. */
export function PagedTable<T>({ of: reading, label, columns, row, empty }: Props<T>) {
  if (!reading.data) return reading.error ? <ReadFault of={reading} /> : <Skeleton h={320} />;
  const items = reading.data.pages.flatMap((page) => page.items);
  if (items.length === 0) return empty;
  return (
    <Stack gap="xs">
      <ReadFault of={reading} />
      <Paper className="surface">
        <Table.ScrollContainer minWidth={760}>
          <Table verticalSpacing={6} aria-label={label}>
            <Table.Thead>
              <Table.Tr>{columns}</Table.Tr>
            </Table.Thead>
            <Table.Tbody>{items.map(row)}</Table.Tbody>
          </Table>
        </Table.ScrollContainer>
        {reading.hasNextPage && (
          <Button
            variant="subtle"
            m="xs"
            loading={reading.isFetchingNextPage}
            onClick={() => void reading.fetchNextPage()}
          >
            Load more
          </Button>
        )}
      </Paper>
    </Stack>
  );
}
