import { Anchor, Stack, Text } from "@mantine/core";
import { CopyLine } from "../../parts/CopyLine";
import { Section } from "../../parts/Section";
import { gpu } from "./figures";
import type { Listed } from "./order";
import { snippets } from "./snippets";

/** The badge, and how to show it elsewhere. */
export function BadgeSnippets({ listed }: { listed: Listed }) {
  const said = `Harborx verified: ${gpu(listed)}`;
  const made = snippets(window.location.origin, listed.id, said);
  return (
    <Section
      title="Badge"
      text="For a page of your own; it always shows the latest result, and is gone when the GPU is no longer listed."
    >
      <img
        src={made.badge}
        alt={said}
        height={20}
        style={{ alignSelf: "flex-start", maxWidth: "100%" }}
      />
      {(
        [
          ["HTML", made.html],
          ["Markdown", made.markdown],
          ["JSON", made.json],
        ] as const
      ).map(([name, line]) => (
        <Stack key={name} gap={4}>
          <Text size="sm" fw={600}>
            {name}
          </Text>
          <CopyLine line={line} label={name} />
        </Stack>
      ))}
      <Anchor href={made.json} size="sm" underline="always">
        Open the JSON
      </Anchor>
    </Section>
  );
}
