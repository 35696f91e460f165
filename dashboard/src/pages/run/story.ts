import { numberOf, type RunEvent, textOf, wordsOf } from "./event";
import { sentence } from "./sentence";

/** What is drawn over time; the first is the whole machine's, the others one GPU's each. */
export const MEASURES = [
  "images_per_sec",
  "power_watts",
  "temperature_celsius",
  "sm_clock_mhz",
  "utilization_percent",
] as const;
export type Measure = (typeof MEASURES)[number];

/** Seconds since the benchmark began, and what was read then. */
export type Point = [seconds: number, value: number];

export interface Series {
  measure: Measure;
  gpu: number;
  points: readonly Point[];
}

/** A stretch in which something held a GPU's clock back. */
export interface Band {
  reason: string;
  gpu: number;
  from: number;
  to: number;
}

export interface Line {
  event: RunEvent;
  text: string;
}

/** How far the phase at work is, in images. */
export interface Progress {
  phase: string;
  done: number | null;
  total: number | null;
}

/** A run as its events told it so far. */
export interface Story {
  lastSeq: number;
  lines: readonly Line[];
  /** Lines that were let go of, the oldest first, so that memory stays bounded. */
  leftOut: number;
  series: ReadonlyMap<string, Series>;
  bands: readonly Band[];
  /** Null before the first event that tells it. */
  state: string | null;
  progress: Progress | null;
  /** Why it waits: the line of a retry or a postponement, until it goes on. */
  waiting: string | null;
  /** The machine told its result. */
  measured: boolean;
  ended: boolean;
}

export const MOST_LINES = 30_000;
export const MOST_POINTS = 7_200;
const MOST_BANDS = 1_000;
/** Reasons that say what a clock is set to, not that something holds it back. */
const NO_THROTTLE = new Set(["gpu_idle", "applications_clocks", "display"]);
/** A sample tells of the second before it. */
const SAMPLE_SECONDS = 1;
/** Samples further apart than this have something untold between them. */
const LONGEST_GAP = 5;

export const BEGINNING: Story = {
  lastSeq: 0,
  lines: [],
  leftOut: 0,
  series: new Map(),
  bands: [],
  state: null,
  progress: null,
  waiting: null,
  measured: false,
  ended: false,
};

interface Draft extends Omit<Story, "lines" | "series" | "bands"> {
  lines: Line[];
  series: Map<string, { measure: Measure; gpu: number; points: Point[] }>;
  bands: Band[];
}

/** The story after further events. Those that it knows already, by their number, change nothing. */
export function advance(story: Story, events: readonly RunEvent[]): Story {
  const draft: Draft = {
    ...story,
    lines: [...story.lines],
    series: new Map(
      [...story.series].map(([key, one]) => [key, { ...one, points: [...one.points] }]),
    ),
    bands: [...story.bands],
  };
  for (const event of events) {
    if (event.seq <= draft.lastSeq) continue;
    draft.lastSeq = event.seq;
    const text = sentence(event);
    draft.lines.push({ event, text });
    FOLDS[event.type]?.(draft, event, text);
  }
  const surplus = draft.lines.length - MOST_LINES;
  if (surplus > 0) {
    draft.lines.splice(0, surplus);
    draft.leftOut += surplus;
  }
  if (draft.bands.length > MOST_BANDS) draft.bands.splice(0, draft.bands.length - MOST_BANDS);
  return draft;
}

