import {
  Alert,
  Button,
  FileButton,
  Group,
  SegmentedControl,
  Stack,
  Text,
  Textarea,
} from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { IconFileUpload } from "@tabler/icons-react";
import { useState } from "react";
import { FORMAT_NAMES, type Format } from "./read";
import { MOST_CHARACTERS } from "./row";
import type { Machines } from "./useMachines";

interface Props {
  text: string;
  onText: (text: string) => void;
  machines: Machines;
  onFormat: (format: Format) => void;
  disabled: boolean;
}

const EXAMPLE = `instance_id,ssh_host,ssh_port,ssh_user,gpu_name,gpu_count,price_per_hour
gpu-1,203.0.113.7,41022,root,NVIDIA H100,8,19.60`;

/** Where machines come from: pasted, dropped or opened. The text is read here and sent nowhere. */
export function ImportSource({ text, onText, machines, onFormat, disabled }: Props) {
  const [over, setOver] = useState(false);
  const open = async (file: File | null | undefined) => {
    if (!file) return;
    if (file.size > MOST_CHARACTERS)
      notifications.show({
        color: "red",
        title: "The file was not read",
        message: `${file.name} is larger than 2 MiB, which is more than 5,000 machines need.`,
      });
    else onText(await file.text());
  };
  return (
    <Stack gap="sm">
      {/* biome-ignore lint/a11y/noStaticElementInteractions: a place to drop a file; the button does the same */}
      <div
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          if (!disabled) void open(event.dataTransfer.files[0]);
        }}
      >
        <Textarea
          label="Machines"
          description="Paste or drop an OpenSSH configuration, CSV or JSON"
          placeholder={EXAMPLE}
          rows={9}
          spellCheck={false}
          autoCapitalize="off"
          disabled={disabled}
          styles={{
            input: {
              fontFamily: "var(--mantine-font-family-monospace)",
              whiteSpace: "pre",
              overflowX: "auto",
              ...(over ? { borderColor: "var(--mantine-primary-color-filled)" } : {}),
            },
          }}
          value={text}
          onChange={(event) => onText(event.currentTarget.value)}
        />
      </div>
      <Group gap="md">
        <FileButton onChange={(file) => void open(file)} disabled={disabled}>
          {(button) => (
            <Button
              variant="default"
              leftSection={<IconFileUpload size={16} aria-hidden />}
              disabled={disabled}
              {...button}
            >
              Open a file
            </Button>
          )}
        </FileButton>
        {machines.format && (
          <FormatChoice format={machines.format} onFormat={onFormat} disabled={disabled} />
        )}
      </Group>
      {machines.refusal && (
        <Alert
          role="alert"
          color="red"
          variant="outline"
          title="Nothing can be imported from this"
          styles={{ title: { color: "var(--mantine-color-error)" } }}
        >
          {machines.refusal}
        </Alert>
      )}
    </Stack>
  );
}

function FormatChoice({
  format,
  onFormat,
  disabled,
}: {
  format: Format;
  onFormat: (format: Format) => void;
  disabled: boolean;
}) {
  return (
    <Group gap="xs">
      <Text size="sm" c="dimmed">
        Read as
      </Text>
      <SegmentedControl
        size="xs"
        aria-label="Format"
        value={format}
        disabled={disabled}
        onChange={(value) => onFormat(value as Format)}
        data={Object.entries(FORMAT_NAMES).map(([value, label]) => ({ value, label }))}
      />
    </Group>
  );
}
