import { Button, Center, Group, Skeleton, Stack, Text, TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { EmptyState } from "../../parts/EmptyState";
import { number } from "../../parts/format";
import { LinkButton } from "../../parts/Links";
import { PageTitle } from "../../parts/PageTitle";
import { ReadFault } from "../../parts/ReadFault";
import { PublicFrame } from "../../shell/PublicFrame";
import { ListingCards } from "./ListingCards";
import { ListingTable } from "./ListingTable";
import { arranged, type Listed, orderOf } from "./order";
import { useListing } from "./useListing";
import { Verified } from "./Verified";

const route = getRouteApi("/listing");

/** Verified GPUs, for anybody. */
export function ListingPage() {
  const { q, sort } = route.useSearch();
  const navigate = useNavigate({ from: "/listing" });
  const listing = useListing(Boolean(q) || orderOf(sort) !== null);
  const search = (value: string) =>
    void navigate({ search: (old) => ({ ...old, q: value || undefined }), replace: true });
  return (
    <PublicFrame>
      <PageTitle title="Verified GPUs" text="GPU machines with what our server measured on them." />
      <Stack>
        <Verified />
        <ReadFault of={listing} />
        {listing.isPending && <Skeleton h={320} aria-label="Loading the listing" />}
        {listing.items?.length === 0 && <Nothing />}
        {listing.items !== undefined && listing.items.length > 0 && (
          <>
            <TextInput
              aria-label="Search the listing"
              placeholder="Search: GPU, location, precision, driver"
              type="search"
              data-search
              leftSection={<IconSearch size={16} aria-hidden />}
              maw={420}
              value={q ?? ""}
              onChange={(event) => search(event.currentTarget.value)}
              onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
            />
            <Found listing={listing} items={listing.items} q={q} sort={sort} />
          </>
        )}
      </Stack>
    </PublicFrame>
  );
}

/** Rows shown at first, and with each further step. */
const STEP = 100;

interface FoundProps {
  listing: ReturnType<typeof useListing>;
  items: Listed[];
  q: string | undefined;
  sort: string | undefined;
}

function Found({ listing, items, q, sort }: FoundProps) {
  const [limit, setLimit] = useState(STEP);
  const found = useMemo(() => arranged(items, q, orderOf(sort)), [items, q, sort]);
  const shown = found.slice(0, limit);
  const isMore = listing.hasNextPage || found.length > limit;
  const more = () => {
    setLimit(limit + STEP);
    if (found.length < limit + STEP && listing.hasNextPage) void listing.fetchNextPage();
  };
  return (
    <Stack>
      <Text size="sm" c="dimmed" role="status">
        {listing.isFetchingNextPage
          ? `Loading, ${number(items.length)} so far`
          : counted(shown.length, found.length, items.length, listing.hasNextPage)}
      </Text>
      {found.length === 0 ? (
        <EmptyState
          title="No GPU matches"
          text={`Nothing in the listing has “${q}”.`}
          action={
            <LinkButton to="/listing" search={{ sort }} variant="default">
              Clear the search
            </LinkButton>
          }
        />
      ) : (
        <>
          <ListingTable items={shown} sort={sort} />
          <ListingCards items={shown} sort={sort} />
        </>
      )}
      {isMore && (
        <Center>
          <Button variant="default" onClick={more} loading={listing.isFetchingNextPage}>
            Load more
          </Button>
        </Center>
      )}
    </Stack>
  );
}

function counted(shown: number, found: number, loaded: number, isMore: boolean): string {
  const all = `${number(loaded)}${isMore ? "+" : ""}`;
  if (found < loaded) return `${number(found)} of ${all} GPU machines match`;
  return shown < loaded || isMore
    ? `${number(shown)} of ${all} GPU machines`
    : `${number(loaded)} GPU machine${loaded === 1 ? "" : "s"}`;
}

function Nothing() {
  return (
    <EmptyState
      title="No GPU is listed yet"
      text="A machine is listed once it passed a test of ours and its supplier wants it here. Onboard one, and test it."
      action={
        <Group>
          <LinkButton to="/instances/onboard">Onboard a GPU instance</LinkButton>
        </Group>
      }
    />
  );
}
