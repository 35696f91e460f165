import { Menu, ScrollArea, Text } from "@mantine/core";
import type { ReactElement } from "react";
import { number } from "../../parts/format";
import { NONE } from "./rows";

export interface Choices {
  /** What can be chosen, with how many rows have it. */
  options: [value: string, count: number][];
  chosen: string[];
  /** What the rows are called that have none. */
  none: string;
  onChange: (chosen: string[]) => void;
}

interface Props extends Choices {
  target: ReactElement;
  onClose: () => void;
}

export function FilterChoices({ options, chosen, none, onChange, target, onClose }: Props) {
  const toggle = (value: string) =>
    onChange(chosen.includes(value) ? chosen.filter((each) => each !== value) : [...chosen, value]);
  // What the address names is shown as chosen, also where no row has it.
  const missing = chosen.filter((value) => options.every(([each]) => each !== value));
  const all = [...options, ...missing.map((value) => [value, 0] as [string, number])];
  return (
    <Menu
      defaultOpened
      closeOnItemClick={false}
      withInitialFocusPlaceholder={false}
      onClose={onClose}
      position="bottom-start"
      shadow="md"
    >
      <Menu.Target>{target}</Menu.Target>
      <Menu.Dropdown>
        <ScrollArea.Autosize mah={320} type="auto">
          {all.map(([value, count]) => (
            <Menu.CheckboxItem
              key={value}
              checked={chosen.includes(value)}
              onChange={() => toggle(value)}
              rightSection={
                <Text size="xs" c="dimmed" component="span">
                  {number(count)}
                </Text>
              }
            >
              {value === NONE ? none : value}
            </Menu.CheckboxItem>
          ))}
          {all.length === 0 && <Menu.Label>Nothing to choose from yet</Menu.Label>}
        </ScrollArea.Autosize>
        {chosen.length > 0 && (
          <>
            <Menu.Divider />
            <Menu.Item onClick={() => onChange([])} closeMenuOnClick>
              Clear
            </Menu.Item>
          </>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}
