import {
  Anchor,
  Group,
  NumberInput,
  Radio,
  SegmentedControl,
  Select,
  Stack,
  Text,
  TextInput,
} from "@mantine/core";
import { useMemo } from "react";
import { duration } from "../../parts/format";
import { type Draft, type Field, type Kind, LOCAL_ZONE, zones } from "./timetable";

interface Props {
  draft: Draft;
  refused: Partial<Record<Field, string>>;
  onChange: (change: Partial<Draft>) => void;
}

const KINDS = [
  { value: "hours", label: "Every N hours" },
  { value: "cron", label: "Cron line" },
];
const EXAMPLES = [
  ["0 3 * * *", "daily at 03:00"],
  ["30 6 * * 1", "Mondays at 06:30"],
  ["0 */6 * * *", "every 6 hours"],
] as const;

export function TimetableFields({ draft, refused, onChange }: Props) {
  return (
    <Stack gap="sm">
      <SegmentedControl
        data={KINDS}
        value={draft.kind}
        onChange={(kind) => onChange({ kind: kind as Kind })}
        aria-label="Kind of schedule"
        style={{ alignSelf: "flex-start" }}
      />
      {draft.kind === "hours" ? (
        <NumberInput
          label="Hours between tests"
          description="Counted from the last due time, so that a restart does not move them"
          required
          min={1}
          max={8760}
          clampBehavior="none"
          allowDecimal={false}
          maw={320}
          value={draft.everyHours}
          onChange={(value) => onChange({ everyHours: typeof value === "number" ? value : "" })}
          error={refused.every_hours}
        />
      ) : (
        <CronFields draft={draft} refused={refused} onChange={onChange} />
      )}
      <NumberInput
        label="Jitter"
        description={
          draft.jitterSeconds
            ? `Each test begins up to ${duration(draft.jitterSeconds)} later, so that not all machines begin at once`
            : "Seconds by which a test may begin later, so that not all machines begin at once"
        }
        suffix=" s"
        min={0}
        max={86_400}
        clampBehavior="none"
        allowDecimal={false}
        thousandSeparator=","
        maw={320}
        value={draft.jitterSeconds}
        onChange={(value) => onChange({ jitterSeconds: typeof value === "number" ? value : "" })}
        error={refused.jitter_seconds}
      />
      <Radio.Group
        label="After a time without a worker"
        description="When due times passed and nobody was there to test"
        value={draft.misfire}
        onChange={(value) => onChange({ misfire: value as Draft["misfire"] })}
      >
        <Stack gap={6} mt={6}>
          <Radio value="run_once" label="Make up for all of them with one test" />
          <Radio value="skip" label="Skip them, and wait for the next" />
        </Stack>
      </Radio.Group>
    </Stack>
  );
}

function CronFields({ draft, refused, onChange }: Props) {
  const zone = draft.timezone;
  const data = useMemo(() => zones(LOCAL_ZONE, zone), [zone]);
  return (
    <>
      <TextInput
        label="Cron line"
        description="Minute, hour, day of the month, month, day of the week"
        required
        maxLength={200}
        spellCheck={false}
        autoComplete="off"
        styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
        value={draft.cron}
        onChange={(event) => onChange({ cron: event.currentTarget.value })}
        error={refused.cron}
      />
      <Group gap="sm">
        {EXAMPLES.map(([line, text]) => (
          <Text key={line} size="xs" c="dimmed">
            <Anchor
              component="button"
              type="button"
              size="xs"
              underline="always"
              onClick={() => onChange({ cron: line })}
            >
              <code>{line}</code>
            </Anchor>{" "}
            {text}
          </Text>
        ))}
      </Group>
      <Select
        label="Time zone"
        description="At changes of the clock, a time that does not exist comes right after the gap, and one that comes twice counts once"
        searchable
        allowDeselect={false}
        limit={60}
        maxDropdownHeight={260}
        data={data}
        value={zone}
        onChange={(value) => value && onChange({ timezone: value })}
        nothingFoundMessage="There is no such zone"
        error={refused.timezone}
      />
    </>
  );
}
