import { Code, List, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { CopyLine } from "../../parts/CopyLine";
import { LinkAnchor, LinkButton } from "../../parts/Links";
import { PageTitle } from "../../parts/PageTitle";
import { Section } from "../../parts/Section";
import { loginKeyQuery } from "../onboard/loginKey";
import { OurCa, OurKey } from "../onboard/OurKey";
import { HostAuthorities } from "./HostAuthorities";

export function ConnectionPage() {
  return (
    <>
      <PageTitle
        title="Connection setup"
        text="What we need on a machine, what we do there, and what stays behind."
        actions={<LinkButton to="/instances/onboard">Onboard a GPU instance</LinkButton>}
      />
      <SimpleGrid cols={{ base: 1, xl: 2 }} spacing="md" verticalSpacing="md">
        <Stack>
          <Needs />
          <Key />
          <Steps />
        </Stack>
        <Stack>
          <LeftBehind />
          <CertificateAuthority />
          <HostAuthorities />
          <Restrictions />
        </Stack>
      </SimpleGrid>
    </>
  );
}

function Needs() {
  return (
    <Section title="What a machine needs" text="Nothing of ours has to be installed.">
      <List size="sm" spacing="xs">
        <List.Item>
          <b>sshd</b> that our server reaches, as a rule on port 22 or one from 1024 on.
        </List.Item>
        <List.Item>
          <b>Python 3.8</b> or newer, and a user whose home folder can be written; it need not be
          root.
        </List.Item>
        <List.Item>For its GPUs the NVIDIA driver.</List.Item>
      </List>
      <Text size="sm">
        A test uses a torch that is there. Where none fits the card, it installs one into{" "}
        <Code>~/.harborx/venv</Code>, and only then it needs more: Python 3.10 to 3.14, glibc 2.28,
        12 GiB of free disk (1.5 GiB without a GPU) and outbound access to a package index.
      </Text>
    </Section>
  );
}

function Key() {
  const { data: key } = useQuery(loginKeyQuery);
  return (
    <Section
      title="Our public key"
      text="One key for all your machines. Authorize it for the user that we are to log in as."
    >
      <OurKey user="that user" />
      {key && (
        <Text size="sm" style={{ overflowWrap: "anywhere" }}>
          Its fingerprint: <Code>{key.fingerprint}</Code>
        </Text>
      )}
      <Text size="sm">
        Then{" "}
        <LinkAnchor to="/instances/onboard" underline="always" inherit>
          onboard the machine
        </LinkAnchor>{" "}
        and choose <b>Our key</b>; <b>Check connection</b> there tells at once whether we get in.
      </Text>
    </Section>
  );
}

function Steps() {
  return (
    <Section title="How a test works" text="About a minute with the quick profile.">
      <List size="sm" type="ordered" spacing="xs">
        <List.Item>
          We connect and compare the machine's <b>host key</b> with the one on record. Only if it is
          the same do we log in.
        </List.Item>
        <List.Item>
          We copy one file, the <b>agent</b>, by SCP, unless it is there already. It holds no key,
          no password and no address of ours.
        </List.Item>
        <List.Item>
          If somebody else is using a GPU, nothing is started; we come back later.
        </List.Item>
        <List.Item>
          The agent runs on its own, so a broken connection ends nothing. It trains a ResNet-50 on
          generated images and reads power, temperature and clocks meanwhile. At its deadline it
          ends itself, whether we are there or not.
        </List.Item>
        <List.Item>
          We judge the figures, store the result, and remove what the run has left.
        </List.Item>
      </List>
    </Section>
  );
}

function LeftBehind() {
  return (
    <Section
      title="What is left behind"
      text="The run's own folder is removed once its result is stored. These stay in the home folder, so that the next test is faster:"
    >
      <List size="sm" spacing="xs" style={{ overflowWrap: "anywhere" }}>
        <List.Item>
          <Code>~/.harborx/agents/….pyz</Code>: the agent, also after a connection check; a newer
          one replaces it.
        </List.Item>
        <List.Item>
          <Code>~/.harborx/venv</Code>: torch, only where it had to be installed; several gigabytes.
        </List.Item>
        <List.Item>
          <Code>~/.harborx/ended</Code>: a short list of the runs that were ended in the last day.
        </List.Item>
      </List>
      <Text size="sm">
        While no test runs, this removes all of it, and the next test brings it anew:
      </Text>
      <CopyLine line="rm -rf ~/.harborx" label="the command that removes everything" />
      <Text size="sm" c="dimmed">
        Beside these, sshd logs our logins as it does everybody's. Kernels that torch or the driver
        compile for a test lie in the run's folder and go with it.
      </Text>
    </Section>
  );
}

function CertificateAuthority() {
  return (
    <Section
      title="Or trust our certificate authority"
      text="Instead of a key that lies on the machine for good: one line, and each login shows a certificate that ends within minutes. Choose it when you onboard."
    >
      <OurCa user="the user that we log in as" />
    </Section>
  );
}

function Restrictions() {
  const { data: key } = useQuery(loginKeyQuery);
  const line = key?.public_key ?? "ssh-ed25519 …";
  return (
    <Section
      title="Restrict our key"
      text="Options before the key in authorized_keys limit what it may do. We need commands and file copies, nothing else."
    >
      <Stack gap="xs">
        <Title order={3} size="h6">
          No forwarding, no terminal
        </Title>
        <Text size="sm">
          <Code>restrict</Code> turns off forwarding of ports, agents and X11, terminals and{" "}
          <Code>~/.ssh/rc</Code>. We use none of them: checks and tests work with it.
        </Text>
        <CopyLine line={`restrict ${line}`} label="the line with restrict" />
      </Stack>
      <Stack gap="xs">
        <Title order={3} size="h6">
          Only from our address
        </Title>
        <Text size="sm">
          <Code>from="…"</Code> takes the address that the machine sees us come from. Make a
          connection check first, then look it up in sshd's log, and put it in place of 192.0.2.1:
        </Text>
        <CopyLine
          line="journalctl -u ssh -u sshd | grep 'Accepted publickey' | tail -n 3"
          label="the command that shows our address"
        />
        <CopyLine line={`from="192.0.2.1",restrict ${line}`} label="the line with from" />
        <Text size="sm" c="dimmed">
          If our address changes, logins are refused until the line is changed. With a{" "}
          <Code>command="…"</Code> of your own we can't work: it replaces the commands that we send.
        </Text>
      </Stack>
    </Section>
  );
}
