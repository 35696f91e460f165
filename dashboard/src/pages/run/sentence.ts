import { duration, imagesPerSecond, number, significant } from "../../parts/format";
import { isRecord, numberOf, type RunEvent, textOf, wordsOf } from "./event";
import { spread } from "./interval";

type Body = RunEvent["body"];

const STATES: Record<string, string> = {
  queued: "waiting for a worker",
  connecting: "connecting",
  preparing: "logged in, sending the agent",
  running: "agent started",
  judging: "judging",
};
const STEPS: Record<string, string> = {
  searching: "looking for torch",
  found: "torch found",
  creating_venv: "making a Python environment",
  installing: "installing torch",
  installed: "torch installed",
};
const PHASES: Record<string, string> = { warmup: "warming up", measure: "measuring" };
const OBSTACLES: Record<string, string> = {
  gpu_busy: "GPU busy",
  machine_busy: "machine busy with another test",
};
const REASONS: Record<string, string> = {
  gpu_idle: "idle",
  applications_clocks: "application clocks",
  sw_power_cap: "power limit",
  hw_slowdown: "hardware slowdown",
  sync_boost: "sync boost",
  sw_thermal: "heat (driver)",
  hw_thermal: "heat (hardware)",
  power_brake: "power brake",
  display: "display clocks",
};

/** The line that tells an event, in the words of `harborx` in a terminal. */
export function sentence({ type, body }: RunEvent): string {
  const tell = SENTENCES[type];
  return (tell ? tell(body) : JSON.stringify(body)).replace(/\s+/g, " ").trim();
}

/** A word of NVML's clock reasons, for people. */
export function reasonText(word: string): string {
  return REASONS[word] ?? word.replaceAll("_", " ");
}

const SENTENCES: Record<string, (body: Body) => string> = {
  state: stateLine,
  host_key: (body) =>
    `host key ${textOf(body.fingerprint)} (${body.first_contact ? "first contact, now on record" : "as on record"})`,
  started: (body) =>
    `agent ${textOf(body.agent)}, Python ${textOf(body.python)}, ${textOf(body.platform)}`,
  probe: (body) => `machine: ${machineLine(body)}`,
  provision: provisionLine,
  progress: progressLine,
  sample: sampleLine,
  metric: metricLine,
  telemetry: (body) =>
    `readings of GPU ${textOf(body.gpu_index)}: ${number(numberOf(body.readings))}, one every ${duration(numberOf(body.interval_seconds))}`,
  warning: (body) => `${textOf(body.message)} (${textOf(body.code)})`,
  result: (body) => {
    const rate = numberOf(body.throughput_images_per_sec);
    return rate === null ? "result received" : `result: ${imagesPerSecond(rate)}`;
  },
  failed: (body) => `the agent failed: ${textOf(body.message)} (${textOf(body.code)})`,
  log: (body) => textOf(body.text),
  refused: (body) => `refused output (${textOf(body.reason)}): ${textOf(body.text)}`,
  retry: (body) =>
    `${textOf(body.message)} Trying again in ${duration(numberOf(body.retry_in_seconds))}.`,
  postponed: (body) =>
    `${obstacle(body)}: put off, next try in ${duration(numberOf(body.retry_in_seconds))}`,
  ended: (body) => {
    const message = textOf(body.message);
    return message ? `${textOf(body.state)}: ${message}` : textOf(body.state);
  },
};

function stateLine(body: Body): string {
  const state = textOf(body.state);
  const told = STATES[state] ?? state;
  const attempt = numberOf(body.attempt) ?? 1;
  if (state === "connecting")
    return `${told}${attempt > 1 ? `, attempt ${attempt}` : ""} (worker ${textOf(body.worker)})`;
  if (state === "running" && body.attached) return "attached to the agent that is running there";
  if (state === "running" && body.pushed) return `agent sent (${textOf(body.pushed)}) and started`;
  return told;
}

function machineLine(body: Body): string {
  const gpu = textOf(body.gpu_name)
    ? `${numberOf(body.gpu_count) ?? 1} × ${textOf(body.gpu_name)}`
    : "no GPU";
  const memory = numberOf(body.ram_gb);
  return joined([
    gpu,
    textOf(body.driver_version) && `driver ${textOf(body.driver_version)}`,
    textOf(body.cuda_version) && `CUDA ${textOf(body.cuda_version)}`,
    textOf(body.cpu_model),
    textOf(body.cpu_count) && `${textOf(body.cpu_count)} CPU cores`,
    memory !== null && `${number(memory)} GiB memory`,
  ]);
}

function provisionLine(body: Body): string {
  const step = STEPS[textOf(body.step)] ?? textOf(body.step);
  const message = textOf(body.message) || textOf(body.torch);
  return message ? `${step}: ${message}` : step;
}

function progressLine(body: Body): string {
  const phase = PHASES[textOf(body.phase)] ?? textOf(body.phase);
  const rate = numberOf(body.images_per_sec);
  return joined([
    `${phase}: ${number(numberOf(body.done))} of ${number(numberOf(body.total))} images`,
    rate !== null && imagesPerSecond(rate),
  ]);
}

function sampleLine(body: Body): string {
  const reasons = wordsOf(body.clock_reasons).map(reasonText);
  const told = (name: string, unit: string) => {
    const value = numberOf(body[name]);
    return value !== null && `${significant(value)} ${unit}`;
  };
  return `GPU ${textOf(body.gpu_index)}: ${joined([
    told("power_watts", "W"),
    told("temperature_celsius", "°C"),
    told("sm_clock_mhz", "MHz"),
    told("utilization_percent", "% busy"),
    told("memory_used_gb", "GiB"),
    reasons.length > 0 && `clock held back: ${reasons.join(", ")}`,
  ])}`;
}

function metricLine(body: Body): string {
  const gpu = numberOf(body.gpu_index);
  const name = textOf(body.name) + (gpu === null ? "" : ` (GPU ${gpu})`);
  const value = numberOf(body.value);
  if (value === null) {
    const trouble = isRecord(body.detail) ? textOf(body.detail.error) : "";
    return `${name}: not measured${trouble ? `: ${trouble}` : ""}`;
  }
  const exact = spread(value, numberOf(body.low), numberOf(body.high));
  return `${name}: ${significant(value)} ${textOf(body.unit)}${exact ? ` ${exact}` : ""}`;
}

function obstacle(body: Body): string {
  const code = textOf(body.code);
  return OBSTACLES[code] ?? (textOf(body.message).replace(/\.$/, "") || code);
}

function joined(parts: (string | false)[]): string {
  return parts.filter(Boolean).join(", ");
}
