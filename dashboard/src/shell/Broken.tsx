import { Button, Center, Stack, Text, Title } from "@mantine/core";
import { useRouter } from "@tanstack/react-router";
import { asError, ProblemError } from "../api/client";
import { LinkButton } from "../parts/Links";

/** A page that could not be shown: what happened, and the way on. */
export function Broken({ error }: { error: unknown }) {
  const router = useRouter();
  if (error instanceof ProblemError && error.status === 404) return <Missing />;
  const { problem } = asError(error);
  return (
    <Center mih="60vh" p="md">
      <Stack align="flex-start" maw={560} role="alert">
        <Title order={1} size="h2">
          {problem.title}
        </Title>
        <Text>{problem.detail}</Text>
        <Text c="dimmed">{problem.remedy}</Text>
        <Button onClick={() => void router.invalidate()}>Try again</Button>
      </Stack>
    </Center>
  );
}

export function Missing() {
  return (
    <Center mih="60vh" p="md">
      <Stack align="flex-start" maw={560}>
        <Title order={1} size="h2">
          There is nothing here
        </Title>
        <Text>
          The address is mistyped, or what it named was deleted, or it belongs to another account.
        </Text>
        <LinkButton to="/instances">To your GPU instances</LinkButton>
      </Stack>
    </Center>
  );
}
