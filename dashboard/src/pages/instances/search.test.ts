import { expect, test } from "vitest";
import { asSearch, asView, type View } from "./search";

const EVERYTHING: View = { q: "", status: [], verdict: [], gpu: [], sort: null };

test("a view comes back from its address as it was", () => {
  const view: View = {
    ...{ q: "oslo h100", status: ["failed", "offline"], verdict: ["none"] },
    ...{ gpu: ["A,100 ~. odd", "~"], sort: { key: "throughput", desc: true } },
  };
  expect(asView(asSearch(view))).toEqual(view);
});

test("the whole fleet needs no words in the address", () => {
  expect(Object.values(asSearch(EVERYTHING)).every((value) => value === undefined)).toBe(true);
  expect(asView({})).toEqual(EVERYTHING);
});

test("an order that does not exist is none", () => {
  expect(asView({ sort: "-toString" }).sort).toBeNull();
  expect(asView({ sort: "-" }).sort).toBeNull();
  expect(asView({ sort: "miles" }).sort).toEqual({ key: "miles", desc: false });
});
