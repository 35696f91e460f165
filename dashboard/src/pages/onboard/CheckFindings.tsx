import { Button, Stack, Text, Title } from "@mantine/core";
import { CopyLine } from "../../parts/CopyLine";
import { type Fact, Facts } from "../../parts/Facts";
import { gibibytes, number } from "../../parts/format";
import { Notice } from "./Notice";
import type { Check } from "./useConnectionCheck";

type Probe = NonNullable<Check["probe"]>;

/** The host key, and how a supplier can tell that it is the machine's own. */
export function HostKey({ check }: { check: Check }) {
  if (!check.host_key || !check.host_key_fingerprint) return null;
  return (
    <Stack gap={4}>
      <Title order={3} size="h6">
        Host key
      </Title>
      <Text size="sm" ff="monospace" style={{ overflowWrap: "anywhere" }}>
        {check.host_key_fingerprint}
      </Text>
      <Text size="sm" c="dimmed">
        On the machine itself this command has to print the same fingerprint. Once onboarded, we log
        in only to a machine that shows this key.
      </Text>
      <CopyLine line={`ssh-keygen -lf ${hostKeyFile(check.host_key)}`} label="the command" />
    </Stack>
  );
}

interface FindingsProps {
  probe: Probe;
  /** Writes what was found into the details of the form; absent where there is nothing to write. */
  onUse: (() => void) | undefined;
}

/** What the machine is, as it told. */
export function Findings({ probe, onUse }: FindingsProps) {
  return (
    <Stack gap="sm">
      <Title order={3} size="h6">
        The machine
      </Title>
      {!probe.gpu_count && (
        <Notice title="No NVIDIA GPU was found.">
          <Text size="sm">
            Check the driver (nvidia-smi) and that the GPU is passed through. A machine without one
            can be onboarded with the GPU name CPU; its processor is measured then.
          </Text>
        </Notice>
      )}
      <Facts facts={factsOf(probe)} />
      {onUse && (
        <Button variant="default" onClick={onUse} style={{ alignSelf: "flex-start" }}>
          Use in the details
        </Button>
      )}
    </Stack>
  );
}

function factsOf(probe: Probe): Fact[] {
  const known: Fact[] = [
    ["GPU", probe.gpu_count ? `${number(probe.gpu_count)} × ${probe.gpu_name ?? "unknown"}` : null],
    ["GPU memory", memoryOf(probe)],
    ["Driver", probe.driver_version],
    ["CUDA", probe.cuda_version],
    ["Processor", probe.cpu_model],
    ["CPUs", probe.cpu_count && number(probe.cpu_count)],
    ["RAM", probe.ram_gb && gibibytes(probe.ram_gb)],
    ["Disk free", diskOf(probe)],
    ["Torch found", torchOf(probe)],
    ["Container", probe.container],
    ["Kernel", probe.kernel],
  ];
  return known.filter(([, value]) => value);
}

function memoryOf({ gpus }: Probe): string | null {
  const sizes = new Set(gpus.map((gpu) => gibibytes(gpu.memory_total_gb)));
  return [...sizes].join(", ") || null;
}

function diskOf(probe: Probe): string | null {
  if (probe.disk_free_gb === null) return null;
  const total = probe.disk_space_gb === null ? "" : ` of ${gibibytes(probe.disk_space_gb)}`;
  return `${gibibytes(probe.disk_free_gb)}${total}`;
}

function torchOf({ torch_installs }: Probe): string {
  if (torch_installs.length === 0) return "None: the first test installs it";
  return torch_installs.map(({ torch, interpreter }) => `${torch} in ${interpreter}`).join("; ");
}

/** Where OpenSSH keeps the public half of a host key of that type. */
export function hostKeyFile(hostKey: string): string {
  const [type = ""] = hostKey.split(" ");
  const kind = type.startsWith("ecdsa-") ? "ecdsa" : type === "ssh-rsa" ? "rsa" : "ed25519";
  return `/etc/ssh/ssh_host_${kind}_key.pub`;
}
