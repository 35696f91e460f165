import { Group, List, Skeleton, Stack, Text } from "@mantine/core";
import { duration } from "../../parts/format";
import { Section } from "../../parts/Section";
import { Time } from "../../parts/Time";
import type { Schedule } from "./instanceQueries";
import { type Draft, inZone, LOCAL_ZONE } from "./timetable";
import type { Preview } from "./usePreview";

interface Props extends Preview {
  draft: Draft;
  schedule: Schedule | null;
  changed: boolean;
}

/** Before it is saved: when the tests would be. */
export function NextTimes({ draft, schedule, changed, next, refusal, stale }: Props) {
  const zone = draft.kind === "cron" ? draft.timezone : LOCAL_ZONE;
  const jitter = draft.jitterSeconds || 0;
  return (
    <Section
      title={changed || !schedule ? "The next five times, once saved" : "The next five times"}
    >
      <Stack gap="xs">
        {schedule && !changed && schedule.enabled && (
          <Text size="sm">
            Next test: <Time at={schedule.next_fire_at} /> ({inZone(schedule.next_fire_at, zone)})
          </Text>
        )}
        {!draft.enabled && (
          <Text size="sm">The schedule is off: nothing is tested at these times.</Text>
        )}
        {refusal ? (
          <Text size="sm" c="dimmed">
            None, as long as the schedule can't be read.
          </Text>
        ) : next ? (
          <List
            type="ordered"
            size="sm"
            spacing={4}
            aria-busy={stale}
            aria-label="Next five times"
            aria-live="polite"
          >
            {next.map((at) => (
              <List.Item key={at}>
                <Group gap={6} component="span" wrap="wrap">
                  <span>{inZone(at, zone)}</span>
                  <Text span size="xs" c="dimmed">
                    <Time at={at} />
                  </Text>
                </Group>
              </List.Item>
            ))}
          </List>
        ) : (
          <Skeleton h={120} />
        )}
        {jitter > 0 && (
          <Text size="xs" c="dimmed">
            Each up to {duration(jitter)} later, by the jitter.
          </Text>
        )}
      </Stack>
    </Section>
  );
}
