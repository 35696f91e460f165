import { Group, Kbd, Modal, Stack, Text } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";

const PAGES = {
  i: { to: "/instances", label: "GPU instances" },
  o: { to: "/instances/onboard", label: "Onboard an instance" },
  m: { to: "/inventory", label: "Manual entry" },
  p: { to: "/performance", label: "Performance" },
  c: { to: "/compare", label: "Compare" },
  l: { to: "/listing", label: "Public listing" },
  s: { to: "/connection", label: "Connection setup" },
  a: { to: "/profile", label: "Profile" },
} as const;

const SECOND_KEY_MS = 1_200;

interface Props {
  opened: boolean;
  onOpen: () => void;
  onClose: () => void;
}

/** `/` goes to the search of the page, `?` shows this help, `g` and a letter go to a page. */
export function Shortcuts({ opened, onOpen, onClose }: Props) {
  const navigate = useNavigate();
  const wentAt = useRef(Number.NEGATIVE_INFINITY);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      const page = PAGES[event.key as keyof typeof PAGES];
      if (page && event.timeStamp - wentAt.current < SECOND_KEY_MS) {
        event.preventDefault();
        wentAt.current = Number.NEGATIVE_INFINITY;
        void navigate({ to: page.to });
      } else if (event.key === "g") {
        wentAt.current = event.timeStamp;
      } else if (event.key === "?") {
        event.preventDefault();
        onOpen();
      } else if (event.key === "/") {
        const search = document.querySelector<HTMLInputElement>("[data-search]");
        if (search === null) return;
        event.preventDefault();
        search.focus();
        search.select();
      }
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [navigate, onOpen]);
  return (
    <Modal opened={opened} onClose={onClose} title="Keyboard shortcuts" centered>
      <Stack gap="xs">
        <Line keys={["/"]} text="Search on this page" />
        <Line keys={["?"]} text="This help" />
        <Line keys={["Esc"]} text="Close, or leave the search" />
        {Object.entries(PAGES).map(([key, page]) => (
          <Line key={key} keys={["g", key]} text={page.label} />
        ))}
      </Stack>
    </Modal>
  );
}

function Line({ keys, text }: { keys: string[]; text: string }) {
  return (
    <Group justify="space-between">
      <Text size="sm">{text}</Text>
      <Group gap={4}>
        {keys.map((key) => (
          <Kbd key={key}>{key}</Kbd>
        ))}
      </Group>
    </Group>
  );
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName))
  );
}
