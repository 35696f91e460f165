import { Button, Code, Group, Skeleton, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { notifications } from "@mantine/notifications";
import { queryOptions, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, asError, type Shapes, take } from "../../api/client";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { ReadFault } from "../../parts/ReadFault";
import { Section } from "../../parts/Section";
import { Time } from "../../parts/Time";
import { ConfirmButton } from "../profile/ConfirmButton";

type Authority = Shapes["AuthorityShape"];

const authoritiesQuery = queryOptions({
  queryKey: ["host-authorities"],
  queryFn: () => take(api.GET("/v1/host-authorities")),
});

/** Whose certificates are taken for the word of machines, where a fleet changes its host keys. */
export function HostAuthorities() {
  const reading = useQuery(authoritiesQuery);
  return (
    <Section
      title="Your host certificates"
      text="For fleets that change their host keys: a machine that shows a certificate of your authority, for its address and not expired, is known by it."
    >
      <ReadFault of={reading} />
      {reading.isPending && <Skeleton h={60} />}
      {reading.data?.items.map((authority) => (
        <Trusted key={authority.id} authority={authority} />
      ))}
      <Add />
    </Section>
  );
}

function Trusted({ authority }: { authority: Authority }) {
  const queryClient = useQueryClient();
  const removing = useMutation({
    mutationFn: () =>
      take(
        api.DELETE("/v1/host-authorities/{authority_id}", {
          params: { path: { authority_id: authority.id } },
        }),
      ),
    onSettled: () => queryClient.invalidateQueries(authoritiesQuery),
  });
  return (
    <Group justify="space-between" wrap="nowrap" align="flex-start">
      <div style={{ minWidth: 0, overflowWrap: "anywhere" }}>
        <Code>{authority.hosts}</Code>
        <Text size="xs" c="dimmed">
          {authority.fingerprint}, added <Time at={authority.created_at} />
        </Text>
      </div>
      <ConfirmButton
        label="Remove"
        name={`Remove the authority of ${authority.hosts}`}
        text="Its certificates count for nothing from the next login on; each machine is pinned to the key it showed last."
        doing={removing}
      />
    </Group>
  );
}

function Add() {
  const queryClient = useQueryClient();
  const form = useForm({ initialValues: { line: "" } });
  const adding = useMutation({
    mutationFn: (line: string) => take(api.POST("/v1/host-authorities", { body: { line } })),
    onSuccess: async (authority) => {
      form.reset();
      notifications.show({
        message: `Certificates are good for ${authority.hosts}.`,
        color: "teal",
      });
      await queryClient.invalidateQueries(authoritiesQuery);
    },
  });
  // All that can be wrong stands in the one line.
  const refused = adding.error ? asError(adding.error).problem.errors?.[0]?.message : undefined;
  return (
    <form onSubmit={form.onSubmit(({ line }) => adding.mutate(line.trim()))}>
      <Stack gap="xs" align="flex-start">
        <TextInput
          w="100%"
          label="Authority to trust"
          description="As in known_hosts, with patterns of the addresses that it speaks for."
          placeholder="@cert-authority *.fleet.example ssh-ed25519 AAAA…"
          required
          {...form.getInputProps("line")}
          error={refused}
        />
        {adding.error && !refused && <ProblemAlert error={adding.error} />}
        <Button type="submit" variant="default" loading={adding.isPending}>
          Trust its certificates
        </Button>
      </Stack>
    </form>
  );
}
