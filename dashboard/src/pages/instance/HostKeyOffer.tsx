import { Button, SimpleGrid, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Section } from "../../parts/Section";
import { Time } from "../../parts/Time";
import { Confirm } from "./Confirm";
import { CompareCommand, Fingerprint } from "./Fingerprint";
import type { Instance } from "./instanceQueries";
import { useHostKeyWord } from "./useHostKeyWord";

/** The machine showed another key than the pinned one: looked at by people, never taken by itself. */
export function HostKeyOffer({ instance, offered }: { instance: Instance; offered: string }) {
  const [opened, { open, close }] = useDisclosure();
  const accepting = useHostKeyWord(instance.id, offered, "The new host key is pinned.", close);
  return (
    <Section title="Another host key is on offer">
      <Stack gap="sm">
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          <Fingerprint name="Pinned" fingerprint={instance.host_key_fingerprint}>
            since <Time at={instance.host_key_seen_at} />
          </Fingerprint>
          <Fingerprint name="On offer" fingerprint={instance.host_key_offered_fingerprint}>
            seen <Time at={instance.host_key_offered_at} />
          </Fingerprint>
        </SimpleGrid>
        <Text size="sm">
          The machine was set up anew, or another machine answers at this address, or somebody
          stands between. Tests end before a login is tried, until you accept the key or the old one
          is back.
        </Text>
        <Text size="sm">
          To tell which: log in to the machine in a way that you trust, such as your provider's
          console, run this, and look for the fingerprint on offer.
        </Text>
        <CompareCommand />
        <Button onClick={open} style={{ alignSelf: "flex-start" }}>
          Accept the key on offer
        </Button>
      </Stack>
      <Confirm
        title="Accept the key on offer?"
        text={`From now on the machine that has the key ${instance.host_key_offered_fingerprint} is this instance, and our login is tried there. Accept it only if you compared the fingerprint on the machine.`}
        button="Accept"
        opened={opened}
        onClose={close}
        doing={accepting}
      />
    </Section>
  );
}
