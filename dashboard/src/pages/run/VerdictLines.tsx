import { Text } from "@mantine/core";
import { IconCheck, IconMinus, IconX } from "@tabler/icons-react";
import { textOf } from "./event";
import classes from "./VerdictLines.module.css";

const LOOKS = {
  true: { icon: IconCheck, word: "passed" },
  false: { icon: IconX, word: "failed" },
  null: { icon: IconMinus, word: "not told" },
};

type Seen = keyof typeof LOOKS;

/** The checks of a verdict; `passed` is null where the result does not tell. */
export function VerdictLines({ lines }: { lines: Record<string, unknown>[] }) {
  if (lines.length === 0)
    return (
      <Text size="sm" c="dimmed">
        Nothing was judged.
      </Text>
    );
  return (
    <ul className={classes.lines} aria-label="Checks">
      {lines.map((line) => {
        const seen: Seen = line.passed === true ? "true" : line.passed === false ? "false" : "null";
        const { icon: Icon, word } = LOOKS[seen];
        return (
          <li key={`${line.check} ${line.text}`} className={classes.line} data-seen={seen}>
            <Icon size={16} aria-hidden />
            <span className={classes.word}>{word}</span>
            <span>
              <b>{textOf(line.check)}</b>: {textOf(line.text)}
            </span>
          </li>
        );
      })}
    </ul>
  );
}
