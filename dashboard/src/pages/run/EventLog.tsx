import { Button, Group, Menu, MultiSelect, Switch, TextInput } from "@mantine/core";
import { useLocalStorage } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { IconDownload, IconSearch } from "@tabler/icons-react";
import { useDeferredValue, useMemo, useState } from "react";
import type { LineState } from "../../api/stream";
import { download } from "../../parts/download";
import { number } from "../../parts/format";
import { LogRows } from "./LogRows";
import { asNdjson, asText, typesOf, wantedLines } from "./logLines";
import type { Story } from "./story";
import { wholeLog } from "./wholeLog";

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
        counted={counted(lines.length, story)}
        state={LINES[line]}
      />
    </>
  );
}

function counted(shown: number, { lines, leftOut }: Story): string {
  const told = `${number(shown)} of ${number(lines.length)} events`;
  return leftOut > 0
    ? `${told}; the first ${number(leftOut)} are not kept on this page, a download has them`
    : told;
}

const LINES: Record<LineState, string> = {
  connecting: "Connecting",
  live: "Live",
  resuming: "The connection dropped: resuming after the last event",
  paused: "Paused while this tab is hidden",
  over: "Complete",
};

function Downloads({ runId, story }: { runId: string; story: Story }) {
  const [isReading, setReading] = useState(false);
  const hand = async (ending: string, type: string, write: typeof asText) => {
    setReading(true);
    try {
      const text = write(await wholeLog(runId, story));
      download(`run-${runId.slice(0, 8)}-events.${ending}`, text, type);
    } catch (error) {
      notifications.show({
        color: "red",
        message: error instanceof Error ? error.message : String(error),
      });
    } finally {
      setReading(false);
    }
  };
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button
          variant="default"
          leftSection={<IconDownload size={16} aria-hidden />}
          loading={isReading}
        >
          Download
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item onClick={() => void hand("ndjson", "application/x-ndjson", asNdjson)}>
          All events as .ndjson
        </Menu.Item>
        <Menu.Item onClick={() => void hand("txt", "text/plain", asText)}>
          All events as text
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
