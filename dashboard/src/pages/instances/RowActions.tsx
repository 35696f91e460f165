import { IconDots } from "@tabler/icons-react";
import { lazy, useState } from "react";
import type { Overview } from "../../api/fleet";
import classes from "./instances.module.css";
import { LateMenu } from "./LateMenu";
import { useTestingActions } from "./useTesting";

const RowMenu = lazy(() => import("./RowMenu").then((module) => ({ default: module.RowMenu })));

interface Props {
  instance: Overview;
}

/** Test or cancel in one click; the rest in a menu. */
export function RowActions({ instance }: Props) {
  return (
    <span className={classes.actions}>
      <TestButton instance={instance} />
      <LateMenu
        button={(props) => (
          <button
            {...props}
            type="button"
            className={classes.more}
            aria-label={`More for ${instance.name}`}
          >
            <IconDots size={16} aria-hidden />
          </button>
        )}
        menu={(target, onClose) => (
          <RowMenu instance={instance} target={target} onClose={onClose} />
        )}
      />
    </span>
  );
}

function TestButton({ instance }: Props) {
  const { test, cancel } = useTestingActions();
  const [isAsked, setAsked] = useState(false);
  const { name, run } = instance;
  const isEnding = Boolean(run?.cancel_requested_at);
  const ask = async () => {
    setAsked(true);
    await (run ? cancel([instance]) : test([instance]));
    setAsked(false);
  };
  return (
    <button
      type="button"
      className={classes.test}
      aria-label={run ? `Cancel the test of ${name}` : `Test ${name}`}
      aria-disabled={isEnding || isAsked}
      title={isEnding ? "It is being ended on its machine" : undefined}
      onClick={isEnding || isAsked ? undefined : ask}
    >
      {run ? "Cancel" : "Test"}
    </button>
  );
}
