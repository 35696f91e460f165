import { Button, Stack, Text } from "@mantine/core";
import { IconPlugConnected } from "@tabler/icons-react";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { Section } from "../../parts/Section";
import { CheckFailure } from "./CheckFailure";
import { Findings, HostKey } from "./CheckFindings";
import { CheckSteps } from "./CheckSteps";
import { Notice } from "./Notice";
import type { Check, ConnectionCheck } from "./useConnectionCheck";

interface Props {
  connection: ConnectionCheck;
  onCheck: () => void;
  /** Writes what was found into the details of the form; undefined where they have it all. */
  onUse: (() => void) | undefined;
}

export function CheckPanel({ connection, onCheck, onUse }: Props) {
  const { check, running, stale, error } = connection;
  const begun = running || check !== undefined;
  return (
    <Section
      title="Connection check"
      text="We log in once and look at the machine. Nothing is saved, no test is run."
      action={
        <Button
          variant={begun ? "default" : "light"}
          leftSection={<IconPlugConnected size={16} aria-hidden />}
          onClick={onCheck}
          loading={running}
        >
          {check?.finished_at ? "Check again" : "Check connection"}
        </Button>
      }
    >
      {error ? <ProblemAlert error={error} /> : null}
      {stale && (
        <Notice title="The address or the login was changed since">
          <Text size="sm">What is below is about the one before. Check again.</Text>
        </Notice>
      )}
      <Text size="sm" role="status" hidden={!begun}>
        {saying(check, running)}
      </Text>
      {begun && (
        <Stack gap="md">
          <CheckSteps check={check} />
          {check?.error && <CheckFailure error={check.error} />}
          {check && <HostKey check={check} />}
          {check?.probe && <Findings probe={check.probe} onUse={onUse} />}
        </Stack>
      )}
    </Section>
  );
}

function saying(check: Check | undefined, running: boolean): string {
  if (check?.state === "passed") return "The check passed: we can test this machine.";
  if (check?.state === "failed") return "The check failed.";
  if (check?.state === "checking") return "Checking …";
  return running ? "Waiting for a worker …" : "";
}
