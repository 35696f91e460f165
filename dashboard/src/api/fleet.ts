import {
  type QueryClient,
  queryOptions,
  skipToken,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api, type Shapes, take } from "./client";
import { readJson } from "./printable";
import { type LineState, openStream } from "./stream";

export type Overview = Shapes["Overview"];

export interface Changes {
  items: Overview[];
  removed: string[];
}

const KEY = ["instances"] as const;
const EXTENT = ["extent of the instances"] as const;

/**
 * How much of the fleet is known: its first page; all of it; all of it as it was before it could not be read again. What
 * the stream tells comes on top, and hides no failure.
 */
export type Extent = "first" | "whole" | "old";
const FIRST_PAGE = 200; // more than a screen, and soon there
const PAGE = 1000;

/** Pages are read one after another: what the stream tells meanwhile is newer than they are. */
const readings = new Set<Changes[]>();

/** All instances of the caller, newest first. */
export const fleetQuery = queryOptions({
  queryKey: KEY,
  queryFn: ({ client, signal }) => readAll(client, signal),
  staleTime: 30_000,
  refetchOnWindowFocus: false,
});

/** The fleet, kept as it is on the server for as long as a page shows it. */
export function useFleet() {
  const client = useQueryClient();
  const [line, setLine] = useState<LineState>("connecting");
  useEffect(() => follow(client, setLine), [client]);
  // Read behind the stream's first word, so that nothing changes unseen between the two.
  const query = useQuery({ ...fleetQuery, enabled: line !== "connecting" });
  const { data: extent = "first" } = useQuery<Extent>({
    queryKey: EXTENT,
    queryFn: skipToken,
    gcTime: Number.POSITIVE_INFINITY,
  });
  return { ...query, line, extent };
}

/** Puts changes into what is known of the fleet. */
export function adopt(client: QueryClient, changes: Changes): void {
  for (const heard of readings) heard.push(changes);
  const mustBeRead = client.getQueryState(KEY)?.isInvalidated;
  client.setQueryData(fleetQuery.queryKey, (rows) => rows && merge(rows, changes));
  // A change is news of its own instances: what was to be read again still is.
  if (mustBeRead)
    void client.invalidateQueries({ queryKey: KEY, exact: true, refetchType: "none" });
}

export function merge(rows: Overview[], { items, removed }: Changes): Overview[] {
  if (items.length === 0 && removed.length === 0) return rows;
  const changed = new Map(items.map((item) => [item.id, item]));
  const gone = new Set(removed);
  const merged: Overview[] = [];
  for (const row of rows) {
    if (!gone.has(row.id)) merged.push(changed.get(row.id) ?? row);
    changed.delete(row.id);
  }
  if (changed.size === 0) return merged;
  return [...changed.values(), ...merged].sort(newestFirst);
}

function newestFirst(one: Overview, other: Overview): number {
  return Date.parse(other.created_at) - Date.parse(one.created_at) || (one.id < other.id ? 1 : -1);
}

/** After each connect the fleet is read again: the stream tells only what changes from then on. */
function follow(client: QueryClient, onState: (state: LineState) => void): () => void {
  const reread = () => void client.invalidateQueries({ queryKey: KEY, exact: true });
  let isNew = true;
  return openStream({
    url: "/v1/instances/changes",
    onState: (state) => {
      if (state !== "live") onState(state);
      else isNew = true;
    },
    onEvent: (event) => {
      if (event.event !== "instances") return;
      if (isNew) {
        isNew = false;
        reread();
        onState("live");
      }
      adopt(client, readJson(event.data) as Changes);
    },
    onRefused: reread, // whose refusal says why
  });
}

async function readAll(client: QueryClient, signal: AbortSignal): Promise<Overview[]> {
  const heard: Changes[] = [];
  readings.add(heard);
  try {
    let rows: Overview[] = [];
    let cursor: string | null | undefined;
    do {
      const query = { limit: cursor ? PAGE : FIRST_PAGE, cursor };
      const page = await take(api.GET("/v1/instances/overview", { params: { query }, signal }));
      rows = rows.concat(page.items);
      cursor = page.next_cursor;
      // Who waits for the first time sees the newest instances at once.
      if (cursor && client.getQueryData(KEY) === undefined) {
        client.setQueryData<Extent>(EXTENT, "first");
        client.setQueryData(KEY, rows);
      }
    } while (cursor);
    client.setQueryData<Extent>(EXTENT, "whole");
    return heard.reduce(merge, rows);
  } catch (error) {
    if (!signal.aborted)
      client.setQueryData<Extent>(EXTENT, (known) => (known === "whole" ? "old" : known));
    throw error;
  } finally {
    readings.delete(heard);
  }
}
