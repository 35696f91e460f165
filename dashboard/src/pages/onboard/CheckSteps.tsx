import { Loader, Text, ThemeIcon } from "@mantine/core";
import { IconCheck, IconMinus, IconX } from "@tabler/icons-react";
import { duration, milliseconds } from "../../parts/format";
import classes from "./CheckSteps.module.css";
import type { Check } from "./useConnectionCheck";

type Step = Check["steps"][number];

const STEPS: { name: Step["name"]; label: string; doing: string }[] = [
  { name: "address", label: "Address", doing: "Looking up the address" },
  { name: "host_key", label: "Host key", doing: "Reading the host key" },
  { name: "login", label: "Login", doing: "Logging in" },
  { name: "python", label: "Python", doing: "Starting Python" },
  { name: "probe", label: "Machine", doing: "Looking at GPUs, CPU, memory and disk" },
];

/** The five steps, each as far as it is known. */
export function CheckSteps({ check }: { check: Check | undefined }) {
  const done = check?.steps ?? [];
  return (
    <ol className={classes.steps} aria-label="Steps of the check">
      {STEPS.map(({ name, label, doing }, index) => {
        const step = done.find((each) => each.name === name);
        const busy = check?.state === "checking" && index === done.length;
        const detail = step ? detailOf(step) : busy ? doing : null;
        return (
          <li key={name} data-step={name}>
            <Mark step={step} busy={busy} />
            <Text size="sm" fw={500} c={step || busy ? undefined : "dimmed"}>
              {label}
            </Text>
            <Text size="xs" c="dimmed">
              {step && took(step.seconds)}
            </Text>
            {detail && (
              <Text
                size="sm"
                c="dimmed"
                className={classes.detail}
                style={{ overflowWrap: "anywhere" }}
              >
                {detail}
              </Text>
            )}
          </li>
        );
      })}
    </ol>
  );
}

/** What failed is told once, below; so is the whole fingerprint of the host key. */
function detailOf({ name, state, detail }: Step): string | null {
  if (state === "failed") return null;
  return name === "host_key" ? (detail.split(" ")[0] ?? null) : detail;
}

function took(seconds: number): string {
  return seconds < 1 ? milliseconds(Math.round(seconds * 1000)) : duration(seconds);
}

function Mark({ step, busy }: { step: Step | undefined; busy: boolean }) {
  if (busy) return <Loader size={18} aria-label="under way" role="img" />;
  if (!step)
    return (
      <ThemeIcon size={18} radius="xl" variant="default" role="img" aria-label="not done">
        <IconMinus size={12} aria-hidden />
      </ThemeIcon>
    );
  const passed = step.state === "passed";
  return (
    <ThemeIcon
      size={18}
      radius="xl"
      color={passed ? "teal.8" : "red.9"}
      role="img"
      aria-label={step.state}
    >
      {passed ? <IconCheck size={12} aria-hidden /> : <IconX size={12} aria-hidden />}
    </ThemeIcon>
  );
}
