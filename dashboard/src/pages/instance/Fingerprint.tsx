import { Code, Text } from "@mantine/core";
import type { ReactNode } from "react";
import { CopyLine } from "../../parts/CopyLine";
import { UNKNOWN } from "../../parts/format";

const COMPARE = "for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done";

interface Props {
  name: string;
  fingerprint: string | null;
  children: ReactNode;
}

/** A host key as people compare it, and what is known of it. */
export function Fingerprint({ name, fingerprint, children }: Props) {
  return (
    <div>
      <Text size="xs" c="dimmed">
        {name}, {children}
      </Text>
      <Code block style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
        {fingerprint ?? UNKNOWN}
      </Code>
    </div>
  );
}

/** Prints the fingerprints of a machine's own keys, on the machine. */
export function CompareCommand() {
  return <CopyLine line={COMPARE} label="the command" />;
}
