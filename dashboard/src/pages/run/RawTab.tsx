import { Button, Code, Group, SegmentedControl } from "@mantine/core";
import { IconCheck, IconCopy, IconDownload } from "@tabler/icons-react";
import { useState } from "react";
import { Selected } from "../../parts/CopyLine";
import { download } from "../../parts/download";
import { useCopy } from "../../parts/useCopy";
import type { Run } from "./runQueries";

/** The run and its result as the API tells them. */
export function RawTab({ run }: { run: Run }) {
  const [shown, setShown] = useState("run");
  const { result, ...alone } = run;
  const json = JSON.stringify(shown === "result" ? result : alone, null, 2);
  const { source, outcome, copy } = useCopy(json);
  const isCopied = outcome === "copied";
  return (
    <>
      <Group mb="xs" gap="sm">
        <SegmentedControl
          aria-label="What is shown"
          value={result ? shown : "run"}
          onChange={setShown}
          data={[
            { value: "run", label: "Run" },
            { value: "result", label: "Result", disabled: !result },
          ]}
        />
        <Button
          variant="default"
          leftSection={isCopied ? <IconCheck size={16} /> : <IconCopy size={16} />}
          onClick={copy}
        >
          {isCopied ? "Copied" : "Copy JSON"}
        </Button>
        <Button
          variant="default"
          leftSection={<IconDownload size={16} />}
          onClick={() =>
            download(`${shown}-${run.id.slice(0, 8)}.json`, `${json}\n`, "application/json")
          }
        >
          Download JSON
        </Button>
      </Group>
      {outcome === "selected" && <Selected />}
      <Code
        block
        ref={(shown: HTMLElement | null) => {
          source.current = shown;
        }}
        tabIndex={0}
        role="region"
        aria-label="Raw JSON"
        mah={560}
        style={{ overflow: "auto" }}
      >
        {json}
      </Code>
    </>
  );
}
