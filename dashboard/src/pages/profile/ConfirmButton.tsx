import { Button, type ButtonProps, Group, Modal, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { type ReactNode, useEffect } from "react";
import { ProblemAlert } from "../../parts/ProblemAlert";

interface Props extends Omit<ButtonProps, "children"> {
  /** What the button and the question are called. */
  label: string;
  /** The button's name where several have the same label. */
  name?: string;
  text: ReactNode;
  doing: { isPending: boolean; isSuccess: boolean; error: unknown; mutate: () => void };
}

/** A button whose deed cannot be undone: it asks first, and stays open while it fails. */
export function ConfirmButton({ label, name, text, doing, ...button }: Props) {
  const [opened, question] = useDisclosure();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the handlers are new with each render
  useEffect(() => {
    if (doing.isSuccess) question.close();
  }, [doing.isSuccess]);
  return (
    <>
      <Button variant="default" size="xs" {...button} onClick={question.open} aria-label={name}>
        {label}
      </Button>
      <Modal opened={opened} onClose={question.close} title={name ?? label} centered>
        <Stack>
          <Text size="sm">{text}</Text>
          {doing.error ? <ProblemAlert error={doing.error} /> : null}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={question.close} data-autofocus>
              Keep
            </Button>
            <Button color="red" loading={doing.isPending} onClick={() => doing.mutate()}>
              {label}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
