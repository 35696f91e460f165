import { Button } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { number } from "../../parts/format";

const FIRST = 10;
const MORE = 100;

/** The head of a long list, and the button for more of it. */
export function useShown<T>(items: T[]): [shown: T[], more: ReactNode] {
  const [count, setCount] = useState(FIRST);
  const left = items.length - count;
  const more = left > 0 && (
    <Button
      variant="subtle"
      style={{ alignSelf: "flex-start" }}
      onClick={() => setCount(count + MORE)}
    >
      Show more ({number(left)} left)
    </Button>
  );
  return [items.slice(0, count), more];
}
