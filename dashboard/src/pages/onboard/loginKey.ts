import { queryOptions } from "@tanstack/react-query";
import { api, take } from "../../api/client";

/** Our key for this supplier's machines; asking for it the first time makes it. */
export const loginKeyQuery = queryOptions({
  queryKey: ["login-key"],
  queryFn: () => take(api.PUT("/v1/login-key")),
  staleTime: Number.POSITIVE_INFINITY,
});

/** Our user CA, with the line that trusts it for this supplier's tests only. */
export const loginCaQuery = queryOptions({
  queryKey: ["login-ca"],
  queryFn: () => take(api.GET("/v1/login-ca")),
  staleTime: Number.POSITIVE_INFINITY,
});

/** The command that authorizes a key; a line of its own also where the file does not end with one. */
export function authorizeCommand(publicKey: string): string {
  return `mkdir -p -m 700 ~/.ssh && printf '\\n%s\\n' '${publicKey}' >> ~/.ssh/authorized_keys && chmod 600 ~/.ssh/authorized_keys`;
}
