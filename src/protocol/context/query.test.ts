import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Found } from "./found.ts";
import { findQueryParameter, withoutParameters } from "./query.ts";

const NAME = Buffer.from("sidelane");

function read(target: string, name: Buffer = NAME): string | undefined {
  const bytes = Buffer.from(`GET?sidelane=1&${target}&sidelane=2`);
  const start = "GET?sidelane=1&".length;
  const found = new Found();
  if (!findQueryParameter(bytes, start, start + Buffer.byteLength(target), name, found)) return undefined;
  return Buffer.from(found.bytes.subarray(found.start, found.end)).toString();
}

function without(target: string, ...names: string[]): string | undefined {
  const bytes = Buffer.from(`GET?sidelane=1&${target}&sidelane=2`);
  const start = "GET?sidelane=1&".length;
  const kept = withoutParameters(
    bytes,
    start,
    start + Buffer.byteLength(target),
    names.map((name) => Buffer.from(name)),
  );
  return kept && Buffer.from(kept).toString();
}

describe("findQueryParameter", () => {
  test.each([
    ["alone", "/?sidelane=pr-7", "pr-7"],
    ["among others", "/cart?a=1&sidelane=pr-7&b=2", "pr-7"],
    ["absolute-form", "http://shop:8080/cart?sidelane=pr-7", "pr-7"],
    ["absolute-form without a path", "http://shop?sidelane=pr-7", "pr-7"],
    ["percent-encoded", "/?sidelane=gr%C3%B6%c3%9fe%26", "größe&"],
    ["'+' is a space", "/?sidelane=a+b%2Bc", "a b+c"],
    ["'%' that stands for itself", "/?sidelane=100%&b", "100%"],
    ["an encoded name", "/?side%6Cane=pr-7", "pr-7"],
    ["a value with '=' and '?'", "/?sidelane=a=b?c", "a=b?c"],
    ["the first duplicate", "/?sidelane=a&sidelane=b", "a"],
    ["an empty value", "/?sidelane=&sidelane=b", ""],
    ["no value", "/?sidelane", ""],
    ["no value, among others", "/?a&sidelane&b", ""],
    ["an empty value at the end", "/?a=1&sidelane=", ""],
    ["empty pairs", "/?&&sidelane=a&", "a"],
  ])("%s", (_, target, value) => {
    expect(read(target)).toBe(value);
  });

  test.each([
    ["nothing", ""],
    ["no query", "/sidelane=pr-7"],
    ["an empty query", "/?"],
    ["asterisk-form", "*"],
    ["another case", "/?Sidelane=a"],
    ["a longer name", "/?sidelanes=a&xsidelane=b"],
    ["a shorter name", "/?sidelan=a"],
    ["within a value", "/?a=sidelane=b"],
    ["in the path", "/a&sidelane=b"],
    ["a name that holds another '?'", "/??sidelane=a"],
    ["pairs between ';'", "/?a=1;sidelane=b"],
  ])("nothing: %s", (_, target) => {
    expect(read(target)).toBeUndefined();
  });

  test("a plain value is found in place", () => {
    const bytes = Buffer.from("/?sidelane=pr-7");
    const found = new Found();
    expect(findQueryParameter(bytes, 0, bytes.length, NAME, found)).toBe(true);
    expect(found.bytes).toBe(bytes);
  });

  test("names with a space are found in both spellings", () => {
    expect(read("/?a+b=1", Buffer.from("a b"))).toBe("1");
    expect(read("/?a%20b=1", Buffer.from("a b"))).toBe("1");
  });
});

describe("withoutParameters", () => {
  test.each([
    ["the only one: the '?' goes", "/cart?sidelane=pr-7", "/cart"],
    ["the first", "/?sidelane=pr-7&a=1", "/?a=1"],
    ["the last", "/?a=1&sidelane=pr-7", "/?a=1"],
    ["in the middle, others byte for byte", "/%7Ea?x=%41+b&sidelane=1&y=ö?&z", "/%7Ea?x=%41+b&y=ö?&z"],
    ["duplicates in all spellings", "/?sidelane=a&b=1&side%6cane=c&sidelane", "/?b=1"],
    ["several names", "/?sidelane=a&b=1&other=2", "/?b=1"],
    ["empty pairs stay", "/?&sidelane=a&&b=1&", "/?&&b=1&"],
    ["an empty pair alone stays", "/?sidelane=a&", "/?"],
    ["absolute-form", "http://shop?sidelane=a", "http://shop"],
  ])("%s", (_, target, kept) => {
    expect(without(target, "sidelane", "other")).toBe(kept);
  });

  test.each([
    ["nothing", ""],
    ["no query", "/sidelane=1"],
    ["an empty query", "/?"],
    ["others", "/?a=1&sidelanes=2"],
    ["within a value", "/?a=sidelane"],
  ])("undefined: %s", (_, target) => {
    expect(without(target, "sidelane")).toBeUndefined();
  });
});

const piece = fc.constantFrom("sidelane", "sidelane=", "=", "&", "+", "%", "%6c", "side%6Cane", "%41", "%C3", "?", "z");
const query = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));

test("agrees with URLSearchParams", () => {
  fc.assert(
    fc.property(query, (text) => {
      const params = new URLSearchParams(`?${text}`);
      expect(read(`/p?${text}`)).toBe(params.get("sidelane") ?? undefined);
      params.delete("sidelane");
      const left = without(`/p?${text}`, "sidelane") ?? `/p?${text}`;
      expect([...new URLSearchParams(left.slice("/p".length))]).toEqual([...params]);
      expect(read(left)).toBeUndefined();
      const stays = (pair: string): boolean => !new URLSearchParams(`?${pair}`).has("sidelane");
      if (left !== `/p?${text}`) {
        const pairs = text.split("&").filter(stays);
        expect(left).toBe(pairs.length === 0 ? "/p" : `/p?${pairs.join("&")}`);
      }
    }),
    { numRuns: 4000 },
  );
});
