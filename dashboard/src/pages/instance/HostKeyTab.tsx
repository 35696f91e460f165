import { Grid, Stack } from "@mantine/core";
import { HostKeyOffer } from "./HostKeyOffer";
import { HostKeySection } from "./HostKeySection";
import type { Instance } from "./instanceQueries";
import { LoginSection } from "./LoginSection";
import { SubmitKeySection } from "./SubmitKeySection";

/** How we know the machine, how it knows us, and with what it may submit. */
export function HostKeyTab({ instance }: { instance: Instance }) {
  return (
    <Grid gap="md">
      <Grid.Col span={{ base: 12, lg: 7 }}>
        <Stack>
          {instance.host_key_offered && (
            <HostKeyOffer instance={instance} offered={instance.host_key_offered} />
          )}
          <HostKeySection instance={instance} />
        </Stack>
      </Grid.Col>
      <Grid.Col span={{ base: 12, lg: 5 }}>
        <Stack>
          <LoginSection instance={instance} />
          <SubmitKeySection instance={instance} />
        </Stack>
      </Grid.Col>
    </Grid>
  );
}
