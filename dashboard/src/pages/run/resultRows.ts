import {
  celsius,
  gibibytes,
  imagesPerSecond,
  miles,
  milliseconds,
  number,
  percent,
  significant,
  UNKNOWN,
  watts,
} from "../../parts/format";
import { intervalText } from "./interval";
import type { Figure, Result } from "./runQueries";

export interface FigureRow {
  name: string;
  value: string;
  /** The 95 % interval; empty where there is none. */
  interval: string;
  note: string;
}

/** The result's own figures; only those that it tells. */
export function figureRows(result: Result): FigureRow[] {
  const rate = result.throughput_images_per_sec;
  const { throughput_low: low, throughput_high: high } = result;
  const interval = intervalText(rate, low, high);
  const images = number(result.images);
  const measured = number(result.measured_seconds, 1);
  const rows: FigureRow[] = [
    row("Throughput", imagesPerSecond(rate), extent(result, images, measured), interval),
    row("Inference", imagesPerSecond(result.inference_images_per_sec), "forward only"),
    row("Latency", milliseconds(result.latency_ms), "mean of a batch"),
    row("Variation", percent(result.variation_percent, 2), "of the steps"),
    row("Compute miles", miles(result.compute_miles_per_hour), result.compute_miles_formula),
    row("Power", watts(result.power_draw_watts), "mean while measuring"),
    row("Images per joule", perJoule(result), "throughput by power"),
    row("Temperature", celsius(result.temperature_celsius), "highest"),
    row("GPU utilization", percent(result.gpu_utilization_percent), "mean"),
    row("Memory", memory(result), "highest"),
    row("Arithmetic used (MFU)", percent(result.mfu_percent), "of the card's peak"),
    row("Memory roofline", percent(result.roofline_percent), "of what its memory allows"),
    row("Loss", result.loss === null ? UNKNOWN : number(result.loss, 3), "at the last step"),
  ];
  return rows.filter(({ value }) => value !== UNKNOWN);
}

function row(name: string, value: string, note: string, interval = ""): FigureRow {
  return { name, value, interval, note };
}

function extent(result: Result, images: string, measured: string): string {
  return result.images === null || result.measured_seconds === null
    ? ""
    : `${images} images in ${measured} s`;
}

export function imagesPerJoule(result: Result): number | null {
  const { throughput_images_per_sec: rate, power_draw_watts: power } = result;
  return rate === null || !power ? null : rate / power;
}

function perJoule(result: Result): string {
  const value = imagesPerJoule(result);
  return value === null ? UNKNOWN : `${significant(value)} img/J`;
}

function memory(result: Result): string {
  if (result.memory_used_gb === null) return UNKNOWN;
  return result.memory_total_gb === null
    ? gibibytes(result.memory_used_gb)
    : `${number(result.memory_used_gb, 1)} of ${gibibytes(result.memory_total_gb)}`;
}

/** What the figures were measured under: only results that have all of it the same may be compared. */
export function conditionFacts(result: Result): [name: string, value: string][] {
  const layout = { true: "channels last", false: "channels first" };
  const card = result.measured_gpu_name ?? (result.device ? result.device.toUpperCase() : UNKNOWN);
  const count = result.measured_gpu_count ?? 0;
  return [
    ["GPU", count > 1 ? `${card} (${count} in the machine)` : card],
    ["Profile", result.profile ?? UNKNOWN],
    ["Precision", result.precision ?? UNKNOWN],
    ["Batch size", number(result.batch_size)],
    ["Image size", result.image_size === null ? UNKNOWN : `${number(result.image_size)} px`],
    ["Epochs", number(result.num_epochs)],
    ["Mode", result.mode ?? UNKNOWN],
    ["Layout", result.channels_last === null ? UNKNOWN : layout[`${result.channels_last}`]],
    ["torch", result.torch_version ?? UNKNOWN],
    ["CUDA", result.cuda_version ?? UNKNOWN],
    ["Driver", result.driver_version ?? UNKNOWN],
    ["Model", result.model_source ?? UNKNOWN],
    ["Configuration", result.configuration_hash ?? UNKNOWN],
  ];
}

/** Batch, precision, mode and size of a further figure, as far as it names them. */
export function shortConditions({ configuration: told }: Figure): string {
  const batch = told.batch_size === undefined ? null : `batch ${told.batch_size}`;
  const named = ["precision", "mode", "size"].map((name) => told[name]);
  return [batch, ...named].filter(Boolean).join(", ");
}

/** The verdict's own lines: findings stand among them too, and are shown once. */
export function judged({ evidence, findings }: Pick<Result, "evidence" | "findings">) {
  const found = new Set(findings.map((finding) => finding.code));
  return evidence.filter((line) => !(line.passed === null && found.has(line.check)));
}
