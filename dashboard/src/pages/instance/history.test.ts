import { describe, expect, it } from "vitest";
import { band, changes, configurations, within } from "./history";
import { historyCsv } from "./historyCsv";
import type { PastResult } from "./instanceQueries";

function result(day: number, change: Partial<PastResult> = {}): PastResult {
  return {
    run_id: `run-${day}`,
    at: `2026-11-${String(day).padStart(2, "0")}T03:00:00Z`,
    source: "pushed",
    verdict: "passed",
    throughput_images_per_sec: 100,
    throughput_low: 99,
    throughput_high: 101,
    latency_ms: null,
    power_draw_watts: null,
    temperature_celsius: -3,
    compute_miles_per_hour: null,
    variation_percent: null,
    driver_version: "570.1",
    torch_version: "2.12.0",
    cuda_version: "13.0",
    configuration_hash: "aa",
    profile: "quick",
    precision: "amp-bf16",
    batch_size: 32,
    image_size: 224,
    ...change,
  };
}

describe("history", () => {
  it("keeps configurations apart, in the order of their first result", () => {
    const found = configurations([
      result(1),
      result(2, { configuration_hash: "bb" }),
      result(3),
      result(4, { configuration_hash: null }),
    ]);
    expect(found.map(({ hash, results }) => [hash, results.length])).toEqual([
      ["aa", 2],
      ["bb", 1],
      [null, 1],
    ]);
  });

  it("begins the band at the third result, and one outlier does not move it", () => {
    const values = [100, 101, 99, 100, 500, 100, 101];
    const points = band(
      values.map((value, index) => result(index + 1, { throughput_images_per_sec: value })),
      "throughput_images_per_sec",
    );
    expect(points).toHaveLength(5);
    expect(points[0]).toMatchObject({ at: "2026-11-03T03:00:00Z", median: 100 });
    expect(points[0]?.high).toBeCloseTo(100 + 2 * 1.4826);
    expect(points.at(-1)?.median).toBe(100);
    expect(points.at(-1)?.high).toBeLessThan(105);
  });

  it("forgets what is more than seven results ago", () => {
    const values = [900, 900, 900, 100, 100, 100, 100, 100, 100, 100];
    const points = band(
      values.map((value, index) => result(index + 1, { throughput_images_per_sec: value })),
      "throughput_images_per_sec",
    );
    expect(points.at(-1)).toMatchObject({ median: 100, low: 100, high: 100 });
  });

  it("leaves out what was not measured", () => {
    expect(band([result(1), result(2), result(3)], "power_draw_watts")).toEqual([]);
  });

  it("marks a new driver and a new torch, also across a result that told neither", () => {
    expect(
      changes([
        result(1),
        result(2, { driver_version: null, torch_version: null }),
        result(3, { driver_version: "580.2" }),
        result(4, { driver_version: "580.2", torch_version: "2.13.0" }),
        result(5, { driver_version: "580.2", torch_version: "2.13.0" }),
      ]),
    ).toEqual([
      { at: "2026-11-03T03:00:00Z", text: "driver 580.2" },
      { at: "2026-11-04T03:00:00Z", text: "torch 2.13.0" },
    ]);
  });

  it("keeps the last days, and all without a number of them", () => {
    const now = new Date("2026-11-10T03:00:00Z");
    const all = [result(1), result(5), result(9)];
    expect(within(all, 7, now)).toHaveLength(2);
    expect(within(all, null, now)).toHaveLength(3);
  });
});

describe("historyCsv", () => {
  it("has a heading and a line a result, and guards what a spreadsheet would run", async () => {
    const csv = await historyCsv([
      result(1, { driver_version: "=HYPERLINK(1)", torch_version: "@x\n=1", source: "+1" }),
    ]);
    expect(csv).toMatch(/^"at","run_id","source","verdict","throughput_images_per_sec"/);
    expect(csv).toContain("'=HYPERLINK(1)");
    expect(csv).toContain("'@x");
    expect(csv).toContain("'+1");
    // A number is a number, below zero as well.
    expect(csv).toContain(",-3,");
  });
});
