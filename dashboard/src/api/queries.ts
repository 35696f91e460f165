import { QueryCache, QueryClient, queryOptions } from "@tanstack/react-query";
import { api, ProblemError, take } from "./client";

/** `onSignedOut` is told when the API no longer knows the session. */
export function newQueryClient(onSignedOut: () => void): QueryClient {
  return new QueryClient({
    queryCache: new QueryCache({
      onError: (error, query) => {
        if (isSignedOut(error) && query.queryKey[0] !== "profile") onSignedOut();
      },
    }),
    defaultOptions: {
      queries: {
        staleTime: 5_000,
        // What was refused stays refused; what was not reached is tried again.
        retry: (count, error) => count < 3 && !isRefusal(error),
      },
      mutations: { retry: false },
    },
  });
}

export function isSignedOut(error: unknown): boolean {
  return error instanceof ProblemError && error.status === 401;
}

function isRefusal(error: unknown): boolean {
  return error instanceof ProblemError && error.status >= 400 && error.status < 500;
}

export const profileQuery = queryOptions({
  queryKey: ["profile"],
  queryFn: () => take(api.GET("/v1/profile")),
  staleTime: 60_000,
});