const FOLDS: Record<string, (draft: Draft, event: RunEvent, text: string) => void> = {
  state: (draft, { body }) => {
    draft.state = textOf(body.state);
    draft.waiting = null;
  },
  // Another agent counts its seconds from its own start.
  started: (draft) => {
    draft.series = new Map();
    draft.bands = [];
    draft.progress = null;
    draft.waiting = null;
  },
  progress: (draft, { body, t }) => {
    draft.progress = {
      phase: textOf(body.phase),
      done: numberOf(body.done),
      total: numberOf(body.total),
    };
    draft.waiting = null;
    append(draft, "images_per_sec", 0, t, numberOf(body.images_per_sec));
  },
  sample: (draft, { body, t }) => {
    const gpu = numberOf(body.gpu_index) ?? 0;
    for (const measure of MEASURES)
      if (measure !== "images_per_sec") append(draft, measure, gpu, t, numberOf(body[measure]));
    if (t !== null) holdBack(draft, gpu, t, wordsOf(body.clock_reasons));
  },
  metric: (draft) => {
    draft.progress = null; // the first figure ends the training
  },
  result: (draft) => {
    draft.measured = true;
  },
  retry: (draft, _, text) => {
    draft.waiting = text;
  },
  postponed: (draft, _, text) => {
    draft.state = "queued";
    draft.progress = null;
    draft.waiting = text;
  },
  ended: (draft, { body }) => {
    draft.state = textOf(body.state);
    draft.progress = null;
    draft.waiting = null;
    draft.ended = true;
  },
};

function append(
  draft: Draft,
  measure: Measure,
  gpu: number,
  t: number | null,
  value: number | null,
): void {
  if (t === null || value === null) return;
  const key = `${measure} ${gpu}`;
  const one = draft.series.get(key) ?? { measure, gpu, points: [] };
  draft.series.set(key, one);
  one.points.push([t, value]);
  // Every second point of what is older than the newest half: the end stays as fine as it came.
  if (one.points.length > MOST_POINTS) {
    const half = MOST_POINTS / 2;
    one.points = one.points.filter((_, index) => index >= half || index % 2 === 0);
  }
}

function holdBack(draft: Draft, gpu: number, t: number, reasons: string[]): void {
  for (const reason of reasons) {
    if (NO_THROTTLE.has(reason)) continue;
    const last = draft.bands.findLastIndex((band) => band.gpu === gpu && band.reason === reason);
    const band = draft.bands[last];
    const from = Math.max(0, t - SAMPLE_SECONDS);
    if (band && goesOn(draft, band, gpu, t)) draft.bands[last] = { ...band, to: t };
    else draft.bands.push({ reason, gpu, from, to: t });
  }
}

/** Whether the sample before this one was in the band already. */
function goesOn(draft: Draft, band: Band, gpu: number, t: number): boolean {
  if (t - band.to > LONGEST_GAP) return false;
  const points = draft.series.get(`sm_clock_mhz ${gpu}`)?.points;
  const before = points?.findLast(([seconds]) => seconds < t)?.[0];
  return before === undefined || before <= band.to;
}

/** The series of one measure, by GPU. */
export function seriesOf(story: Story, measure: Measure): Series[] {
  return [...story.series.values()]
    .filter((one) => one.measure === measure)
    .sort((a, b) => a.gpu - b.gpu);
}

export interface Held {
  reason: string;
  /** Where at least one GPU was held back. */
  stretches: { from: number; to: number }[];
  seconds: number;
  gpus: number[];
}

/** What held the clocks back, each reason with its stretches over all GPUs, the longest first. */
export function heldBack(story: Story): Held[] {
  const reasons = [...new Set(story.bands.map((band) => band.reason))];
  const held = reasons.map((reason) => {
    const bands = story.bands.filter((band) => band.reason === reason);
    const stretches: { from: number; to: number }[] = [];
    for (const { from, to } of bands.toSorted((a, b) => a.from - b.from)) {
      const last = stretches.at(-1);
      if (last && from <= last.to) last.to = Math.max(last.to, to);
      else stretches.push({ from, to });
    }
    const seconds = stretches.reduce((sum, each) => sum + each.to - each.from, 0);
    const gpus = [...new Set(bands.map((band) => band.gpu))].sort((a, b) => a - b);
    return { reason, stretches, seconds, gpus };
  });
  return held.sort((a, b) => b.seconds - a.seconds);
}

/** Changes whenever another phase may have begun: then the phases are asked for again. */
export function phaseMark(story: Story): string {
  return `${story.state}/${story.progress?.phase ?? ""}/${story.measured}`;
}
