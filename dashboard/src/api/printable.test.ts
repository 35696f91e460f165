import { describe, expect, it } from "vitest";
import { printable, readJson } from "./printable";

describe("printable", () => {
  it("takes escape sequences out whole, and marks other controls", () => {
    expect(printable("\x1b[31mred\x1b[0m \x1b]0;title\x07x\x9b2Jy")).toBe("red xy");
    expect(printable("a\rb\0c\x85d\u202Ee\u2066f\x1b")).toBe(
      "a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf",
    );
    expect(printable("half \ud83d, whole 😀")).toBe("half \ufffd, whole 😀");
  });

  it("leaves text of any language, newlines and tabs, and gives back what holds nothing else", () => {
    const value = { name: "Größe\tשלום\nمرحبا 😀", list: [1, null, { "": true }] };
    expect(printable(value)).toBe(value);
  });

  it("reaches names and what is nested, and nobody's prototype", () => {
    const read = readJson('{"a\\u001b[2Jb": [{"c": "\\u202Ed"}], "__proto__": {"e": "\\u0000"}}');
    expect(Object.entries(read as object)).toEqual([
      ["ab", [{ c: "\ufffdd" }]],
      ["__proto__", { e: "\ufffd" }],
    ]);
    expect(({} as Record<string, unknown>).e).toBeUndefined();
  });
});
