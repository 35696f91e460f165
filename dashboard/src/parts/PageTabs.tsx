import { Tabs } from "@mantine/core";
import type { ReactNode } from "react";

interface Props {
  /** By their name in the address, with what the reader calls them; the first is shown where none is asked for. */
  tabs: Record<string, [label: string, panel: ReactNode]>;
  asked: string | undefined;
  onAsk: (tab: string | undefined) => void;
}

/** Tabs that stand in the address of their page; only the one that is shown is there. */
export function PageTabs({ tabs, asked, onAsk }: Props) {
  const shown = asked !== undefined && Object.hasOwn(tabs, asked) ? asked : Object.keys(tabs)[0];
  return (
    <Tabs value={shown} onChange={(tab) => onAsk(tab ?? undefined)} keepMounted={false}>
      <div style={{ overflowX: "auto" }}>
        <Tabs.List style={{ flexWrap: "nowrap", minWidth: "max-content" }}>
          {Object.entries(tabs).map(([tab, [label]]) => (
            <Tabs.Tab key={tab} value={tab}>
              {label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
      </div>
      {Object.entries(tabs).map(([tab, [, panel]]) => (
        <Tabs.Panel key={tab} value={tab} pt="md">
          {panel}
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}
