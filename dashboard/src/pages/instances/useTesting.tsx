import { Button, Group, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { createContext, useContext, useMemo } from "react";
import { newKey } from "../../api/client";
import { adopt, fleetQuery, type Overview } from "../../api/fleet";
import { number } from "../../parts/format";
import {
  cancelTests,
  named,
  type Options,
  type Outcome,
  type Run,
  requestTests,
  summarise,
} from "./testing";

export interface Testing {
  test: (instances: Overview[], options?: Options) => Promise<void>;
  cancel: (instances: Overview[]) => Promise<void>;
  /** Asks for the options first. */
  withOptions: (instances: Overview[]) => void;
}

export const TestingContext = createContext<Testing | null>(null);

export function useTestingActions(): Testing {
  const testing = useContext(TestingContext);
  if (testing === null) throw new Error("no TestingContext above");
  return testing;
}

type Work = (onOutcome: (outcome: Outcome) => void, stop: AbortSignal) => Promise<void>;

/** Starts and ends tests of one or many, and tells how it went. */
export function useTesting(withOptions: Testing["withOptions"]): Testing {
  const client = useQueryClient();
  const navigate = useNavigate();
  return useMemo(() => {
    const open = (runId: string) => void navigate({ to: "/runs/$runId", params: { runId } });
    const carryOut = async (instances: Overview[], words: Words, work: Work) => {
      const outcomes = await counted(instances.length, words.doing, work);
      const run = outcomes[0]?.run;
      if (instances.length !== 1 || !run) return tell(outcomes, words, instances.length);
      showRun(client, run);
      tell(outcomes, words, 1, () => open(run.id));
    };
    return {
      withOptions,
      test: (instances, options) =>
        carryOut(instances, TEST, (onOutcome, stop) =>
          requestTests(instances, options, onOutcome, stop),
        ),
      cancel: (instances) => {
        const atWork = instances.filter(({ run }) => run !== null);
        return carryOut(atWork, CANCEL, (onOutcome, stop) => cancelTests(atWork, onOutcome, stop));
      },
    };
  }, [client, navigate, withOptions]);
}

interface Words {
  doing: string;
  done: (run: Run) => string;
  doneMany: string;
}

const TEST: Words = {
  doing: "Asking for tests",
  done: () => "is queued",
  doneMany: "queued",
};
const CANCEL: Words = {
  doing: "Cancelling tests",
  done: (run) => (run.finished ? "is cancelled" : "is being ended on its machine"),
  doneMany: "cancelled, or being ended on their machines",
};

/** What came of all, while a notification counts where there are several. */
async function counted(total: number, doing: string, work: Work): Promise<Outcome[]> {
  const progress = total > 1 ? new Progress(doing, total) : undefined;
  const outcomes: Outcome[] = [];
  const onOutcome = (outcome: Outcome) => {
    outcomes.push(outcome);
    progress?.tell(outcomes.length);
  };
  try {
    await work(onOutcome, progress?.stop.signal ?? new AbortController().signal);
  } finally {
    progress?.end();
  }
  return outcomes;
}

/** The row as the answer has it, before the stream tells the same. */
function showRun(client: QueryClient, run: Run): void {
  const rows = client.getQueryData(fleetQuery.queryKey);
  const instance = rows?.find(({ id }) => id === run.instance_id);
  if (!instance) return;
  const { id, state, created_at, not_before, cancel_requested_at } = run;
  const unfinished = { id, state, created_at, not_before, cancel_requested_at };
  const item = { ...instance, run: run.finished ? null : unfinished };
  adopt(client, { items: [item], removed: [] });
}

const TOLD_MS = 150;

/** A notification that counts, with a way to stop. */
class Progress {
  readonly stop = new AbortController();
  private readonly id = newKey();
  private toldAt = 0;

  constructor(
    private readonly doing: string,
    private readonly total: number,
  ) {
    notifications.show({ ...this.shape(0), id: this.id });
  }

  tell(count: number): void {
    const now = performance.now();
    if (now - this.toldAt < TOLD_MS) return;
    this.toldAt = now;
    notifications.update({ ...this.shape(count), id: this.id });
  }

  end(): void {
    notifications.hide(this.id);
  }

  private shape(count: number) {
    const message = (
      <Group justify="space-between" wrap="nowrap">
        <Text size="sm">
          {this.doing}: {number(count)} of {number(this.total)}
        </Text>
        <Button size="compact-xs" variant="default" onClick={() => this.stop.abort()}>
          Stop
        </Button>
      </Group>
    );
    return { message, loading: true, autoClose: false as const, withCloseButton: false };
  }
}

function tell(outcomes: Outcome[], words: Words, asked: number, open?: () => void): void {
  const { queued, running, refused } = summarise(outcomes);
  const tests = (count: number) => `${number(count)} ${count === 1 ? "test" : "tests"}`;
  const lines: string[] = [];
  const [first] = outcomes;
  if (asked === 1 && first?.run) lines.push(`The test of ${first.name} ${words.done(first.run)}.`);
  else if (queued > 0) lines.push(`${tests(queued)} ${words.doneMany}.`);
  if (running.length > 0) lines.push(`Already running: ${named(running)}.`);
  for (const [reason, names] of refused) lines.push(`Refused: ${named(names)}. ${reason}`);
  if (outcomes.length < asked) lines.push(`Stopped: ${number(asked - outcomes.length)} not asked.`);
  notifications.show({
    color: refused.length > 0 ? "red" : running.length > 0 ? "yellow" : "teal",
    // A refusal stays until it was read.
    autoClose: refused.length > 0 ? false : running.length > 0 ? 10_000 : 4_000,
    message: (
      <Stack gap={4} align="flex-start">
        {lines.map((line) => (
          <Text key={line} size="sm" style={{ overflowWrap: "anywhere" }}>
            {line}
          </Text>
        ))}
        {open && (
          <Button size="compact-xs" variant="default" onClick={open}>
            Open the run
          </Button>
        )}
      </Stack>
    ),
  });
}
