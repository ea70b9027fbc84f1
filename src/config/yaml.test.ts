import { describe, expect, test } from "vitest";
import { nameAt, valueAt } from "../routing/finding.ts";
import { formatPosition, formatProblem } from "./problem.ts";
import { parseYaml } from "./yaml.ts";
import type { SourceMap } from "./yaml.ts";

function parse(text: string): { readonly value: unknown; readonly source: SourceMap } {
  const result = parseYaml(text, "f.yaml");
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result;
}

function refused(text: string): readonly string[] {
  const result = parseYaml(text, "f.yaml");
  return result.ok ? [] : result.problems.map(formatProblem);
}

describe("parseYaml", () => {
  test("names stay as they are written, whatever YAML would make of them", () => {
    expect(parse("{ 1e5: a, 0x10: b, true: c, null: d, 007: e, ~: f }").value).toEqual({
      "1e5": "a",
      "0x10": "b",
      true: "c",
      null: "d",
      "007": "e",
      "~": "f",
    });
  });

  test("values are those of YAML 1.2: no and on are text", () => {
    expect(parse("[no, on, yes, true, null, 1, 1.5]").value).toEqual(["no", "on", "yes", true, null, 1, 1.5]);
  });

  test("JSON is YAML, tabs, CRLF and byte order mark are fine", () => {
    expect(parse('\ufeff{\t"a": [1, "x\\u00e9"]\r\n}\r\n').value).toEqual({ a: [1, "xé"] });
  });

  test("aliases repeat what an anchor names", () => {
    expect(parse("a: &one [x]\nb: *one\nc: [*one, *one]").value).toEqual({ a: ["x"], b: ["x"], c: [["x"], ["x"]] });
  });

  test("a flat anchor may be used often", () => {
    const uses = Array.from({ length: 5000 }, (_, index) => `k${index}: *one`).join("\n");
    expect(Object.keys(parse(`a: &one [x]\n${uses}`).value as object)).toHaveLength(5001);
  });

  test.each([
    ["a: 1\nb: 2\na: 3", 'f.yaml:3:1: "a" is given twice, first in line 1:1, keep one'],
    ["{ a: 1, 'a': 2 }", 'f.yaml:1:9: "a" is given twice, first in line 1:3, keep one'],
    ['1: x\n"1": y', 'f.yaml:2:1: "1" is given twice, first in line 1:1, keep one'],
    ["__proto__: { a: 1 }", "f.yaml:1:1: a field cannot be called __proto__, write another name"],
    ["a: &x [*x]", "f.yaml:1:8: alias *x stands inside its own anchor, write the value out"],
    ["a: 1\n---\nb: 2", "f.yaml:2:1: a second document begins here, keep one document, remove the --- line"],
    ["a: [1, 2", "f.yaml:1:9: a list in [ ] has no end, add the missing ]"],
    ["a:\n  b: { c: 1\nd: 1", "f.yaml:3:1: a map in { } has no end, add the missing }"],
    ['a: "b\nc: 1', 'f.yaml:2:5: a text in quotes has no end, add the missing "'],
    ["%YAML 1.1\n---\na: 1", "f.yaml:1:1: YAML 1.1 is not supported, remove the %YAML line"],
  ])("%j", (text, message) => {
    expect(refused(text)).toEqual([message]);
  });

  test.each([
    ["a:\n  b: {\n    c: 1\n}", "f.yaml:4:1: a map in { } is not indented, indent the }"],
    ["{ a: [1, 2 }", "f.yaml:1:12: a list in [ ] has no end, add the missing ]"],
  ])("%j, before all that comes of it", (text, message) => {
    expect(refused(text)[0]).toBe(message);
  });

  test.each([
    ["two documents", "a: 1\n---\nb: 2"],
    ["a missing bracket", "a: [1, 2"],
    ["a wrong indent", "a:\n  b: 1\n c: 2"],
    ["a tab as indent", "a:\n\tb: 1"],
    ["an unknown alias", "a: *nowhere"],
    ["an unknown tag", "a: !secret x"],
    ["a map as a name", "? { a: 1 }\n: x"],
    ["a stray colon", "a: b: c"],
  ])("refuses %s and says where", (_, text) => {
    expect(refused(text)[0]).toMatch(/^f\.yaml:\d+:\d+: \S/u);
  });

  test.each([
    ["{ carriers: [ { host: {key}--* } ] }", ["f.yaml:1:23: {key}--* is not text", '"{key}--*"']],
    ["- host: {key}.preview.*\n- b: 1", ["f.yaml:1:9: {key}.preview.* is not text", '"{key}.preview.*"']],
    ["a:\n  - {host: *.{key}}", ["f.yaml:2:12: *.{key} is not text", '"*.{key}"']],
    ["a: [{ host: pr-{key}.* }] # {key}", ["f.yaml:1:13: pr-{key}.* is not text", '"pr-{key}.*"']],
  ])("host patterns belong in quotes: %j", (text, [message, pattern]) => {
    expect(refused(text)).toEqual([`${message}, { begins a map in YAML, and * an alias, write ${pattern} in quotes`]);
  });

  test("other complaints stay in front of unquoted host patterns, and where there is none on the line", () => {
    const broken = refused("a: b: c\nb: {key}--*\nc: {key}.*");
    expect(broken.map((line) => line.slice(0, 15))).toEqual([
      expect.stringMatching(/^f\.yaml:1:/u),
      "f.yaml:2:4: {ke",
      "f.yaml:3:4: {ke",
    ]);
    expect(refused("a: [1, 2 # host: {key}--*")[0]).not.toContain("{key}");
    expect(refused('a: "{key}--*" b')[0]).not.toContain("{key}");
  });

  test("refuses aliases that multiply: a billion laughs", () => {
    const levels = Array.from({ length: 9 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i}, `.repeat(9)}*l${i}]`);
    expect(refused(`l0: &l0 [lol]\n${levels.join("\n")}`)).toEqual([
      expect.stringMatching(/^f\.yaml:\d+:\d+: aliases multiply the file too often/u),
    ]);
  });

  test("refuses nesting without end", () => {
    expect(refused("[".repeat(40) + "]".repeat(40))).toEqual([
      expect.stringMatching(/nested more than 32 levels deep/u),
    ]);
    expect(refused("[".repeat(5_000) + "]".repeat(5_000))).toEqual([expect.stringMatching(/nested/u)]);
    for (const count of [1_000, 20_000])
      expect(refused("[".repeat(count))).toEqual(["f.yaml:1:1: nested too deep, flatten the file"]);
  });
});

describe("positions", () => {
  const { source } = parse("a:\n  b: [x, { c: y }]\n  'd e': &n\n    f: 1\ng: *n\n");

  test.each([
    [valueAt("a", "b", 0), "f.yaml:2:7"],
    [valueAt("a", "b", 1, "c"), "f.yaml:2:15"],
    [nameAt("a", "b", 1, "c"), "f.yaml:2:12"],
    [nameAt("a", "d e"), "f.yaml:3:3"],
    [valueAt("g", "f"), "f.yaml:4:8"],
    [nameAt("g"), "f.yaml:5:1"],
    [valueAt(), "f.yaml:1:1"],
    [nameAt("a", "missing"), "f.yaml:1:1"],
    [valueAt("a", "b", 9), "f.yaml:2:6"],
  ])("%j is at %s", (place, expected) => {
    expect(source.locate([place]).map(formatPosition)).toEqual([expected]);
  });

  test("the text of a value as written", () => {
    expect(parse("a: 007").source.written(["a"])).toBe("007");
    expect(source.written(["a"])).toBeUndefined();
  });
});
