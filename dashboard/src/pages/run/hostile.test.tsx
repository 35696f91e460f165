import { MantineProvider } from "@mantine/core";
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it, vi } from "vitest";
import { take } from "../../api/client";
import { auditLine } from "../instance/audit";
import { historyCsv } from "../instance/historyCsv";
import type { AuditEntry, PastResult } from "../instance/instanceQueries";
import { readMachines } from "../onboard/import/read";
import { asEvent } from "./event";
import { FailureSection } from "./FailureSection";
import { asNdjson, asText } from "./logLines";
import { ResultSection } from "./ResultSection";
import type { Result, Run } from "./runQueries";
import { advance, BEGINNING } from "./story";

/** What a terminal would obey, what turns text round, what a spreadsheet would run; and letters between. */
const PIECES = [
  ...["\x1b[2J", "\x1b]0;t\x07", "\x1b", "\x9b31m", "\x90q\x9c", "\0", "\x07", "\b", "\r", "\v"],
  ...["\x7f", "\x80", "\x85", "\x9f", "\u061c", "\u200e", "\u200f", "\u202e", "\u202a", "\u2066"],
  ...["\u2069", "\u200b", "\u2028", "\xad", "\u{e0041}", "\ud800", "\udfff"],
  ...["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"],
  ...["a", "NVIDIA H100", " ", ";", ",", '"', "<b>", "é", "😀", "שלום", "\n", "\t"],
];
const HARMFUL =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\u{e0041}]|\p{Surrogate}/u;
const COUNT = 4_000;
const BATCH = 200;

/** Numbers from 0 to 1, always the same (mulberry32). */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function hostileTexts(seed: number, count: number): string[] {
  const next = chance(seed);
  return Array.from({ length: count }, () =>
    Array.from({ length: 1 + Math.floor(next() * 8) }, () => {
      return PIECES[Math.floor(next() * PIECES.length)] ?? "";
    }).join(""),
  );
}

const batches = Array.from({ length: COUNT / BATCH }, (_, seed) => hostileTexts(seed + 1, BATCH));

/** As it comes from the API. */
const answered = <T,>(data: unknown) =>
  take<T>(Promise.resolve({ data: data as T, response: new Response() }));

const markup = (shown: React.ReactNode) =>
  renderToStaticMarkup(<MantineProvider>{shown}</MantineProvider>);

/** A log, its exports and the line of each event: of machines' words in every place that an event has. */
function logOf(texts: string[]): string[] {
  const events = texts.flatMap((text, index) => {
    const bodies: [string, unknown][] = [
      ["log", { text }],
      ["refused", { text, reason: text }],
      ["warning", { message: text, code: text }],
      ["probe", { gpu_name: text, cpu_model: text, driver_version: text }],
      [text || "unknown", { [text]: [text] }],
    ];
    return bodies.map(([type, body], place) =>
      asEvent(JSON.stringify({ seq: index * 5 + place + 1, at: text, t: 0, type, body })),
    );
  });
  const told = events.filter((event) => event !== null);
  const { lines } = advance(BEGINNING, told);
  return [...lines.map((line) => line.text), asText(told), asNdjson(told)];
}

async function pageOf(texts: string[]): Promise<string> {
  const [error, result] = await answered<[NonNullable<Run["error"]>, Result]>([
    {
      ...{ code: texts[0], message: texts[1], remedy: texts[2] },
      evidence: { stderr_tail: texts.join("\n"), ...Object.fromEntries(texts.map((t) => [t, t])) },
    },
    {
      ...{ measured_gpu_name: texts[3], driver_version: texts[4], torch_version: texts[5] },
      ...{ error_message: texts[6], verdict: texts[7], mode: texts[8], configuration: {} },
      evidence: texts.map((text, index) => ({ check: `${index} ${text}`, passed: true, text })),
      findings: texts.map((text) => ({ code: text, message: text })),
    },
  ]);
  return markup(
    <>
      <FailureSection state="failed" error={error} />
      <ResultSection result={result} />
    </>,
  );
}

async function csvOf(texts: string[]): Promise<string> {
  const results = texts.map((text) => ({
    driver_version: text,
    torch_version: text,
    profile: "q",
  }));
  return historyCsv(await answered<PastResult[]>(results));
}

describe("what machines write", () => {
  it("is shown and exported without controls and without what turns text round", async () => {
    expect(batches.flat().filter((text) => HARMFUL.test(text)).length).toBeGreaterThan(COUNT / 2);
    for (const texts of batches) {
      const entry = { action: "gpu_instances.update", detail: { old: {}, new: { x: texts } } };
      const line = auditLine(await answered<AuditEntry>({ ...entry, actor: texts[0] }));
      const made = [
        ...logOf(texts),
        await pageOf(texts),
        (await csvOf(texts)).replaceAll("\r\n", "\n"), // as CSV ends its lines
        [line.who, line.what, ...line.changes].join(),
      ];
      for (const text of made) expect(text).not.toMatch(HARMFUL);
    }
  });

  it("is no formula at the start of a cell, whatever parts the cells", async () => {
    const { default: papa } = await import("papaparse");
    for (const texts of batches) {
      const csv = await csvOf(texts);
      const cells = papa.parse<string[]>(csv).data.flat();
      expect(cells.filter((cell) => /^[=+\-@\t\r\n]/.test(cell))).toEqual([]);
      // Quoted fields hold what another program would part cells at.
      const bare = csv.replaceAll(/"(?:[^"]|"")*"/g, "");
      expect(bare).toMatch(/^[,\d.\r\n-]*$/);
    }
  });

  it("is plain in a file that is imported, as it stands there and as JSON spells it", async () => {
    const machines = hostileTexts(99, 500).map((text) => ({ instance_id: text, ssh_host: text }));
    for (const text of [
      JSON.stringify(machines),
      `name,host\n${hostileTexts(98, 500).join("\n")}`,
    ]) {
      const read = await readMachines(text, text.startsWith("[") ? "json" : "csv");
      const rows = read.rows.flatMap((row) => [row.name, row.host, ...row.problems, ...row.notes]);
      for (const shown of [...rows, ...read.notes]) expect(shown).not.toMatch(HARMFUL);
    }
  });
});

it("no other way leads from the server to a page", async () => {
  const sources = import.meta.glob<string>(["../../**/*.{ts,tsx}", "!../../**/*.test.*"], {
    query: "?raw",
    import: "default",
  });
  const reading = /JSON\.parse\(|[^.\w]fetch\(|\.json\(\)/;
  const found: string[] = [];
  for (const [path, load] of Object.entries(sources))
    if (reading.test(await load())) found.push(path.split("/").slice(-1)[0] ?? path);
  // The stream hands out text, which readJson reads; the others read what this page wrote or was given as a file.
  expect(found.sort()).toEqual([
    "form.ts",
    "json.ts",
    "printable.ts",
    "stream.ts",
    "usePreview.ts",
  ]);
});

vi.setConfig({ testTimeout: 60_000 });
