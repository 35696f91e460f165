import { Badge, Button, Group, Skeleton, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { IconDeviceLaptop } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, type Shapes, take } from "../../api/client";
import { ReadFault } from "../../parts/ReadFault";
import { Section } from "../../parts/Section";
import { Time } from "../../parts/Time";
import { ConfirmButton } from "./ConfirmButton";
import { device } from "./device";

export const SESSIONS = ["sessions"];

type Session = Shapes["SignInShape"];

export function SessionsSection() {
  const reading = useQuery({
    queryKey: SESSIONS,
    queryFn: () => take(api.GET("/v1/sessions")),
  });
  const { data, isPending } = reading;
  const others = data?.filter((session) => !session.current) ?? [];
  return (
    <Section
      title="Sessions"
      text="Where you are signed in. A session that is ended can do nothing more within seconds."
      action={others.length > 0 && <EndOthers others={others} />}
    >
      <ReadFault of={reading} />
      {isPending && <Skeleton h={96} aria-label="Loading the sessions" />}
      {data && <SessionList sessions={data} />}
    </Section>
  );
}

/** So many are shown unasked; a script that signs in each time leaves hundreds. */
const FEW = 6;

function SessionList({ sessions }: { sessions: Session[] }) {
  const [all, setAll] = useState(false);
  const ordered = sessions.toSorted((one, other) => Number(other.current) - Number(one.current));
  const hidden = all ? 0 : Math.max(0, ordered.length - FEW);
  return (
    <>
      <Stack component="ul" gap={0} m={0} p={0} style={{ listStyle: "none" }}>
        {ordered.slice(0, ordered.length - hidden).map((session) => (
          <SessionLine key={session.id} session={session} />
        ))}
      </Stack>
      {hidden > 0 && (
        <Button variant="subtle" size="xs" w="fit-content" onClick={() => setAll(true)}>
          Show {hidden} more
        </Button>
      )}
    </>
  );
}

function SessionLine({ session }: { session: Session }) {
  const name = device(session.user_agent);
  const ending = useEnding([session], `The session of ${name} has ended.`);
  return (
    <Group
      component="li"
      justify="space-between"
      py="xs"
      gap="sm"
      style={{ borderTop: "1px solid var(--harbor-line)" }}
    >
      <Group gap="sm" wrap="nowrap" style={{ flex: "1 1 180px", minWidth: 0 }}>
        <IconDeviceLaptop size={20} aria-hidden style={{ flexShrink: 0 }} />
        <div style={{ minWidth: 0 }}>
          <Group gap="xs">
            <Text size="sm" fw={600} title={session.user_agent ?? undefined}>
              {name}
            </Text>
            {session.current && (
              <Badge className="state state-teal" radius="sm" tt="none">
                This one
              </Badge>
            )}
          </Group>
          <Text size="xs" c="dimmed" component="div">
            Signed in <Time at={session.created_at} /> · last seen{" "}
            <Time at={session.last_seen_at} /> · ends <Time at={session.expires_at} />
          </Text>
        </div>
      </Group>
      {!session.current && (
        <ConfirmButton
          label="End"
          name={`End the session of ${name}`}
          text="Whoever uses it has to sign in again."
          doing={ending}
        />
      )}
    </Group>
  );
}

function EndOthers({ others }: { others: Session[] }) {
  const ending = useEnding(others, "Every other session has ended.");
  return (
    <ConfirmButton
      label="End all others"
      text={`${others.length === 1 ? "One session ends" : `${others.length} sessions end`}; this one stays.`}
      doing={ending}
    />
  );
}

function useEnding(sessions: Session[], told: string) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: () => Promise.all(sessions.map(end)),
    onSuccess: () => notifications.show({ message: told, color: "teal" }),
    onSettled: () => queryClient.invalidateQueries({ queryKey: SESSIONS }),
  });
}

function end({ id }: Session): Promise<unknown> {
  return take(api.DELETE("/v1/sessions/{session_id}", { params: { path: { session_id: id } } }));
}
