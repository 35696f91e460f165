import { Button, Group, Modal, Stack, Text, Tooltip } from "@mantine/core";
import { ProblemAlert } from "../../parts/ProblemAlert";

interface Props {
  title: string;
  /** What happens, and whether it can be undone. */
  text: string;
  button: string;
  /** Why it can't be done now. */
  prevented?: string | undefined;
  opened: boolean;
  onClose: () => void;
  doing: { mutate: () => void; isPending: boolean; error: unknown };
}

export function Confirm({ title, text, button, prevented, opened, onClose, doing }: Props) {
  return (
    <Modal opened={opened} onClose={onClose} title={title}>
      <Stack>
        <Text style={{ overflowWrap: "anywhere" }}>{text}</Text>
        {doing.error !== null && <ProblemAlert error={doing.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose} data-autofocus>
            No
          </Button>
          <Tooltip label={prevented} disabled={!prevented}>
            <Button
              color="red.9"
              loading={doing.isPending}
              onClick={prevented ? undefined : () => doing.mutate()}
              data-disabled={prevented ? true : undefined}
              aria-disabled={prevented !== undefined}
            >
              {button}
            </Button>
          </Tooltip>
        </Group>
      </Stack>
    </Modal>
  );
}
