import { Anchor, Text } from "@mantine/core";
import { IconFingerprint } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { memo, type ReactNode } from "react";
import type { Overview } from "../../api/fleet";
import { StateBadge } from "../../parts/Badges";
import {
  address,
  compact,
  imagesPerSecond,
  number,
  significant,
  UNKNOWN,
} from "../../parts/format";
import { Sparkline } from "../../parts/Sparkline";
import { Time } from "../../parts/Time";
import classes from "./instances.module.css";
import { testedAt } from "./rows";

interface Props {
  instance: Overview;
}

/** Name and address; the name leads to the instance. */
export function NameCell({ instance }: Props) {
  const where = address(instance.ssh_user, instance.ssh_host, instance.ssh_port);
  return (
    <>
      <span className={classes.nameLine}>
        <Link
          to="/instances/$instanceId"
          params={{ instanceId: instance.id }}
          search={{ tab: undefined }}
          className={classes.name}
          title={instance.name}
          preload={false}
          data-row-link
        >
          {instance.name}
        </Link>
        {instance.host_key_offered && <OfferedKey instance={instance} />}
      </span>
      <span className={classes.second} title={where}>
        {where}
      </span>
    </>
  );
}

function OfferedKey({ instance }: Props) {
  const text = "The machine shows another host key: look at it before the next test";
  return (
    <Anchor
      title={text}
      aria-label={text}
      className={classes.warning}
      renderRoot={(props) => (
        <Link
          {...props}
          to="/instances/$instanceId"
          params={{ instanceId: instance.id }}
          search={{ tab: "host-key" }}
          preload={false}
        />
      )}
    >
      <IconFingerprint size={16} aria-hidden />
    </Anchor>
  );
}

export function GpuCell({ instance }: Props) {
  const { gpu_name: name, gpu_count: count } = instance;
  if (name === null && count === null) return <Unknown />;
  return (
    <>
      <span className={classes.first} title={name ?? undefined}>
        {name?.replace(/^NVIDIA /, "") ?? "GPU"}
      </span>
      {Boolean(count) && <span className={classes.second}>× {number(count)}</span>}
    </>
  );
}

/** The status and since when, and below it why. */
export function StatusCell({ instance }: Props) {
  const { run, status } = instance;
  const { at, text, title } = reason(instance);
  return (
    <>
      <span className={classes.statusLine}>
        <StateBadge state={run?.state ?? status} size="sm" />
        {at && <Time at={at} isBrief />}
      </span>
      <span className={classes.second} title={title}>
        {text}
      </span>
    </>
  );
}

interface Reason {
  at: string | null;
  text: ReactNode;
  title?: string;
}

function reason(instance: Overview): Reason {
  const { run, last_run: last, test_status: testStatus } = instance;
  if (run?.cancel_requested_at) return { at: run.cancel_requested_at, text: "being cancelled" };
  if (run?.not_before) {
    const again = <Time at={run.not_before} isBrief />;
    return { at: run.created_at, text: <>machine busy, again {again}</> };
  }
  if (run) return { at: run.created_at, text: "test asked for" };
  const at = testedAt(instance);
  if (at === null || testStatus === "not_started") return { at: null, text: "not tested yet" };
  // A submitted result has no run, and its own word.
  if (last === null || at !== last.finished_at) return { at, text: `test ${testStatus}` };
  const why = last.error_code?.replaceAll("_", " ") ?? `test ${last.state}`;
  return { at, text: why, title: `${last.state}: ${last.error_message ?? why}` };
}

export function ThroughputCell({ instance }: Props) {
  const latest = instance.latest;
  if (latest === null) return <Unknown />;
  const { throughput_images_per_sec: rate, throughput_low: low, throughput_high: high } = latest;
  const hasInterval = low !== null && high !== null && rate > 0;
  const interval = hasInterval
    ? `${imagesPerSecond(rate)}, 95% interval ${significant(low)} to ${significant(high)}`
    : `${imagesPerSecond(rate)}, no interval`;
  return (
    <span title={interval} className={classes.figure}>
      <span className={classes.first}>{significant(rate)}</span>
      {hasInterval && (
        <span className={classes.second}>±{number((50 * (high - low)) / rate, 1)}%</span>
      )}
    </span>
  );
}

export function MilesCell({ instance }: Props) {
  const miles = instance.latest?.compute_miles_per_hour;
  if (miles === null || miles === undefined) return <Unknown />;
  return (
    <span className={classes.first} title={`${number(miles)} compute miles per hour`}>
      {compact(miles)}
    </span>
  );
}

export const TrendCell = memo(function TrendCell({ values }: { values: number[] }) {
  if (values.length < 2) return <Unknown />;
  const [from, to] = [significant(values[0]), significant(values.at(-1))];
  const label = `Last ${values.length} results: ${from} to ${to} images/s`;
  return (
    <span title={label}>
      <Sparkline values={values} label={label} width={72} />
    </span>
  );
});

export function VerdictCell({ instance }: Props) {
  const verdict = instance.latest?.verdict;
  return verdict ? <StateBadge state={verdict} size="sm" /> : <Unknown />;
}

export function NextCell({ instance }: Props) {
  return (
    <Text size="sm" component="span" className={classes.first}>
      <Time at={instance.next_fire_at} />
    </Text>
  );
}

function Unknown() {
  return <span className={classes.unknown}>{UNKNOWN}</span>;
}
