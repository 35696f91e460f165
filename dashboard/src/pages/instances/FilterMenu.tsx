import { Button, VisuallyHidden } from "@mantine/core";
import { IconChevronDown } from "@tabler/icons-react";
import { lazy } from "react";
import type { Choices } from "./FilterChoices";
import classes from "./instances.module.css";
import { LateMenu } from "./LateMenu";

const FilterChoices = lazy(() =>
  import("./FilterChoices").then((module) => ({ default: module.FilterChoices })),
);

/** Several values of one filter, each with its count. */
export function FilterMenu({ label, ...choices }: Choices & { label: string }) {
  return (
    <LateMenu
      button={(props) => (
        <Button
          {...props}
          variant="default"
          rightSection={<IconChevronDown size={14} aria-hidden />}
          px="sm"
          fw={500}
        >
          <VisuallyHidden>Filter by </VisuallyHidden>
          {label}
          {choices.chosen.length > 0 && (
            <span className={classes.chosenCount}>{choices.chosen.length}</span>
          )}
        </Button>
      )}
      menu={(target, onClose) => <FilterChoices {...choices} target={target} onClose={onClose} />}
    />
  );
}
