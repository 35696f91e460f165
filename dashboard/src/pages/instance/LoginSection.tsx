import { Stack, Text } from "@mantine/core";
import { CopyLine } from "../../parts/CopyLine";
import { LinkAnchor } from "../../parts/Links";
import { Section } from "../../parts/Section";
import type { Instance } from "./instanceQueries";

const LOGINS = {
  supplied: "With the key that you gave us at onboarding. It is stored encrypted.",
  generated:
    "With a key pair made for this instance alone. Its public half stands in ~/.ssh/authorized_keys of the machine:",
  certificate:
    "With a new key for each login, which our certificate authority signs for ten minutes. This line in ~/.ssh/authorized_keys of the machine trusts it:",
  shared:
    "With our key for all your machines. Its public half stands in ~/.ssh/authorized_keys of the machine:",
};

/** How we log in to the machine. */
export function LoginSection({ instance }: { instance: Instance }) {
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
