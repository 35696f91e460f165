import { Button, Group, SegmentedControl, Stack, Text, TextInput } from "@mantine/core";
import { IconPlus, IconSearch } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { EmptyState } from "../../parts/EmptyState";
import { number } from "../../parts/format";
import { LinkButton } from "../../parts/Links";
import { PageTitle } from "../../parts/PageTitle";
import { ReadFault } from "../../parts/ReadFault";
import { ItemForm } from "./ItemForm";
import { ItemTable } from "./ItemTable";
import { found, type Item, inventoryQuery, NEWEST_FIRST, type Order, ordered } from "./inventory";

const AT_FIRST = 100;

export function InventoryPage() {
  const [edited, setEdited] = useState<Item | "new" | null>(null);
  const add = () => setEdited("new");
  return (
    <>
      <PageTitle
        title="Manual Entry"
        text="What you offer, entered by hand. Instances have an item of their own, which their tests keep."
        actions={
          <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={add}>
            Add an item
          </Button>
        }
      />
      <Items onEdit={setEdited} onAdd={add} />
      {edited && <ItemForm item={edited} onClose={() => setEdited(null)} />}
    </>
  );
}

function Items({ onEdit, onAdd }: { onEdit: (item: Item) => void; onAdd: () => void }) {
  const [deleted, setDeleted] = useState(false);
  const [search, setSearch] = useState("");
  const [order, setOrder] = useState<Order>(NEWEST_FIRST);
  const [most, setMost] = useState(AT_FIRST);
  const { items, reading } = useItems(deleted);
  const shown = useMemo(
    () => items && ordered(found(items, search), order),
    [items, search, order],
  );
  if (reading.error && !items) return <ReadFault of={reading} />;
  const isEmpty = items?.length === 0;
  return (
    <Stack gap="sm">
      <ReadFault of={reading} />
      <Group gap="sm">
        <TextInput
          data-search
          type="search"
          aria-label="Search the inventory"
          placeholder="Search model or status"
          leftSection={<IconSearch size={16} aria-hidden />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
          style={{ flex: "1 1 220px", maxWidth: 400 }}
        />
        <SegmentedControl
          aria-label="Which items"
          value={deleted ? "deleted" : "current"}
          onChange={(value) => setDeleted(value === "deleted")}
          data={[
            { value: "current", label: "Current" },
            { value: "deleted", label: "Deleted" },
          ]}
        />
        {items && !isEmpty && (
          <Text size="sm" c="dimmed" role="status">
            {told(shown ?? [], items)}
          </Text>
        )}
      </Group>
      {isEmpty ? (
        <Nothing deleted={deleted} onAdd={onAdd} />
      ) : (
        <div className="surface">
          <ItemTable
            items={shown?.slice(0, most)}
            {...{ deleted, order, onEdit }}
            onOrder={setOrder}
          />
          {shown?.length === 0 && (
            <Text c="dimmed" ta="center" p="lg">
              Nothing here matches the search.
            </Text>
          )}
          {shown && shown.length > most && (
            <Group justify="center" p="sm">
              <Button variant="default" size="xs" onClick={() => setMost(most + 500)}>
                Show more
              </Button>
            </Group>
          )}
        </div>
      )}
    </Stack>
  );
}

/** All pages, one after the other: a search that misses what was not fetched would lie. */
function useItems(deleted: boolean) {
  const reading = useInfiniteQuery(inventoryQuery(deleted));
  const { data, error, hasNextPage, isFetchingNextPage, fetchNextPage } = reading;
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && !error) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, error, fetchNextPage]);
  const items = useMemo(() => data?.pages.flatMap((page) => page.items), [data]);
  return { items, reading };
}

function told(shown: readonly Item[], items: readonly Item[]): string {
  const gpus = shown.reduce((sum, item) => sum + item.quantity, 0);
  const count =
    shown.length === items.length
      ? number(items.length)
      : `${number(shown.length)} of ${number(items.length)}`;
  return `${count} ${items.length === 1 ? "item" : "items"}, ${number(gpus)} ${gpus === 1 ? "GPU" : "GPUs"}`;
}

function Nothing({ deleted, onAdd }: { deleted: boolean; onAdd: () => void }) {
  if (deleted)
    return (
      <EmptyState
        title="Nothing is deleted"
        text="Items that you delete stay here for 30 days and can be restored."
      />
    );
  return (
    <EmptyState
      title="No items yet"
      text="Enter what you offer by hand, or onboard a machine: it gets its item by itself, and can be tested."
      action={
        <Group justify="center">
          <Button onClick={onAdd}>Add the first item</Button>
          <LinkButton to="/instances/onboard" variant="default">
            Onboard a GPU instance
          </LinkButton>
        </Group>
      }
    />
  );
}
