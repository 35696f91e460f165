import { Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";

interface Props {
  title: string;
  /** What there would be here, and the next step. */
  text: ReactNode;
  action?: ReactNode;
}

export function EmptyState({ title, text, action }: Props) {
  return (
    <Stack className="surface" align="center" gap="sm" py={48} px="md" ta="center">
      <Title order={2} size="h4">
        {title}
      </Title>
      <Text c="dimmed" maw={520} component="div">
        {text}
      </Text>
      {action}
    </Stack>
  );
}
