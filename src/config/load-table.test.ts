import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { CompiledTable } from "../routing/compiled-table.ts";
import { loadTable, readTable, tableDigest } from "./load-table.ts";
import { formatProblem } from "./problem.ts";

const good = `
services:
  checkout:
    hosts: [checkout, checkout.shop.svc.cluster.local]
    baseline: [checkout:8080]
sandboxes:
  pr-7:
    services: { checkout: [10.0.0.7:8080] }
`;

function refused(content: string | Uint8Array): readonly string[] {
  const result = loadTable(content, "routes.yaml");
  return result.ok ? [] : result.problems.map(formatProblem);
}

describe("loadTable", () => {
  test("gives an image that answers, the counts, and the digest that sha256sum gives", () => {
    const result = loadTable(good, "routes.yaml");
    if (!result.ok) throw new Error("refused");
    const table = new CompiledTable(result.image, 1, result.digest);
    const key = Buffer.from("pr-7");
    expect(table.targetName(table.findTarget(key, 0, key.length))).toBe("pr-7");
    expect(result.counts).toEqual({ services: 1, sandboxes: 1, groups: 0, endpoints: 2 });
    expect(result.digest).toBe(createHash("sha256").update(good).digest("hex").slice(0, 12));
    expect(result.digest).toBe(tableDigest(Buffer.from(good)));
  });

  test("bytes and text give the same table, under seeds of their own", () => {
    const [a, b] = [loadTable(good, "r"), loadTable(Buffer.from(good), "r")];
    if (!a.ok || !b.ok) throw new Error("refused");
    const describe = (image: typeof a.image) => new CompiledTable(image, 1, "").describe();
    expect(describe(a.image)).toEqual(describe(b.image));
    expect(Buffer.from(a.image.buffer).equals(Buffer.from(b.image.buffer))).toBe(false);
  });

  test.each([[""], ["# nothing yet\n"], ["---\n"], ["null"]])(
    "%j is not a table: a file in the making is empty for a moment",
    (text) => {
      expect(refused(text)).toEqual([
        "routes.yaml:1:1: the table is empty, write services: {} for a table that knows nothing",
      ]);
    },
  );

  test("sections may be empty or missing", () => {
    for (const text of ["services: {}", "services:\nsandboxes:\ngroups:\n"]) expect(refused(text)).toEqual([]);
  });

  test("a service needs nothing but its name", () => {
    const result = loadTable("services:\n  checkout:\n", "r");
    expect(result.ok && result.counts.services).toBe(1);
  });

  test("what is not UTF-8 is refused, not guessed", () => {
    expect(refused(Buffer.from([0x61, 0x3a, 0xff]))).toEqual(["routes.yaml:1:1: not UTF-8, save it as UTF-8"]);
  });

  test("what is no map at all", () => {
    expect(refused("hello")).toEqual(['routes.yaml:1:1: the file is the text "hello", not a map']);
    expect(refused("[a]")).toEqual(["routes.yaml:1:1: the file is a list, not a map"]);
  });

  test("more than a hundred problems are counted, not listed", () => {
    const lines = Array.from({ length: 150 }, (_, index) => `  s${index}: { key: 1, services: {} }`);
    const problems = refused(`sandboxes:\n${lines.join("\n")}\n`);
    expect(problems).toHaveLength(101);
    expect(problems.at(-1)).toBe("routes.yaml: 50 more problems like these");
  });

  test("never throws, whatever the file", () => {
    const piece = fc.constantFrom(
      "services",
      "sandboxes",
      "groups",
      "key",
      "pr-7",
      ":",
      " ",
      "\n",
      "  ",
      "- ",
      "[",
      "]",
      "{",
      "}",
      ",",
      "a:1",
      "&a",
      "*a",
      "#",
      "'",
      '"',
      "|",
      "?",
      "!",
      "%",
      "\t",
      "1e5",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        readTable(pieces.join(""), "r");
      }),
      { numRuns: 1000 },
    );
  });
});
