import { Button, Code, Grid, SimpleGrid, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "../../api/client";
import { CopyLine } from "../../parts/CopyLine";
import { LinkAnchor } from "../../parts/Links";
import { Section } from "../../parts/Section";
import { Time } from "../../parts/Time";
import { Confirm } from "./Confirm";
import { type Instance, instanceQuery } from "./instanceQueries";

const COMPARE = "for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done";

export function HostKeyTab({ instance }: { instance: Instance }) {
  return (
    <Grid gap="md">
      <Grid.Col span={{ base: 12, lg: 7 }}>
        <Stack>
          {instance.host_key_offered && (
            <Offer instance={instance} offered={instance.host_key_offered} />
          )}
          <Section title="Host key">
            {instance.host_key ? (
              <Stack gap="sm">
                <Key name="Pinned" fingerprint={instance.host_key_fingerprint}>
                  since <Time at={instance.host_key_seen_at} />
                </Key>
                <Text size="sm" c="dimmed">
                  Nothing is sent to a machine at this address that does not prove to have this key.
                </Text>
                <CopyLine line={instance.host_key} label="the host key" />
              </Stack>
            ) : (
              <Text size="sm" c="dimmed">
                None is known yet. The first connection pins the key that the machine shows.
              </Text>
            )}
          </Section>
        </Stack>
      </Grid.Col>
      <Grid.Col span={{ base: 12, lg: 5 }}>
        <Login instance={instance} />
      </Grid.Col>
    </Grid>
  );
}

/** The machine showed another key than the pinned one: looked at by people, never taken by itself. */
function Offer({ instance, offered }: { instance: Instance; offered: string }) {
  const [opened, { open, close }] = useDisclosure();
  const queryClient = useQueryClient();
  const accepting = useMutation({
    mutationFn: () =>
      take(
        api.POST("/v1/instances/{instance_id}/host-key", {
          params: { path: { instance_id: instance.id } },
          body: { host_key: offered },
        }),
      ),
    onSuccess: async (changed) => {
      queryClient.setQueryData(instanceQuery(instance.id).queryKey, changed);
      close();
      notifications.show({ message: "The new host key is pinned.", color: "teal" });
      await queryClient.invalidateQueries({ queryKey: ["instance", instance.id] });
    },
  });
  return (
    <Section title="Another host key is on offer">
      <Stack gap="sm">
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          <Key name="Pinned" fingerprint={instance.host_key_fingerprint}>
            since <Time at={instance.host_key_seen_at} />
          </Key>
          <Key name="On offer" fingerprint={instance.host_key_offered_fingerprint}>
            seen <Time at={instance.host_key_offered_at} />
          </Key>
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
        <CopyLine line={COMPARE} label="the command" />
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

interface KeyProps {
  name: string;
  fingerprint: string | null | undefined;
  children: React.ReactNode;
}

function Key({ name, fingerprint, children }: KeyProps) {
  return (
    <div>
      <Text size="xs" c="dimmed">
        {name}, {children}
      </Text>
      <Code block style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
        {fingerprint ?? "–"}
      </Code>
    </div>
  );
}

const LOGINS = {
  supplied: "With the key that you gave us at onboarding. It is stored encrypted.",
  generated:
    "With a key pair made for this instance alone. Its public half stands in ~/.ssh/authorized_keys of the machine:",
  certificate:
    "With a new key for each login, which our certificate authority signs for ten minutes. This line in ~/.ssh/authorized_keys of the machine trusts it:",
  shared:
    "With our key for all your machines. Its public half stands in ~/.ssh/authorized_keys of the machine:",
};

function Login({ instance }: { instance: Instance }) {
  return (
    <Section title="Login">
      <Stack gap="sm">
        <Text size="sm">
          {instance.login ? LOGINS[instance.login] : "There is no key to log in with yet."}
        </Text>
        {instance.public_key && <CopyLine line={instance.public_key} label="the public key" />}
        <Text size="sm" c="dimmed">
          Logged in as <b>{instance.ssh_user}</b>. Every login is in the{" "}
          <LinkAnchor
            from="/instances/$instanceId"
            to="."
            search={{ tab: "audit" }}
            inherit
            underline="always"
          >
            audit log
          </LinkAnchor>
          .
        </Text>
      </Stack>
    </Section>
  );
}
