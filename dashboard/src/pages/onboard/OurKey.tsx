import { Skeleton, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { CopyLine } from "../../parts/CopyLine";
import { duration } from "../../parts/format";
import { ReadFault } from "../../parts/ReadFault";
import { authorizeCommand, loginCaQuery, loginKeyQuery } from "./loginKey";

/** Our public key, and the command that lets it in; `user` is who runs it. */
export function OurKey({ user }: { user: string }) {
  const reading = useQuery(loginKeyQuery);
  const key = reading.data;
  if (reading.error && !key) return <ReadFault of={reading} />;
  return (
    <Stack gap="sm">
      <Labelled text={`Run this on the machine as ${user}:`}>
        {key ? (
          <CopyLine line={authorizeCommand(key.public_key)} label="the command" />
        ) : (
          <Skeleton h={64} />
        )}
      </Labelled>
      <Labelled text="Or add this line to ~/.ssh/authorized_keys yourself:">
        {key ? <CopyLine line={key.public_key} label="the public key" /> : <Skeleton h={44} />}
      </Labelled>
      <Text size="xs" c="dimmed">
        The private half stays with us, encrypted. One key for all your machines: removing its line
        from a machine ends our access to it.
      </Text>
    </Stack>
  );
}

/** The line that trusts our user CA; `user` is who runs the command. */
export function OurCa({ user }: { user: string }) {
  const reading = useQuery(loginCaQuery);
  const ca = reading.data;
  if (!ca) return reading.error ? <ReadFault of={reading} /> : <Skeleton h={160} />;
  return (
    <Stack gap="sm">
      <Labelled text={`Run this on the machine as ${user}:`}>
        <CopyLine line={authorizeCommand(ca.authorized_keys_line)} label="the command" />
      </Labelled>
      <Labelled text="Or add this line to ~/.ssh/authorized_keys yourself:">
        <CopyLine line={ca.authorized_keys_line} label="the line" />
      </Labelled>
      <Text size="xs" c="dimmed">
        No key of ours stays valid on the machine: each login has a new one, with a certificate of{" "}
        {duration(ca.lifetime_seconds)} for commands only. It lets in your tests and no other
        supplier's.
      </Text>
    </Stack>
  );
}

function Labelled({ text, children }: { text: string; children: ReactNode }) {
  return (
    <Stack gap={4}>
      <Text size="sm">{text}</Text>
      {children}
    </Stack>
  );
}
