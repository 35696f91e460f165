import {
  celsius,
  dollarsPerHour,
  gibibytes,
  imagesPerDollar,
  imagesPerSecond,
  miles,
  milliseconds,
  number,
  percent,
  significant,
  UNKNOWN,
  watts,
} from "../../parts/format";
import { imagesForADollar } from "../../parts/value";
import type { Instance } from "../instance/instanceQueries";
import { intervalText } from "../run/interval";
import { conditionFacts, imagesPerJoule } from "../run/resultRows";
import type { Figure as Further, Result, Run } from "../run/runQueries";
import { furtherRows } from "./furtherFigures";
import { type Better, numberRow, type Row } from "./row";

/** What stands in one column: a run, or an instance by its latest result. */
export interface Side {
  key: string;
  instance: Instance | undefined;
  run: Run | undefined;
  result: Result | undefined;
  /** What its run measured beside the result. */
  figures: Further[] | undefined;
}

export interface Group {
  name: string;
  rows: Row[];
}

export const MOST_SIDES = 5;

export function groupsOf(sides: Side[]): Group[] {
  const results = sides.map((side) => side.result);
  return [
    { name: "Facts", rows: facts(sides) },
    { name: "Conditions", rows: conditions(results) },
    { name: "Figures", rows: FIGURES.map((figure) => figureRow(figure, sides)) },
    { name: "Further figures", rows: furtherRows(sides) },
  ].map((group) => ({
    ...group,
    rows: group.rows.filter((row) => row.cells.some((cell) => cell.text !== UNKNOWN)),
  }));
}

const PARAMETERS: [name: string, label: string][] = [
  ["batch_size", "batch"],
  ["image_size", "image size"],
  ["num_epochs", "epochs"],
  ["precision", "precision"],
  ["mode", "mode"],
  ["channels_last", "channels last"],
  ["profile", "profile"],
  ["torch_version", "torch"],
  ["cuda_version", "CUDA"],
  ["device", "device"],
];

/** What is not the same of results whose configurations are not: `batch 32 against 64`. */
export function differentConditions(results: (Result | undefined)[]): string[] | null {
  const known = results.filter((result) => result !== undefined);
  const hashes = new Set(known.map((result) => result.configuration_hash));
  if (known.length < 2 || (hashes.size === 1 && !hashes.has(null))) return null;
  const labels = new Map(PARAMETERS);
  const names = new Set([
    ...labels.keys(),
    ...known.flatMap((result) => Object.keys(result.configuration)),
  ]);
  return [...names].flatMap((name) => {
    const values = [...new Set(known.map((result) => conditionOf(result, name)))];
    if (values.length < 2) return [];
    return [`${labels.get(name) ?? name.replaceAll("_", " ")} ${values.join(" against ")}`];
  });
}

function conditionOf(result: Result, name: string): string {
  const own = (result as unknown as Record<string, unknown>)[name];
  const value = result.configuration[name] ?? own;
  return value === null || value === undefined ? "not told" : String(value);
}

function facts(sides: Side[]): Row[] {
  const told: [string, (side: Side) => string][] = [
    ["Instance", ({ instance }) => instance?.vast_instance_id ?? UNKNOWN],
    ["GPU claimed", ({ instance }) => instance?.gpu_name ?? UNKNOWN],
    ["Location", ({ instance }) => instance?.location ?? UNKNOWN],
    ["Price", ({ instance }) => dollarsPerHour(instance?.price_per_hour)],
    ["Verdict", ({ run, result }) => result?.verdict ?? run?.state ?? UNKNOWN],
    ["Error", ({ run }) => run?.error?.code ?? UNKNOWN],
    ["Findings", ({ result }) => findings(result)],
  ];
  return told.map(([name, value]) => textRow(name, sides.map(value)));
}

function findings(result: Result | undefined): string {
  if (!result) return UNKNOWN;
  return result.findings.map((finding) => String(finding.code)).join(", ") || "none";
}

function conditions(results: (Result | undefined)[]): Row[] {
  const columns = results.map((result) => new Map(result ? conditionFacts(result) : []));
  const names = [...new Set(columns.flatMap((column) => [...column.keys()]))];
  return names.map((name) =>
    textRow(
      name,
      columns.map((column) => column.get(name) ?? UNKNOWN),
    ),
  );
}

function textRow(name: string, texts: string[]): Row {
  const cells = texts.map((text) => ({ text, note: "", change: null, rank: null }));
  return { name, differs: new Set(texts).size > 1, cells };
}

interface Figure {
  name: string;
  value: (side: Side) => number | null | undefined;
  format: (value: number | null | undefined) => string;
  better: Better;
  note?: (side: Side) => string;
}

const of = (name: keyof Result) => (side: Side) => {
  const value = side.result?.[name];
  return typeof value === "number" ? value : null;
};

const FIGURES: Figure[] = [
  {
    ...{ name: "Throughput", value: of("throughput_images_per_sec") },
    ...{ format: imagesPerSecond, better: "high", note: interval },
  },
  {
    ...{ name: "Inference", value: of("inference_images_per_sec") },
    ...{ format: imagesPerSecond, better: "high" },
  },
  { name: "Latency", value: of("latency_ms"), format: milliseconds, better: "low" },
  {
    name: "Variation",
    value: of("variation_percent"),
    format: (v) => percent(v, 2),
    better: "low",
  },
  { name: "Compute miles", value: of("compute_miles_per_hour"), format: miles, better: "high" },
  {
    ...{ name: "Images per joule", value: ({ result }) => result && imagesPerJoule(result) },
    ...{ format: (v) => unit(v, "img/J"), better: "high" },
  },
  {
    ...{ name: "Images per dollar", value: perDollar },
    ...{ format: imagesPerDollar, better: "high" },
  },
  { name: "Power", value: of("power_draw_watts"), format: watts, better: null },
  { name: "Temperature", value: of("temperature_celsius"), format: celsius, better: "low" },
  { name: "Utilization", value: of("gpu_utilization_percent"), format: percent, better: null },
  { name: "Memory", value: of("memory_used_gb"), format: gibibytes, better: null },
  { name: "Arithmetic used (MFU)", value: of("mfu_percent"), format: percent, better: "high" },
  { name: "Memory roofline", value: of("roofline_percent"), format: percent, better: "high" },
  { name: "Measured", value: of("measured_seconds"), format: (v) => unit(v, "s"), better: null },
  { name: "Images", value: of("images"), format: (v) => number(v), better: null },
];

function figureRow(figure: Figure, sides: Side[]): Row {
  return numberRow({
    name: figure.name,
    values: sides.map((side) => figure.value(side) ?? null),
    format: figure.format,
    notes: sides.map((side) => figure.note?.(side) ?? ""),
    better: figure.better,
  });
}

function interval({ result }: Side): string {
  if (!result) return "";
  const { throughput_images_per_sec: rate, throughput_low: low, throughput_high: high } = result;
  return intervalText(rate, low, high);
}

function perDollar({ instance, result }: Side): number | null {
  const gpus = result?.measured_gpu_count || (instance?.gpu_count ?? null);
  const rate = result?.throughput_images_per_sec ?? null;
  return imagesForADollar(rate, gpus, instance?.price_per_hour ?? null);
}

function unit(value: number | null | undefined, name: string): string {
  return value === null || value === undefined ? UNKNOWN : `${significant(value)} ${name}`;
}

/** `+3.2%`, `−0.4%`, `same` where nothing of it would be seen. */
export function changeText(change: number): string {
  if (Math.abs(change) < 0.05) return "same";
  return `${change > 0 ? "+" : "−"}${percent(Math.abs(change))}`;
}
