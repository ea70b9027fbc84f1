import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { stringify } from "yaml";
import type { Path, Place } from "../routing/finding.ts";
import { formatPosition } from "./problem.ts";
import { readPlainYaml } from "./plain-yaml.ts";
import { parseYaml } from "./yaml.ts";
import type { YamlResult } from "./yaml.ts";

const byLibrary = (text: string): YamlResult => parseYaml(text, "f", Infinity);
const byReader = (text: string): YamlResult => parseYaml(text, "f", 0);

/** Accepts a text only if the library reads the same values from it, and finds them at the same positions. */
function agrees(text: string): boolean {
  const plain = readPlainYaml(text);
  if (plain === undefined) return false;
  const [library, reader] = [byLibrary(text), byReader(text)];
  if (!library.ok || !reader.ok) throw new Error(`the library refuses ${JSON.stringify(text)}`);
  expect(plain.value, text).toEqual(library.value);
  const places = placesIn(plain.value, []);
  const positions = (result: typeof library) => result.source.locate(places).map(formatPosition);
  expect(positions(reader), text).toEqual(positions(library));
  return true;
}

function placesIn(value: unknown, path: Path): readonly Place[] {
  const own: readonly Place[] = [
    { path, part: "value" },
    { path, part: "name" },
    { path: [...path, "missing"], part: "value" },
  ];
  if (typeof value !== "object" || value === null) return own;
  const steps = Array.isArray(value) ? value.map((item, index) => [index, item] as const) : Object.entries(value);
  return [...own, ...steps.flatMap(([step, inside]) => placesIn(inside, [...path, step]))];
}

describe("the plain reader", () => {
  test.each([
    "a: b",
    "a: b\n",
    "# comment\n\na: # nothing\n  b: c # d\n  # e\n\n  f:\n    g: 1\nh:\n",
    "services:\n  checkout:\n    baseline: [checkout:8080]\n    ports: { http: 8080, grpc: 9090 }\n",
    "list:\n  - a\n  - 'b c'\n  - [d]\nother:\n- e\n- { f: g }\nlast: []\n",
    '{ "a": [1, "x: y"], "b":{"c":null,\n"d": true} }\n',
    "a: 'it # is'\nb: \"c: d\"\n1e5: x\nnull: b\ntrue: c\n007: d\n'': q\n",
    "a:\n    b: 1\nc:\n  d: 2 #e\n",
    "url: http://x:1/y?z=1\npath: a/b.c\nhash: a-b_c\n",
    "[a, b]",
    "a: null\nb: false\nc: 0\nd: 10.0.0.7:8080\n",
    "a: b\n# end",
    "a: b   \n   \n",
  ])("reads %j as the library does", (text) => {
    expect(agrees(text)).toBe(true);
  });

  test.each([
    ["an anchor", "a: &x b"],
    ["an alias", "a: *x"],
    ["a tag", "a: !x b"],
    ["a block scalar", "a: |\n  b"],
    ["a plain scalar of two lines", "a: b\n  c"],
    ["a name given twice", "a: 1\na: 2"],
    ["a number that is written oddly", "a: 007"],
    ["a number that may be a hash", "a: 1e5"],
    ["a word that other versions read as a truth", "a: yes"],
    ["an escape", 'a: "\\n"'],
    ["a document marker", "---\na: b"],
    ["a tab", "a:\tb"],
    ["a carriage return", "a: b\r\n"],
    ["a wrong indent", "a:\n  b: 1\n c: 2"],
    ["a map in a list", "- a: b"],
    ["a comma at the end", "[a, ]"],
    ["a missing bracket", "a: [b"],
    ["a flow over two lines inside a block", "a: [b,\n  c]"],
    ["more behind the value", "a: [b] c"],
    ["__proto__", "__proto__: x"],
    ["text alone", "hello"],
    ["nothing", ""],
  ])("leaves %s to the library", (_, text) => {
    expect(readPlainYaml(text)).toBeUndefined();
  });

  test("leaves nesting without end to the library", () => {
    expect(readPlainYaml("[".repeat(40) + "]".repeat(40))).toBeUndefined();
    expect(readPlainYaml("[".repeat(100_000))).toBeUndefined();
  });

  test("whatever it accepts, the library reads alike: pieces in any order", () => {
    const piece = fc.constantFrom(
      "a",
      "b",
      "a:",
      "b:",
      "c: ",
      "- ",
      "-",
      " ",
      "  ",
      "\n",
      "\n  ",
      "\n    ",
      "[",
      "]",
      "{",
      "}",
      ", ",
      ",",
      ":",
      ": ",
      "#",
      " # x",
      "1",
      "0",
      "07",
      "1e5",
      "-1",
      ".5",
      "10.0.0.1:80",
      "true",
      "Null",
      "~",
      "y",
      "'q'",
      '"q"',
      "'",
      '"',
      "&a",
      "*a",
      "!t",
      "|",
      ">",
      "%",
      "?",
      "? ",
      "@",
      "a b",
      "x:y",
      "::1",
      "...",
      "---",
      "\t",
      "é",
      "=",
      "<<: ",
      "__proto__: ",
    );
    let accepted = 0;
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
        if (agrees(pieces.join(""))) accepted++;
      }),
      { numRuns: 4000 },
    );
    expect(accepted).toBeGreaterThan(0);
  });

  test("whatever it accepts, the library reads alike: tables as people and programs write them", () => {
    const word = fc.oneof(
      fc.constantFrom(
        "a",
        "pr-7",
        "checkout",
        "1e5",
        "null",
        "007",
        "x.y",
        "10.0.0.7:8080",
        "[::1]:80",
        "a b",
        "käse",
        "yes",
        "",
        "-",
        "a: b",
        "# c",
        "1.5",
      ),
      fc.string({ maxLength: 6 }),
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof({ depthSize: "small" }, word, fc.nat(), fc.boolean(), fc.constant(null), tie("list"), tie("map")),
      list: fc.array(tie("value"), { maxLength: 4 }),
      map: fc.dictionary(word, tie("value"), { maxKeys: 4 }),
    }));
    const style = fc.record({
      indent: fc.constantFrom(2, 4),
      indentSeq: fc.boolean(),
      collectionStyle: fc.constantFrom("any", "block", "flow"),
      defaultStringType: fc.constantFrom("PLAIN", "QUOTE_SINGLE", "QUOTE_DOUBLE"),
    } as const);
    let accepted = 0;
    fc.assert(
      fc.property(fc.dictionary(word, value), style, (document, options) => {
        if (agrees(stringify(document, { ...options, lineWidth: 0 }))) accepted++;
        if (agrees(JSON.stringify(document))) accepted++;
      }),
      { numRuns: 500 },
    );
    expect(accepted).toBeGreaterThan(150);
  });

  test("reads a table of hundreds of sandboxes", () => {
    const sandboxes = Array.from(
      { length: 300 },
      (_, i) => `  pr-${i}:\n    services: { checkout: [10.0.0.7:${i + 1}] }\n`,
    );
    expect(agrees(`services:\n  checkout:\nsandboxes:\n${sandboxes.join("")}groups: {}\n`)).toBe(true);
  });
});
