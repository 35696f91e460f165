import { Button, Code, CopyButton, Group, SegmentedControl } from "@mantine/core";
import { IconCheck, IconCopy, IconDownload } from "@tabler/icons-react";
import { useState } from "react";
import { download } from "../../parts/download";
import type { Run } from "./runQueries";

/** The run and its result exactly as the API tells them. */
export function RawTab({ run }: { run: Run }) {
  const [shown, setShown] = useState("run");
  const { result, ...alone } = run;
  const json = JSON.stringify(shown === "result" ? result : alone, null, 2);
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
        <CopyButton value={json}>
          {({ copied, copy }) => (
            <Button
              variant="default"
              leftSection={copied ? <IconCheck size={16} /> : <IconCopy size={16} />}
              onClick={copy}
            >
              {copied ? "Copied" : "Copy JSON"}
            </Button>
          )}
        </CopyButton>
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
      <Code
        block
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
