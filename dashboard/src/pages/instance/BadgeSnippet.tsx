import { SegmentedControl, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { CopyLine } from "../../parts/CopyLine";
import { snippets } from "../listing/snippets";
import type { Instance } from "./instanceQueries";

type Form = "Markdown" | "HTML" | "Address";

/** An image that a supplier can put on a page of their own; it shows the latest verified figure. */
export function BadgeSnippet({ instance }: { instance: Instance }) {
  const [form, setForm] = useState<Form>("Markdown");
  const [broken, setBroken] = useState(false);
  const latest = instance.latest_result;
  const said = `Harborx verified: ${latest?.measured_gpu_name ?? "GPU"}`;
  const made = snippets(window.location.origin, instance.id, said);
  const lines: Record<Form, string> = {
    Markdown: made.markdown,
    HTML: made.html,
    Address: made.badge,
  };
  const shown =
    instance.listed &&
    instance.status === "active" &&
    latest?.verdict === "passed" &&
    latest.source === "pushed";
  if (!shown || broken)
    return (
      <Text size="sm" c="dimmed">
        A badge to link to is here once the instance is listed, active, and its latest result,
        measured by us, passed.
      </Text>
    );
  return (
    <Stack gap="xs">
      <img
        src={made.badge}
        alt="The badge as it looks now"
        height={20}
        style={{ alignSelf: "flex-start", maxWidth: "100%" }}
        onError={() => setBroken(true)}
      />
      <SegmentedControl
        size="xs"
        data={Object.keys(lines)}
        value={form}
        onChange={(value) => setForm(value as Form)}
        aria-label="How to put the badge on a page"
        style={{ alignSelf: "flex-start" }}
      />
      <CopyLine line={lines[form]} label={`the badge as ${form}`} />
    </Stack>
  );
}
