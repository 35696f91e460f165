import { Text } from "@mantine/core";
import type { Fact } from "../../parts/Facts";
import { number, percent, significant, UNKNOWN } from "../../parts/format";
import { type Listed, reliability } from "./order";

export function gpu(listed: Listed): string {
  return `${listed.gpu_count ?? 1} × ${listed.gpu_name ?? "GPU"}`;
}

/** The 95 % interval; nothing where none was told. */
export function interval({ throughput_low: low, throughput_high: high }: Listed): string {
  return low === null || high === null ? "" : `${significant(low)} – ${significant(high)}`;
}

export function Reliability({ listed }: { listed: Listed }) {
  const share = reliability(listed);
  if (share === null) return <span>{UNKNOWN}</span>;
  return (
    <span title="Tests within 90 days that passed, of those that proved something">
      {percent(share * 100)}
      <Text size="xs" c="dimmed" component="span" display="block">
        {number(listed.passed_90d)} of {number(listed.tests_90d)}
      </Text>
    </span>
  );
}

export function conditions({ conditions: told }: Listed): Fact[] {
  return [
    ["Profile", told.profile ?? UNKNOWN],
    ["Precision", told.precision ?? UNKNOWN],
    ["Batch size", number(told.batch_size)],
    ["Image size", told.image_size === null ? UNKNOWN : `${number(told.image_size)} px`],
    ["Mode", told.mode ?? UNKNOWN],
    ["torch", told.torch_version ?? UNKNOWN],
    ["Driver", told.driver_version ?? UNKNOWN],
    ["CUDA", told.cuda_version ?? UNKNOWN],
    ["Configuration", told.configuration_hash ?? UNKNOWN],
  ];
}
