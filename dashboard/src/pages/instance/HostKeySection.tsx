import { Button, Code, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { CopyLine } from "../../parts/CopyLine";
import { Section } from "../../parts/Section";
import { Time } from "../../parts/Time";
import { Confirm } from "./Confirm";
import { CompareCommand, Fingerprint } from "./Fingerprint";
import type { Instance } from "./instanceQueries";
import { useHostKeyWord } from "./useHostKeyWord";

/** How the key on record became that. */
const TRUSTED: Record<NonNullable<Instance["host_key_trust"]>, string> = {
  given: "given with the instance",
  checked: "seen by the connection check",
  first_contact: "seen at first contact",
  accepted: "accepted in another's place",
  rotated: "proved by the key before it",
  authority: "by a certificate of a host authority",
};

export function HostKeySection({ instance }: { instance: Instance }) {
  return (
    <Section title="Host key">
      {instance.host_key && instance.host_key_fingerprint ? (
        <OnRecord
          instance={instance}
          hostKey={instance.host_key}
          fingerprint={instance.host_key_fingerprint}
        />
      ) : (
        <NoneYet given={instance.host_key_given} />
      )}
    </Section>
  );
}

function NoneYet({ given }: { given: string | null }) {
  if (given === null)
    return (
      <Text size="sm" c="dimmed">
        None is known yet. The first connection pins the key that the machine shows.
      </Text>
    );
  return (
    <Stack gap="sm">
      <Fingerprint name="Expected" fingerprint={given}>
        as it was given
      </Fingerprint>
      <Text size="sm" c="dimmed">
        The first connection has to show this key; nothing is sent to a machine that does not.
      </Text>
    </Stack>
  );
}

interface Known {
  instance: Instance;
  hostKey: string;
  fingerprint: string;
}

function OnRecord({ instance, hostKey, fingerprint }: Known) {
  const { host_key_trust: trust, host_keys_proved: proved } = instance;
  return (
    <Stack gap="sm">
      <Fingerprint name="Pinned" fingerprint={fingerprint}>
        {trust && `${TRUSTED[trust]}, `}since <Time at={instance.host_key_seen_at} />
      </Fingerprint>
      <Text size="sm" c="dimmed">
        Nothing is sent to a machine at this address that does not prove to have this key.
      </Text>
      <CopyLine line={hostKey} label="the host key" />
      {proved.length > 0 && (
        <div>
          <Text size="xs" c="dimmed">
            Other keys that the machine has proved to have
          </Text>
          <Code block style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
            {proved.join("\n")}
          </Code>
        </div>
      )}
      {instance.host_key_confirmed_at ? (
        <Text size="sm">
          Confirmed as the machine's own <Time at={instance.host_key_confirmed_at} />.
        </Text>
      ) : (
        <Unconfirmed instance={instance} fingerprint={fingerprint} />
      )}
    </Stack>
  );
}

/** Nobody has said yet that the key is the machine's: whoever answered at the address is taken for it. */
function Unconfirmed({ instance, fingerprint }: Omit<Known, "hostKey">) {
  const [opened, { open, close }] = useDisclosure();
  const confirming = useHostKeyWord(instance.id, fingerprint, "The host key is confirmed.", close);
  return (
    <>
      <Text size="sm">
        Nobody has confirmed that it is the machine's own. Log in to the machine in a way that you
        trust, such as your provider's console, run this, and look for the fingerprint.
      </Text>
      <CompareCommand />
      <Button variant="default" onClick={open} style={{ alignSelf: "flex-start" }}>
        Confirm the host key
      </Button>
      <Confirm
        title="Confirm the host key?"
        text={`Confirm it only if the machine itself told you ${fingerprint}.`}
        button="Confirm"
        opened={opened}
        onClose={close}
        doing={confirming}
      />
    </>
  );
}
