import { expect, test } from "vitest";
import { arranged, dollarValue, type Listed, nextSort, orderOf, reliability } from "./order";

const H100: Listed = {
  id: "1",
  gpu_name: "NVIDIA H100 80GB HBM3",
  gpu_count: 8,
  location: "Oslo",
  price_per_hour: 3.2,
  throughput_images_per_sec: 2450,
  throughput_low: 2445,
  throughput_high: 2455,
  compute_miles_per_hour: 3675,
  power_draw_watts: 640,
  measured_at: "2026-11-20T10:00:00Z",
  tests_90d: 40,
  passed_90d: 39,
  conditions: {
    profile: "quick",
    precision: "amp-bf16",
    batch_size: 32,
    image_size: 224,
    mode: "cuda-graph",
    torch_version: "2.13.0",
    driver_version: "580.12",
    cuda_version: "13.0",
    configuration_hash: "0011",
  },
};
const A100: Listed = {
  ...H100,
  id: "2",
  gpu_name: "NVIDIA A100",
  throughput_images_per_sec: 1310,
  price_per_hour: 1.7,
};
const FREE: Listed = {
  ...H100,
  id: "3",
  gpu_name: "NVIDIA L40S",
  price_per_hour: null,
  location: null,
};
const ALL = [H100, A100, FREE];
const ids = (items: Listed[]) => items.map((item) => item.id).join("");

test("a dollar buys what an hour measures over its price", () => {
  expect(dollarValue({ ...H100, gpu_count: 1 })).toBeCloseTo((2450 * 3600) / 3.2);
  expect(dollarValue({ ...H100, gpu_count: 8 })).toBeCloseTo((8 * 2450 * 3600) / 3.2);
  expect(dollarValue(FREE)).toBeNull();
  expect(dollarValue({ ...H100, price_per_hour: 0 })).toBeNull();
});

test("no tests are no reliability", () => {
  expect(reliability(H100)).toBeCloseTo(0.975);
  expect(reliability({ ...H100, tests_90d: 0, passed_90d: 0 })).toBeNull();
});

test("every word must be found, wherever it stands", () => {
  expect(ids(arranged(ALL, "oslo h100", null))).toBe("1");
  expect(ids(arranged(ALL, "8x", null))).toBe("123");
  expect(ids(arranged(ALL, "h100 bergen", null))).toBe("");
});

test("what is not known comes last, whichever way it is sorted", () => {
  expect(ids(arranged(ALL, undefined, orderOf("price")))).toBe("213");
  expect(ids(arranged(ALL, undefined, orderOf("-price")))).toBe("123");
});

test("the order of the server stays where none is asked for, or one that there is not", () => {
  expect(orderOf("nonsense")).toBeNull();
  expect(orderOf("constructor")).toBeNull();
  expect(ids(arranged(ALL, undefined, orderOf("nonsense")))).toBe("123");
});

test("a column's head gives the best first, then the other way, then none", () => {
  expect(nextSort(undefined, "images")).toBe("-images");
  expect(nextSort("-images", "images")).toBe("images");
  expect(nextSort("images", "images")).toBeUndefined();
  expect(nextSort("-images", "price")).toBe("price");
});
