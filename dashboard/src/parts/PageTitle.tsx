import { Group, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { useEffect } from "react";

/** The name of the tab. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Harborx`;
  }, [title]);
}

interface Props {
  title: string;
  /** One sentence on what the page is for. */
  text?: ReactNode;
  actions?: ReactNode;
}

export function PageTitle({ title, text, actions }: Props) {
  useTitle(title);
  return (
    <Group justify="space-between" align="flex-start" mb="md" gap="sm">
      <Stack gap={2} style={{ minWidth: 0 }}>
        <Title order={1} size="h2" style={{ overflowWrap: "anywhere" }}>
          {title}
        </Title>
        {text && (
          <Text c="dimmed" size="sm" component="div">
            {text}
          </Text>
        )}
      </Stack>
      {actions && <Group gap="xs">{actions}</Group>}
    </Group>
  );
}
