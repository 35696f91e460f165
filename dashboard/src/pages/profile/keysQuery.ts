import { queryOptions } from "@tanstack/react-query";
import { api, take } from "../../api/client";

export const keysQuery = queryOptions({
  queryKey: ["api-keys"],
  queryFn: () => take(api.GET("/v1/api-keys")),
});
