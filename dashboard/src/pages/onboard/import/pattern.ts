/**
 * Whether a pattern of OpenSSH (`*` any characters, `?` one) matches a whole text. Goes back to the last `*` only, so
 * that no pattern takes longer than its length times the text's; one made of a regular expression could hang.
 */
export function matches(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let from = 0;
  while (t < text.length) {
    if (
      p < pattern.length &&
      (pattern[p] === "?" || pattern[p] === text[t]) &&
      pattern[p] !== "*"
    ) {
      p++;
      t++;
    } else if (pattern[p] === "*") {
      star = p++;
      from = t;
    } else if (star >= 0) {
      p = star + 1;
      t = ++from;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}
