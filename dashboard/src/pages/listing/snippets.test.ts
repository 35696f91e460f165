import { expect, test } from "vitest";
import { snippets } from "./snippets";

test("the snippets lead to the page and show the badge", () => {
  const made = snippets("https://gpu.example", "abc", "Harborx verified: 1 × H100");
  expect(made.html).toBe(
    '<a href="https://gpu.example/listing/abc"><img src="https://gpu.example/v1/listing/abc/badge.svg" alt="Harborx verified: 1 × H100" height="20"></a>',
  );
  expect(made.markdown).toBe(
    "[![Harborx verified: 1 × H100](https://gpu.example/v1/listing/abc/badge.svg)](https://gpu.example/listing/abc)",
  );
});

test("a machine's name can't get out of its place", () => {
  const made = snippets(
    "https://gpu.example",
    "abc",
    '"><script>x</script>](https://evil.example)',
  );
  expect(made.html).not.toContain("<script>");
  expect(made.html.split('"')).toHaveLength(9);
  expect(made.markdown).toContain("\\]\\(https");
});
