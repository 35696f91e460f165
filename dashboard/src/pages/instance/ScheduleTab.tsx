import { Grid, Skeleton, Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { ReadFault } from "../../parts/ReadFault";
import { Section } from "../../parts/Section";
import { Firings } from "./Firings";
import { scheduleQuery } from "./instanceQueries";
import { NextTimes } from "./NextTimes";
import { ScheduleForm } from "./ScheduleForm";
import { type Draft, draftOf, LOCAL_ZONE, newDraft } from "./timetable";
import { usePreview } from "./usePreview";

export function ScheduleTab({ instanceId }: { instanceId: string }) {
  const reading = useQuery(scheduleQuery(instanceId));
  const schedule = reading.data;
  // What is typed is kept when the schedule is read again; saving and removing begin anew.
  const [typed, setTyped] = useState<Draft>();
  const draft = typed ?? (schedule ? draftOf(schedule, LOCAL_ZONE) : newDraft(LOCAL_ZONE));
  const preview = usePreview(draft, schedule !== undefined);
  if (schedule === undefined)
    return reading.error ? <ReadFault of={reading} /> : <Skeleton h={420} />;
  return (
    <Stack gap="xs">
      <ReadFault of={reading} />
      <Grid gap="md">
        <Grid.Col span={{ base: 12, lg: 7 }}>
          <Section title={schedule ? "Schedule" : "New schedule"}>
            <ScheduleForm
              instanceId={instanceId}
              schedule={schedule}
              draft={draft}
              changed={typed !== undefined}
              refusal={preview.refusal}
              onChange={(change) => setTyped({ ...draft, ...change })}
              onDone={() => setTyped(undefined)}
            />
          </Section>
        </Grid.Col>
        <Grid.Col span={{ base: 12, lg: 5 }}>
          <Stack>
            <NextTimes
              draft={draft}
              schedule={schedule}
              changed={typed !== undefined}
              {...preview}
            />
            {schedule && <Firings schedule={schedule} />}
          </Stack>
        </Grid.Col>
      </Grid>
    </Stack>
  );
}
