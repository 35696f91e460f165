import { describe, expect, it } from "vitest";
import type { Overview } from "../../api/fleet";
import {
  cohorts,
  type Figures,
  imagesPerDollar,
  imagesPerJoule,
  measured,
  rank,
  slowest,
  totals,
  uptimeOf,
} from "./cohorts";

let made = 0;

function row(change: Partial<Overview> = {}, latest: Partial<Figures> | null = {}): Overview {
  made += 1;
  return {
    id: `id-${made}`,
    name: `gpu-${made}`,
    provider: null,
    location: null,
    price_per_hour: 2,
    listed: true,
    ssh_host: "h",
    ssh_port: 22,
    ssh_user: "root",
    gpu_name: "NVIDIA H100",
    gpu_count: 1,
    status: "active",
    test_status: "completed",
    tested_at: null,
    created_at: "2026-11-01T00:00:00Z",
    updated_at: "2026-11-01T00:00:00Z",
    host_key_offered: false,
    run: null,
    last_run: null,
    latest: latest && {
      run_id: `run-${made}`,
      at: "2026-11-20T00:00:00Z",
      verdict: "passed",
      throughput_images_per_sec: 1000,
      throughput_low: null,
      throughput_high: null,
      compute_miles_per_hour: 5_400_000,
      latency_ms: null,
      power_draw_watts: 500,
      temperature_celsius: null,
      configuration_hash: "aa",
      measured_gpu_name: "NVIDIA H100",
      measured_gpu_count: 1,
      profile: "quick",
      precision: "amp-bf16",
      batch_size: 32,
      image_size: 224,
      ...latest,
    },
    trend: [],
    next_fire_at: null,
    tests_30d: 10,
    unreachable_30d: 0,
    ...change,
  };
}

const at = (speed: number, latest: Partial<Figures> = {}) =>
  row({}, { throughput_images_per_sec: speed, ...latest });

describe("cohorts", () => {
  it("compare only what has one GPU model and one configuration, the largest cohort first", () => {
    const found = cohorts(
      measured([
        at(1000),
        at(900),
        at(1100),
        at(500, { configuration_hash: "bb" }),
        at(700, { measured_gpu_name: "NVIDIA L40S" }),
        row({}, null),
      ]),
    );
    expect(found.map((cohort) => [cohort.gpu, cohort.hash, cohort.machines.length])).toEqual([
      ["NVIDIA H100", "aa", 3],
      ["NVIDIA H100", "bb", 1],
      ["NVIDIA L40S", "aa", 1],
    ]);
    expect(found[0]?.median).toBe(1000);
  });

  it("of fewer than three machines have no median, and nobody in them is called slow", () => {
    const found = cohorts(measured([at(1000), at(100)]));
    expect(found[0]?.median).toBeNull();
    expect(slowest(found)).toEqual([]);
  });

  it("put who did not tell its configuration with nobody", () => {
    const unknown = { configuration_hash: null };
    expect(cohorts(measured([at(1, unknown), at(2, unknown), at(3, unknown)]))).toHaveLength(3);
  });

  it("name the machine furthest below its cohort's median first, also across cohorts", () => {
    const other = { measured_gpu_name: "NVIDIA L40S" };
    const slow = slowest(
      cohorts(
        measured([
          ...[at(1000), at(1000), at(900)],
          ...[at(500, other), at(500, other), at(350, other)],
        ]),
      ),
    );
    expect(slow[0]?.machine.latest.throughput_images_per_sec).toBe(350);
    expect(slow[0]?.deficit).toBeCloseTo(0.3);
    expect(slow[1]?.deficit).toBeCloseTo(0.1);
  });
});

describe("efficiency", () => {
  it("is images for a joule of the GPU that was measured", () => {
    expect(measured([at(1000)]).map(imagesPerJoule)).toEqual([2]);
  });

  it("is images for a dollar of all GPUs that the price is for", () => {
    const [one, four] = measured([
      row({ price_per_hour: 2 }, { throughput_images_per_sec: 1000 }),
      row({ price_per_hour: 8, gpu_count: 4 }, { throughput_images_per_sec: 1000 }),
    ]);
    expect(one && imagesPerDollar(one)).toBe(1_800_000);
    expect(four && imagesPerDollar(four)).toBe(1_800_000);
  });

  it("leaves out and counts what told no power or has no price", () => {
    const machines = measured([
      at(1000, { power_draw_watts: null }),
      at(1000, { power_draw_watts: 0 }),
      at(1000),
      row({ price_per_hour: null }),
    ]);
    expect(rank(machines, imagesPerJoule)).toMatchObject({ leftOut: 2 });
    expect(rank(machines, imagesPerDollar)).toMatchObject({ leftOut: 1 });
    expect(rank(machines, imagesPerJoule).ranked.map(({ value }) => value)).toEqual([2, 2]);
  });
});

describe("uptime and totals", () => {
  it("count the tests that reached the machine", () => {
    expect(uptimeOf(row({ tests_30d: 8, unreachable_30d: 2 }))).toBe(0.75);
    expect(uptimeOf(row({ tests_30d: 0 }))).toBeNull();
  });

  it("add up what is active", () => {
    expect(
      totals([
        row({ gpu_count: 8 }),
        row({ gpu_count: 2 }, { compute_miles_per_hour: null }),
        row({ status: "offline", gpu_count: 4, tests_30d: 10, unreachable_30d: 3 }),
      ]),
    ).toMatchObject({
      instances: 3,
      active: 2,
      activeGpus: 10,
      gpus: 14,
      milesPerHour: 8 * 5_400_000,
      withoutMiles: 1,
      tests: 30,
      unreachable: 3,
      uptime: 0.9,
    });
  });
});
