import {
  ActionIcon,
  AppShell,
  Burger,
  Group,
  NavLink,
  ScrollArea,
  Text,
  Tooltip,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import {
  IconArrowsDiff,
  IconChartHistogram,
  IconKeyboard,
  IconListSearch,
  IconLogout,
  IconPackages,
  IconPlugConnected,
  IconPlus,
  IconServer,
  IconUserCircle,
} from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { useEffect } from "react";
import { api, take } from "../api/client";
import { profileQuery } from "../api/queries";
import { Brand } from "./Brand";
import { SchemeToggle } from "./SchemeToggle";
import { Shortcuts } from "./Shortcuts";

const GROUPS = [
  {
    name: "Inventory",
    pages: [
      { to: "/instances", label: "GPU Instances", icon: IconServer },
      { to: "/instances/onboard", label: "Onboard GPU Instance", icon: IconPlus },
      { to: "/inventory", label: "Manual Entry", icon: IconPackages },
    ],
  },
  {
    name: "Measurements",
    pages: [
      { to: "/performance", label: "Performance", icon: IconChartHistogram },
      { to: "/compare", label: "Compare", icon: IconArrowsDiff },
      { to: "/listing", label: "Public listing", icon: IconListSearch },
    ],
  },
  {
    name: "Account",
    pages: [
      { to: "/connection", label: "Connection setup", icon: IconPlugConnected },
      { to: "/profile", label: "Profile", icon: IconUserCircle },
    ],
  },
] as const;

/** The frame of every page behind the sign-in. */
export function Shell() {
  const [opened, menu] = useDisclosure();
  const [helpOpened, help] = useDisclosure();
  const path = useRouterState({ select: (state) => state.location.pathname });
  // biome-ignore lint/correctness/useExhaustiveDependencies: a page that was gone to closes the menu
  useEffect(() => menu.close(), [path]);
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 240, breakpoint: "sm", collapsed: { mobile: !opened } }}
      padding="md"
    >
      <a className="skip-link" href="#main">
        Skip to content
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger
              opened={opened}
              onClick={menu.toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label={opened ? "Close the menu" : "Open the menu"}
            />
            <Brand />
          </Group>
          <Group gap="xs" wrap="nowrap">
            <Tooltip label="Keyboard shortcuts (?)">
              <ActionIcon
                variant="subtle"
                color="gray"
                size="lg"
                onClick={help.open}
                aria-label="Keyboard shortcuts"
              >
                <IconKeyboard size={20} />
              </ActionIcon>
            </Tooltip>
            <SchemeToggle />
            <SignOut />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar component="nav" aria-label="Main">
        <AppShell.Section grow component={ScrollArea} px="xs">
          {GROUPS.map((group) => (
            <div key={group.name}>
              <p className="nav-group">{group.name}</p>
              {group.pages.map(({ to, label, icon: Icon }) => (
                <NavLink
                  key={to}
                  component={Link}
                  to={to}
                  activeOptions={{ exact: true }}
                  label={label}
                  active={path === to || (to === "/instances" && isInstance(path))}
                  aria-current={path === to ? "page" : undefined}
                  leftSection={<Icon size={18} aria-hidden />}
                  style={{ borderRadius: "var(--mantine-radius-md)" }}
                />
              ))}
            </div>
          ))}
        </AppShell.Section>
        <AppShell.Section p="md">
          <WhoIsIn />
        </AppShell.Section>
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1}>
        <div className="page">
          <Outlet />
        </div>
      </AppShell.Main>
      <Shortcuts opened={helpOpened} onOpen={help.open} onClose={help.close} />
    </AppShell>
  );
}

function isInstance(path: string): boolean {
  return /^\/instances\/[0-9a-f]{8}-/.test(path) || path.startsWith("/runs/");
}

function WhoIsIn() {
  const { data } = useQuery(profileQuery);
  return (
    <Text size="xs" c="dimmed" truncate title={data?.email}>
      {data?.email}
    </Text>
  );
}

function SignOut() {
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const signOut = async () => {
    await take(api.POST("/v1/auth/sign-out")).catch(() => undefined); // it ends by itself, too
    queryClient.clear();
    await navigate({ to: "/sign-in", search: { next: undefined } });
  };
  return (
    <Tooltip label="Sign out">
      <ActionIcon variant="subtle" color="gray" size="lg" onClick={signOut} aria-label="Sign out">
        <IconLogout size={20} />
      </ActionIcon>
    </Tooltip>
  );
}
