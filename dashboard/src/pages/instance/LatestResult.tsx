import { Group, List, SimpleGrid, Text, ThemeIcon, Title } from "@mantine/core";
import { IconCheck, IconMinus, IconX } from "@tabler/icons-react";
import type { CSSProperties } from "react";
import type { Shapes } from "../../api/client";
import { StateBadge } from "../../parts/Badges";
import { type Fact, Facts } from "../../parts/Facts";
import {
  celsius,
  gibibytes,
  imagesPerSecond,
  miles,
  milliseconds,
  number,
  percent,
  significant,
  UNKNOWN,
  watts,
} from "../../parts/format";
import { LinkAnchor } from "../../parts/Links";
import { Section } from "../../parts/Section";
import { Time } from "../../parts/Time";

type Result = Shapes["ResultShape"];

/** The newest result: its figures, what they were measured under, and why the verdict is what it is. */
export function LatestResult({ result }: { result: Result }) {
  return (
    <Section
      title="Latest result"
      text={
        <Group gap="xs">
          <StateBadge state={result.verdict} />
          <span>
            <Time at={result.completed_at ?? result.created_at} />
            {result.source !== "pushed" && `, ${result.source}`}
          </span>
        </Group>
      }
      action={
        result.run_id && (
          <LinkAnchor
            to="/runs/$runId"
            params={{ runId: result.run_id }}
            size="sm"
            underline="always"
          >
            Open the run
          </LinkAnchor>
        )
      }
    >
      {result.error_message && <Text size="sm">{result.error_message}</Text>}
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <Headline
          name="Throughput"
          value={imagesPerSecond(result.throughput_images_per_sec)}
          note={interval(result)}
        />
        <Headline
          name="Compute miles"
          value={miles(result.compute_miles_per_hour)}
          note={result.compute_miles_formula}
        />
      </SimpleGrid>
      <Narrow facts={figures(result)} />
      <div>
        <Title order={3} size="h6" mb="xs">
          Conditions
        </Title>
        <Narrow facts={conditions(result)} />
      </div>
      <Evidence result={result} />
    </Section>
  );
}

function Narrow({ facts }: { facts: Fact[] }) {
  return (
    <div style={{ "--facts-column": "125px" } as CSSProperties}>
      <Facts facts={facts} />
    </div>
  );
}

function Headline({ name, value, note }: { name: string; value: string; note: string }) {
  return (
    <div>
      <Text size="xs" c="dimmed">
        {name}
      </Text>
      <Text fz={26} fw={650} lh={1.2}>
        {value}
      </Text>
      <Text size="xs" c="dimmed">
        {note}
      </Text>
    </div>
  );
}

function interval(result: Result): string {
  if (result.throughput_low === null || result.throughput_high === null) return "";
  return `95% interval ${significant(result.throughput_low)} to ${significant(result.throughput_high)}`;
}

function figures(result: Result): Fact[] {
  const memory =
    result.memory_used_gb === null
      ? UNKNOWN
      : `${number(result.memory_used_gb, 1)} of ${gibibytes(result.memory_total_gb)}`;
  return [
    ["Latency of a step", milliseconds(result.latency_ms)],
    ["Power", watts(result.power_draw_watts)],
    ["Temperature", celsius(result.temperature_celsius)],
    ["Utilization", percent(result.gpu_utilization_percent)],
    ["Memory", memory],
    ["Variation", percent(result.variation_percent, 2)],
    ["Inference", imagesPerSecond(result.inference_images_per_sec)],
    ["MFU", percent(result.mfu_percent)],
  ];
}

function conditions(result: Result): Fact[] {
  const layout =
    result.channels_last === null
      ? UNKNOWN
      : result.channels_last
        ? "channels last"
        : "channels first";
  return [
    ["GPU", `${result.measured_gpu_count ?? ""} × ${result.measured_gpu_name ?? UNKNOWN}`],
    ["Profile", result.profile ?? UNKNOWN],
    ["Batch and image", `${number(result.batch_size)} × ${number(result.image_size)} px`],
    ["Precision", result.precision ?? UNKNOWN],
    ["Mode", result.mode ?? UNKNOWN],
    ["Layout", layout],
    ["Torch", result.torch_version ?? UNKNOWN],
    ["CUDA and driver", `${result.cuda_version ?? UNKNOWN} / ${result.driver_version ?? UNKNOWN}`],
    ["Configuration", <code key="hash">{result.configuration_hash ?? UNKNOWN}</code>],
  ];
}

/** `passed` is null for what could not be told; findings explain and never fail a machine. */
function Evidence({ result }: { result: Result }) {
  if (result.evidence.length === 0 && result.findings.length === 0) return null;
  return (
    <div>
      <Title order={3} size="h6" mb="xs">
        Verdict
      </Title>
      <List spacing={6} size="sm" center={false} listStyleType="none">
        {result.evidence.map((line) => (
          <List.Item key={String(line.check)} icon={<Mark passed={line.passed} />}>
            <b>{String(line.check)}</b>: {String(line.text)}
          </List.Item>
        ))}
        {result.findings.map((finding) => (
          <List.Item key={String(finding.code)} icon={<Mark passed={null} />}>
            <b>{String(finding.code).replaceAll("_", " ")}</b>: {String(finding.message)}
          </List.Item>
        ))}
      </List>
    </div>
  );
}

function Mark({ passed }: { passed: unknown }) {
  const [color, Icon, word] =
    passed === true
      ? (["teal.8", IconCheck, "passed"] as const)
      : passed === false
        ? (["red.9", IconX, "failed"] as const)
        : (["gray.7", IconMinus, "noted"] as const);
  return (
    <ThemeIcon size={18} radius="xl" color={color} role="img" aria-label={word}>
      <Icon size={12} aria-hidden />
    </ThemeIcon>
  );
}
