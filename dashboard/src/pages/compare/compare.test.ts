import { describe, expect, it } from "vitest";
import type { Figure, Result } from "../run/runQueries";
import { changeText, differentConditions, groupsOf, type Side } from "./compare";
import { chosenOf, searchOf } from "./compareSearch";

const result = (told: Partial<Result>) =>
  ({
    ...{ configuration: { batch_size: 32 }, configuration_hash: "a", findings: [] },
    ...{ throughput_low: null, throughput_high: null, verdict: "passed" },
    ...told,
  }) as Result;

const side = (key: string, told: Partial<Result>): Side => ({
  key,
  instance: undefined,
  run: undefined,
  result: result(told),
  figures: undefined,
});

const row = (sides: Side[], name: string) =>
  groupsOf(sides)
    .flatMap((group) => group.rows)
    .find((each) => each.name === name);

describe("groupsOf", () => {
  const sides = [
    side("1", { throughput_images_per_sec: 1000, latency_ms: 32, power_draw_watts: 300 }),
    side("2", { throughput_images_per_sec: 1100, latency_ms: 29, power_draw_watts: 300 }),
    side("3", { throughput_images_per_sec: 900, latency_ms: 36, power_draw_watts: 310 }),
  ];

  it("counts all GPUs of an instance in what a dollar buys", () => {
    const priced = (key: string, gpus: number): Side => ({
      ...side(key, { throughput_images_per_sec: 1000, measured_gpu_count: gpus }),
      instance: { price_per_hour: 3.6 } as Side["instance"],
    });
    const told = row([priced("1", 1), priced("2", 8)], "Images per dollar");
    expect(told?.cells.map((cell) => cell.change)).toEqual([null, 700]);
  });

  it("tells best and worst by what is better of a figure, and the difference to the first", () => {
    const throughput = row(sides, "Throughput");
    expect(throughput?.cells.map((cell) => cell.rank)).toEqual([null, "best", "worst"]);
    expect(throughput?.cells.map((cell) => cell.change)).toEqual([null, 10, -10]);
    expect(row(sides, "Latency")?.cells.map((cell) => cell.rank)).toEqual([null, "best", "worst"]);
  });

  it("ranks nothing where more is neither better nor worse, or all is the same", () => {
    expect(row(sides, "Power")?.cells.every((cell) => cell.rank === null)).toBe(true);
    const same = [sides[0], sides[0]] as Side[];
    expect(row(same, "Throughput")?.cells.every((cell) => cell.rank === null)).toBe(true);
  });

  it("marks the rows that differ, and leaves out what nobody tells", () => {
    expect(row(sides, "Power")?.differs).toBe(true);
    expect(row(sides, "Verdict")?.differs).toBe(false);
    expect(row(sides, "Inference")).toBeUndefined();
  });
});

describe("further figures", () => {
  const figure = (told: Partial<Figure>) =>
    ({
      ...{ name: "inference", gpu_index: null, unit: "images/s", low: null, high: null },
      ...{ configuration: { batch_size: 32, precision: "fp16" }, ...told },
    }) as Figure;
  const measured = (key: string, ...figures: Figure[]): Side => ({ ...side(key, {}), figures });

  it("stand beside the same figure of the others: name, GPU and conditions", () => {
    const other = figure({ value: 900, configuration: { batch_size: 64, precision: "fp16" } });
    const sides = [
      measured("1", figure({ value: 500, low: 495, high: 505 })),
      measured("2", figure({ value: 550 }), other),
      measured("3"),
    ];
    const same = row(sides, "inference (batch 32, fp16)");
    expect(same?.cells.map((cell) => cell.text)).toEqual(["500 images/s", "550 images/s", "–"]);
    expect(same?.cells.map((cell) => cell.change)).toEqual([null, 10, null]);
    expect(same?.cells.map((cell) => cell.rank)).toEqual([null, "best", null]);
    expect(same?.cells[0]?.note).toBe("495 to 505 (± 1%)");
    expect(row(sides, "inference (batch 64, fp16)")?.cells.map((cell) => cell.text)).toEqual([
      ...["–", "900 images/s", "–"],
    ]);
  });

  it("are ranked by unit: more of a rate, less of a time, and neither of a ratio", () => {
    const best = (unit: string) => {
      const sides = [1, 2].map((value) => measured(`${value}`, figure({ value, unit })));
      return row(sides, "inference (batch 32, fp16)")?.cells.findIndex((each) => each.rank);
    };
    expect([best("GB/s"), best("ms"), best("ratio")]).toEqual([1, 0, -1]);
  });

  it("that nobody could measure are left out", () => {
    expect(row([measured("1", figure({ value: null }))], "inference")).toBeUndefined();
  });
});

describe("differentConditions", () => {
  it("names what is not the same", () => {
    const other = { configuration_hash: "b", configuration: { batch_size: 64, layout: "x" } };
    expect(differentConditions([result({}), result(other)])).toEqual([
      "batch 32 against 64",
      "layout not told against x",
    ]);
  });

  it("is nothing within one configuration, and nothing of a single result", () => {
    expect(differentConditions([result({}), result({}), undefined])).toBeNull();
    expect(differentConditions([result({}), undefined])).toBeNull();
  });
});

describe("the address", () => {
  it("names runs before instances, each once, five at most", () => {
    const chosen = chosenOf({ runs: "a,b,a", instances: "c,d,e,f" });
    expect(chosen.map((each) => each.id)).toEqual(["a", "b", "c", "d", "e"]);
    expect(searchOf(chosen)).toEqual({ runs: "a,b", instances: "c,d,e" });
  });
});

it("a difference that can't be seen is none", () => {
  expect([changeText(3.21), changeText(-0.4), changeText(0.01)]).toEqual([
    "+3.2%",
    "−0.4%",
    "same",
  ]);
});
