import { Group, Progress, Skeleton, Text } from "@mantine/core";
import { IconCheck, IconCircle, IconLoader, IconMinus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { duration, number, UNKNOWN } from "../../parts/format";
import { ReadFault } from "../../parts/ReadFault";
import { Section } from "../../parts/Section";
import { clock } from "./charts";
import classes from "./PhaseSteps.module.css";
import { type Estimate, estimate, type Step, stepsOf } from "./phases";
import { phasesQuery, type Run } from "./runQueries";
import type { Story } from "./story";

interface Props {
  run: Run;
  story: Story;
}

/** The way of a run: what each phase took, which is at work, and when it will be over. */
export function PhaseSteps({ run, story }: Props) {
  const phases = useQuery(phasesQuery(run.id));
  const { data } = phases;
  const now = useSeconds(!run.finished);
  if (!data) return phases.error ? <ReadFault of={phases} /> : <Skeleton h={132} />;
  const steps = stepsOf(data, run.finished, now);
  return (
    <Section title="Phases">
      <ReadFault of={phases} />
      {!run.finished && <Whole estimated={estimate(steps, data.basis)} basis={data.basis} />}
      <ol className={classes.steps}>
        {steps.map((step) => (
          <OneStep key={step.name} step={step} images={imagesOf(step, story)} />
        ))}
      </ol>
      {story.waiting && !run.finished && (
        <Text size="sm" role="status" style={{ overflowWrap: "anywhere" }}>
          {story.waiting}
        </Text>
      )}
    </Section>
  );
}

const LOOKS = {
  done: { icon: IconCheck, word: "done" },
  running: { icon: IconLoader, word: "at work" },
  ahead: { icon: IconCircle, word: "ahead" },
  skipped: { icon: IconMinus, word: "not needed or not reached" },
};

function OneStep({ step, images }: { step: Step; images: string | null }) {
  const { icon: Icon, word } = LOOKS[step.state];
  return (
    <li
      className={classes.step}
      data-state={step.state}
      data-phase={step.name}
      aria-current={step.state === "running" ? "step" : undefined}
    >
      <Group gap={6} wrap="nowrap">
        <Icon size={16} aria-label={word} role="img" />
        <Text size="sm" fw={600} component="span">
          {step.label}
        </Text>
      </Group>
      <Text size="sm" component="span" data-took>
        {took(step)}
      </Text>
      <Text size="xs" c="dimmed" component="span">
        {images ?? (step.expected === null ? " " : `usually ${duration(step.expected)}`)}
      </Text>
    </li>
  );
}

/** Whole seconds while they are counted. */
function took({ state, seconds }: Step): string {
  if (seconds === null) return UNKNOWN;
  return state === "running" ? clock(seconds) : duration(seconds);
}

function imagesOf(step: Step, { progress }: Story): string | null {
  if (step.state !== "running" || progress?.phase !== step.name) return null;
  return `${number(progress.done)} of ${number(progress.total)} images`;
}

function Whole({ estimated, basis }: { estimated: Estimate | null; basis: number }) {
  if (estimated === null)
    return (
      <Text size="sm" c="dimmed">
        There is no earlier run to estimate from.
      </Text>
    );
  const share = Math.min(99, Math.round(estimated.fraction * 100));
  return (
    <div>
      <Group justify="space-between" mb={4} gap="xs">
        <Text size="sm">{timeLeft(estimated)}</Text>
        <Text size="xs" c="dimmed">
          {basis === 1 ? "From one earlier run" : `From ${basis} earlier runs`}
        </Text>
      </Group>
      <Progress value={share} size="md" aria-label="How far the run is" />
    </div>
  );
}

function timeLeft({ remaining, late }: Estimate): string {
  if (remaining < 1) return "It takes longer than usual; it should end any moment.";
  const left = `About ${duration(Math.max(1, Math.round(remaining)))} left`;
  return late ? `${left}; this phase takes longer than usual.` : left;
}

/** The time, each second; standing still where nothing counts up. */
function useSeconds(counts: boolean): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!counts) return;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [counts]);
  return now;
}
