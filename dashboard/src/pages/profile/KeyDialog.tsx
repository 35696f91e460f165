import { Alert, Button, Group, Modal, Stack, Text } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { CopyLine } from "../../parts/CopyLine";

interface Props {
  title: string;
  opened: boolean;
  onClose: () => void;
  /** The key once there is one. */
  made: string | undefined;
  /** A command that uses it. */
  example: (key: string) => string;
  /** What is asked before. */
  children: ReactNode;
}

/** Asks what a new key is for, then shows it: once, since we keep only what it is checked by. */
export function KeyDialog({ title, opened, onClose, made, example, children }: Props) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={made ? "Copy the key now" : title}
      size="lg"
      centered
      closeOnClickOutside={!made}
      closeOnEscape={!made}
      withCloseButton={!made}
    >
      {made ? <MadeKey made={made} example={example(made)} onClose={onClose} /> : children}
    </Modal>
  );
}

interface MadeProps {
  made: string;
  example: string;
  onClose: () => void;
}

function MadeKey({ made, example, onClose }: MadeProps) {
  return (
    <Stack>
      <Alert
        color="yellow"
        variant="outline"
        icon={<IconAlertTriangle size={18} />}
        title="This is the only time the key is shown"
      >
        <Text size="sm">
          Copy it to where it is used, and treat it as a password: it acts in your name. A lost key
          can't be shown again, only revoked and replaced.
        </Text>
      </Alert>
      <CopyLine line={made} label="the key" />
      <Text size="sm" c="dimmed">
        To use it:
      </Text>
      <CopyLine line={example} label="the command" />
      <Group justify="flex-end">
        <Button onClick={onClose}>I have copied it</Button>
      </Group>
    </Stack>
  );
}
