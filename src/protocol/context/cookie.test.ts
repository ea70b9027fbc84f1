import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findCookie, withoutCookies } from "./cookie.ts";
import { Found } from "./found.ts";

const NAME = Buffer.from("sidelane");

function read(field: string): string | undefined {
  const bytes = Buffer.from(`sidelane=1;${field};sidelane=2`, "latin1");
  const start = "sidelane=1;".length;
  const found = new Found();
  if (!findCookie(bytes, start, start + field.length, NAME, found)) return undefined;
  return Buffer.from(found.bytes.subarray(found.start, found.end)).toString();
}

function without(field: string): string | undefined {
  const bytes = Buffer.from(`sidelane=1;${field};sidelane=2`, "latin1");
  const start = "sidelane=1;".length;
  const kept = withoutCookies(bytes, start, start + field.length, [NAME, Buffer.from("other")]);
  return kept && Buffer.from(kept).toString("latin1");
}

describe("findCookie", () => {
  test.each([
    ["alone", "sidelane=pr-7", "pr-7"],
    ["among others", "a=1; sidelane=pr-7; b=2", "pr-7"],
    ["without the space", "a=1;sidelane=pr-7;b=2", "pr-7"],
    ["white space around everything", " a=1 ;\t sidelane = pr-7 ; b", "pr-7"],
    ["in quotes", 'sidelane="pr-7"', "pr-7"],
    ["in quotes, encoded", 'sidelane="a%20b" ; x', "a b"],
    ["one quote", 'sidelane="', '"'],
    ["an open quote", 'sidelane="pr-7', '"pr-7'],
    ["empty quotes", 'sidelane=""', ""],
    ["a value with '='", "sidelane=a=b==", "a=b=="],
    ["a value with a comma", "sidelane=a,b", "a,b"],
    ["percent-encoded", "sidelane=gr%C3%B6%c3%9fe", "größe"],
    ["a plus, which is no space", "sidelane=a+b", "a+b"],
    ["the first duplicate", "sidelane=a; sidelane=b", "a"],
    ["no value", "sidelane=; sidelane=b", ""],
    ["white space for a value", "a=1; sidelane= \t; b", ""],
    ["empty pairs", ";; ;sidelane=a;;", "a"],
  ])("%s", (_, field, value) => {
    expect(read(field)).toBe(value);
  });

  test.each([
    ["nothing", ""],
    ["white space", " "],
    ["another case", "Sidelane=a"],
    ["a longer name", "sidelanes=a; xsidelane=a"],
    ["a shorter name", "sidelan=a"],
    ["no '='", "sidelane; a=1"],
    ["within a value", "a=sidelane=b; b=;"],
    ["an encoded name", "side%6Cane=a"],
    ["behind something", "x sidelane=a"],
  ])("nothing: %s", (_, field) => {
    expect(read(field)).toBeUndefined();
  });

  test("a value without '%' is found in place, and a find without success changes nothing", () => {
    const bytes = Buffer.from("sidelane=pr-7");
    const found = new Found();
    expect(findCookie(bytes, 0, bytes.length, NAME, found)).toBe(true);
    expect(found.bytes).toBe(bytes);
    expect(findCookie(Buffer.from("a=1"), 0, 3, NAME, found)).toBe(false);
    expect([found.bytes, found.start, found.end]).toEqual([bytes, 9, 13]);
  });
});

describe("withoutCookies", () => {
  test.each([
    ["the only one", "sidelane=a", ""],
    ["the first", "sidelane=a; b=2", "b=2"],
    ["the last", "b=2; sidelane=a", "b=2"],
    ["in the middle, others byte for byte", 'a="x y";sidelane=1; b=ö ; c', 'a="x y"; b=ö ; c'],
    ["duplicates and another name", "sidelane=a; x=1; other=3; sidelane=b", "x=1"],
    ["without a value", "sidelane=; a=1", "a=1"],
    ["without '='", "sidelane; a=1", "a=1"],
    ["white space before '='", "sidelane =x;a=1", "a=1"],
  ])("%s", (_, field, kept) => {
    expect(without(field)).toBe(kept);
  });

  test.each([
    ["nothing", ""],
    ["others", "a=1; b=2"],
    ["a longer name", "sidelanes=1; xsidelane=2"],
    ["another case", "Sidelane=1"],
    ["within a value", "a=sidelane=1"],
  ])("undefined: %s", (_, field) => {
    expect(without(field)).toBeUndefined();
  });
});

test("agrees with a reader that takes the pairs apart, and leaves all others", () => {
  const piece = fc.constantFrom("sidelane", "sidelane=", "=", ";", "; ", "\t", "z", "%41", "%", '"', "s", ",");
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join("")),
      (field) => {
        const trim = (text: string): string => text.replace(/^[ \t]+|[ \t]+$/g, "");
        const pairs = field.split(";").map((pair) => {
          const equals = pair.indexOf("=");
          const name = trim(equals === -1 ? pair : pair.slice(0, equals));
          return { pair: trim(pair), name, value: equals === -1 ? undefined : trim(pair.slice(equals + 1)) };
        });
        const value = pairs.find((pair) => pair.name === "sidelane" && pair.value !== undefined)?.value;
        expect(read(field)).toBe(value?.replace(/^"(.*)"$/u, "$1").replaceAll("%41", "A"));
        const left = (without(field) ?? field).split(";").map(trim);
        expect(left.filter((pair) => pair !== "")).toEqual(
          pairs.filter(({ name, pair }) => name !== "sidelane" && pair !== "").map(({ pair }) => pair),
        );
        expect(read(without(field) ?? field)).toBeUndefined();
      },
    ),
    { numRuns: 4000 },
  );
});
