import { Button, Group, Menu, MultiSelect, Switch, Text, TextInput } from "@mantine/core";
import { useLocalStorage } from "@mantine/hooks";
import { IconDownload, IconSearch } from "@tabler/icons-react";
import { useDeferredValue, useMemo, useState } from "react";
import type { LineState } from "../../api/stream";
import { download } from "../../parts/download";
import { number } from "../../parts/format";
import { LogRows } from "./LogRows";
import { asNdjson, asText, typesOf, wantedLines } from "./logLines";
import type { Story } from "./story";

interface Props {
  runId: string;
  story: Story;
  line: LineState;
}

/** Every event of the run as a line, searched, filtered and followed. */
export function EventLog({ runId, story, line }: Props) {
  const [types, setTypes] = useState<string[]>([]);
  const [readings, setReadings] = useLocalStorage({
    key: "harborx-log-readings",
    defaultValue: true,
    getInitialValueInEffect: false,
  });
  const [search, setSearch] = useState("");
  const wanted = useDeferredValue(search);
  const lines = useMemo(
    () => wantedLines(story.lines, { types, readings, search: wanted }),
    [story.lines, types, readings, wanted],
  );
  return (
    <>
      <Group gap="sm" align="flex-end" mb="xs">
        <TextInput
          label="Search the log"
          placeholder="Text or type"
          type="search"
          data-search
          leftSection={<IconSearch size={16} aria-hidden />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
          style={{ flex: "1 1 180px" }}
        />
        <MultiSelect
          label="Types"
          placeholder={types.length === 0 ? "All" : undefined}
          data={typesOf(story.lines)}
          value={types}
          onChange={setTypes}
          clearable
          style={{ flex: "1 1 180px" }}
        />
        <Switch
          label="Readings"
          title="Progress and samples, which the charts show"
          checked={readings}
          onChange={(event) => setReadings(event.currentTarget.checked)}
          pb={8}
        />
        <Downloads runId={runId} story={story} />
      </Group>
      <LogRows
        lines={lines}
        search={wanted.trim()}
        live={line !== "over"}
        why={story.lines.length > 0 ? "filtered" : line === "over" ? "silent" : "waiting"}
      />
      <Group justify="space-between" mt={6} gap="xs">
        <Text size="xs" c="dimmed" data-counted>
          {number(lines.length)} of {number(story.lines.length)} events
          {story.leftOut > 0 && `; the first ${number(story.leftOut)} are not kept on this page`}
        </Text>
        <Text size="xs" c="dimmed" role="status">
          {LINES[line]}
        </Text>
      </Group>
    </>
  );
}

const LINES: Record<LineState, string> = {
  connecting: "Connecting",
  live: "Live",
  resuming: "The connection dropped: resuming after the last event",
  paused: "Paused while this tab is hidden",
  over: "Complete",
};

function Downloads({ runId, story }: { runId: string; story: Story }) {
  const name = `run-${runId.slice(0, 8)}-events`;
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button variant="default" leftSection={<IconDownload size={16} aria-hidden />}>
          Download
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item
          onClick={() => download(`${name}.ndjson`, asNdjson(story.lines), "application/x-ndjson")}
        >
          All events as .ndjson
        </Menu.Item>
        <Menu.Item onClick={() => download(`${name}.txt`, asText(story.lines), "text/plain")}>
          All events as text
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
