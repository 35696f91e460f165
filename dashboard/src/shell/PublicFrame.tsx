import { Group } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { profileQuery } from "../api/queries";
import { LinkButton } from "../parts/Links";
import { Brand } from "./Brand";
import { SchemeToggle } from "./SchemeToggle";
import { Shortcuts } from "./Shortcuts";

/** The frame of pages that need no sign-in. */
export function PublicFrame({ children }: { children: ReactNode }) {
  const { data: profile } = useQuery({ ...profileQuery, retry: false });
  const [helpOpened, help] = useDisclosure();
  return (
    <>
      <a className="skip-link" href="#main">
        Skip to content
      </a>
      <Group
        component="header"
        h={56}
        px="md"
        justify="space-between"
        style={{
          borderBottom: "1px solid var(--harbor-line)",
          background: "var(--harbor-surface)",
        }}
      >
        <Brand />
        <Group gap="xs">
          <SchemeToggle />
          {profile ? (
            <LinkButton to="/instances" variant="default">
              Dashboard
            </LinkButton>
          ) : (
            <LinkButton to="/sign-in" variant="default">
              Sign in
            </LinkButton>
          )}
        </Group>
      </Group>
      <main
        id="main"
        tabIndex={-1}
        className="page"
        style={{ padding: "var(--mantine-spacing-md)" }}
      >
        {children}
      </main>
      <Shortcuts opened={helpOpened} onOpen={help.open} onClose={help.close} />
    </>
  );
}
