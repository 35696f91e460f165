import { Badge, Button, Group, Skeleton, Table, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { IconPlus } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, type Shapes, take } from "../../api/client";
import { LinkAnchor } from "../../parts/Links";
import { ReadFault } from "../../parts/ReadFault";
import { Section } from "../../parts/Section";
import { Time } from "../../parts/Time";
import { ConfirmButton } from "./ConfirmButton";
import { keysQuery } from "./keysQuery";
import { NewKey } from "./NewKey";

type Key = Shapes["KeyShape"];

export function ApiKeysSection() {
  const [opened, dialog] = useDisclosure();
  const reading = useQuery(keysQuery);
  const { data, isPending } = reading;
  return (
    <Section
      title="API keys"
      text="For scripts and agents: sent as x-api-key, or as Authorization: Bearer."
      action={
        <Button
          variant="default"
          size="xs"
          leftSection={<IconPlus size={16} aria-hidden />}
          onClick={dialog.open}
        >
          New key
        </Button>
      }
    >
      <ReadFault of={reading} />
      {isPending && <Skeleton h={96} aria-label="Loading the keys" />}
      {data?.length === 0 && (
        <Text size="sm" c="dimmed">
          There is no key yet. Make one to use the API from a script.
        </Text>
      )}
      {data && data.length > 0 && <Keys keys={data} />}
      <NewKey opened={opened} onClose={dialog.close} />
    </Section>
  );
}

function Keys({ keys }: { keys: Key[] }) {
  return (
    <Table.ScrollContainer minWidth={680}>
      <Table verticalSpacing="xs" aria-label="API keys">
        <Table.Thead>
          <Table.Tr>
            {["Name", "May", "Last used", "Expires", "Made"].map((name) => (
              <Table.Th key={name}>{name}</Table.Th>
            ))}
            <Table.Td />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {keys.map((key) => (
            <KeyRow key={key.id} api_key={key} />
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function KeyRow({ api_key: key }: { api_key: Key }) {
  const queryClient = useQueryClient();
  const revoking = useMutation({
    mutationFn: () =>
      take(api.DELETE("/v1/api-keys/{key_id}", { params: { path: { key_id: key.id } } })),
    onSuccess: () => notifications.show({ message: `${key.name} is revoked.`, color: "teal" }),
    onSettled: () => queryClient.invalidateQueries(keysQuery),
  });
  const isOver = key.expires_at !== null && new Date(key.expires_at) < new Date();
  const usable = key.revoked_at === null && !isOver;
  return (
    <Table.Tr c={usable ? undefined : "dimmed"}>
      <Table.Td style={{ overflowWrap: "anywhere", minWidth: 140 }}>
        <Text size="sm" fw={600}>
          {key.name}
        </Text>
        <Text size="xs" c="dimmed" ff="monospace">
          hx_live_{key.public_id}_…
        </Text>
      </Table.Td>
      <Table.Td>
        {key.scopes.join(", ")}
        {key.instance_id && (
          <>
            {" for "}
            <LinkAnchor
              to="/instances/$instanceId"
              params={{ instanceId: key.instance_id }}
              search={{ tab: "host-key" }}
              inherit
              underline="always"
            >
              one instance
            </LinkAnchor>
          </>
        )}
      </Table.Td>
      <Table.Td>{key.last_used_at ? <Time at={key.last_used_at} /> : "never"}</Table.Td>
      <Table.Td>{key.expires_at ? <Time at={key.expires_at} /> : "never"}</Table.Td>
      <Table.Td>
        <Time at={key.created_at} />
      </Table.Td>
      <Table.Td>
        <Group justify="flex-end">
          {usable ? (
            <ConfirmButton
              label="Revoke"
              name={`Revoke ${key.name}`}
              text="Whatever uses this key is refused at once, and for good."
              doing={revoking}
            />
          ) : (
            <Badge className="state state-gray" radius="sm" tt="none">
              {key.revoked_at ? "revoked" : "expired"}
            </Badge>
          )}
        </Group>
      </Table.Td>
    </Table.Tr>
  );
}
