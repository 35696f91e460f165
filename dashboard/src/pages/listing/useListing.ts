import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { api, take } from "../../api/client";

const PAGE = 100;
/** Searching and sorting look at no more than this; whoever lists more has outgrown a page. */
const MOST = 5_000;

/** The listing page by page; as a whole where it is searched or sorted, since the server does neither. */
export function useListing(wantsAll: boolean) {
  const listing = useInfiniteQuery({
    queryKey: ["listing"],
    queryFn: ({ pageParam }) =>
      take(api.GET("/v1/listing", { params: { query: { limit: PAGE, cursor: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    staleTime: 60_000,
  });
  const { hasNextPage, isFetchingNextPage, isFetchNextPageError, fetchNextPage } = listing;
  const items = listing.data?.pages.flatMap((page) => page.items);
  const loadsMore = wantsAll && hasNextPage && !isFetchNextPageError && (items?.length ?? 0) < MOST;
  useEffect(() => {
    if (loadsMore && !isFetchingNextPage) void fetchNextPage();
  }, [loadsMore, isFetchingNextPage, fetchNextPage]);
  return { ...listing, items };
}
