import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { checkKey, checkName, checkTargetName, encodeKey } from "./names.ts";

describe("names", () => {
  test.each(["checkout", "pr-7", "1e5", "A.b_c-9", "constructor"])("%s is a name", (name) => {
    expect(checkName(name)).toBeUndefined();
  });

  test.each([
    ["check out", "write check-out"],
    ["feature/login", "write feature-login"],
    ["-pr", "write pr"],
    ["pr=7;x", "write pr-7-x"],
    ["", "write a name"],
    ["ü", "use letters, digits, '-', '_' and '.'"],
    ["a".repeat(129), "shorten it"],
  ])("%j is not, hint: %s", (name, hint) => {
    expect(checkName(name)?.hint).toBe(hint);
  });

  test("destinations and the overflow label are no names for sandboxes", () => {
    for (const name of ["baseline", "passthrough", "other"])
      expect(checkTargetName(name)?.problem).toMatch(/reserved/u);
    expect(checkTargetName("pr-7")).toBeUndefined();
  });
});

describe("routing keys", () => {
  test.each(["pr-7", "a b", "käse", "100%", "a,b:c", "日本"])("%j is a key", (key) => {
    expect(checkKey(key)).toBeUndefined();
  });

  test.each(["", " a", "a ", "a\tb", "a\nb", "a\u200bb", "a;b", "\u2028", "\ud800", "ä".repeat(129)])(
    "%j is not",
    (key) => {
      expect(checkKey(key)).toBeDefined();
    },
  );

  test("256 bytes are enough, 257 are too many", () => {
    expect(checkKey("a".repeat(256))).toBeUndefined();
    expect(checkKey("a".repeat(257))?.problem).toMatch(/at most 256 bytes/u);
  });

  test("encodeKey gives only characters that baggage allows, and decodes to the key", () => {
    expect(encodeKey("pr-7")).toBe("pr-7");
    expect(encodeKey("käse 1%")).toBe("k%C3%A4se%201%25");
    expect(encodeKey('a,b;c"d\\e')).toBe("a%2Cb%3Bc%22d%5Ce");
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (key) => {
        expect(encodeKey(key)).toMatch(/^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/u);
        expect(decodeURIComponent(encodeKey(key))).toBe(key);
      }),
    );
  });
});
