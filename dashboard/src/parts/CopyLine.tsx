import { ActionIcon, Code, Group, Text, Tooltip } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { useCopy } from "./useCopy";

/** A line that is to be pasted elsewhere exactly. */
export function CopyLine({ line, label }: { line: string; label: string }) {
  const { source, outcome, copy } = useCopy(line);
  const isCopied = outcome === "copied";
  return (
    <div>
      <Group gap="xs" wrap="nowrap" align="flex-start">
        <Code
          block
          ref={(shown: HTMLElement | null) => {
            source.current = shown;
          }}
          style={{ flex: 1, minWidth: 0, whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}
        >
          {line}
        </Code>
        <Tooltip label={isCopied ? "Copied" : "Copy"}>
          <ActionIcon
            variant="default"
            size="lg"
            onClick={copy}
            aria-label={isCopied ? "Copied" : `Copy ${label}`}
          >
            {isCopied ? <IconCheck size={18} /> : <IconCopy size={18} />}
          </ActionIcon>
        </Tooltip>
      </Group>
      {outcome === "selected" && <Selected />}
    </div>
  );
}

/** What is left to do where a page may not write to the clipboard. */
export function Selected() {
  return (
    <Text size="xs" c="dimmed" mt={4} role="status">
      This browser lets no page on plain http copy. The text is selected: press Ctrl+C or ⌘C.
    </Text>
  );
}
