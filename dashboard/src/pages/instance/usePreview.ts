import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { api, asError, type ProblemError, take } from "../../api/client";
import { type Draft, timetableOf } from "./timetable";

const TYPING_MS = 300;

export interface Preview {
  next: string[] | undefined;
  refusal: ProblemError | undefined;
  /** What is shown is of what was typed before. */
  stale: boolean;
}

/** The next due times of what is typed, as the server reckons them, a moment after the last key. */
export function usePreview(draft: Draft, enabled: boolean): Preview {
  const [body] = useDebouncedValue(JSON.stringify(timetableOf(draft)), TYPING_MS);
  const preview = useQuery({
    queryKey: ["schedule-preview", body],
    queryFn: () => take(api.POST("/v1/schedules/preview", { body: JSON.parse(body) })),
    enabled,
    placeholderData: keepPreviousData,
    staleTime: 60_000,
  });
  const current = body === JSON.stringify(timetableOf(draft));
  const refusal = current && preview.error ? asError(preview.error) : undefined;
  return {
    next: refusal ? undefined : preview.data?.next,
    refusal,
    stale: !current || preview.isPlaceholderData,
  };
}
