import { expect, test } from "vitest";
import { mergePatch } from "./merge-patch.ts";
import { sameSpec, specDifference, specSummary } from "./spec-difference.ts";
import { ttlMs } from "./duration.ts";

// RFC 7396, appendix A.
test.each([
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
  [{ a: "b" }, { a: null }, {}],
  [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
  [{ a: ["b"] }, { a: "c" }, { a: "c" }],
  [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
  [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
  [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
  [
    ["a", "b"],
    ["c", "d"],
    ["c", "d"],
  ],
  [{ a: "b" }, ["c"], ["c"]],
  [{ a: "foo" }, null, null],
  [{ a: "foo" }, "bar", "bar"],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: "b", c: null }, { a: "b" }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
])("%j patched by %j", (target, patch, expected) => {
  expect(mergePatch(target, patch)).toEqual(expected);
});

test("what changed is one sentence", () => {
  const before = { services: { checkout: ["10.0.0.7:8080"] }, owner: "", ttl: "4h" };
  const after = { services: { checkout: ["10.0.0.9:8080"], ledger: ["10.0.0.8:1"] }, owner: "dana" };
  expect(specDifference(before, after)).toBe(
    "services.checkout: 10.0.0.7:8080 -> 10.0.0.9:8080; services.ledger: none -> 10.0.0.8:1; owner: none -> dana; ttl: 4h -> none",
  );
  expect(specSummary(after)).toBe("services.checkout: 10.0.0.9:8080; services.ledger: 10.0.0.8:1; owner: dana");
  expect(specDifference(after, after)).toBe("");
  expect(specSummary({ description: "x".repeat(1000) })).toHaveLength(500);
});

test("the order of maps counts for nothing, that of lists does", () => {
  expect(sameSpec({ a: 1, b: { c: 1, d: 2 } }, { b: { d: 2, c: 1 }, a: 1, e: undefined })).toBe(true);
  expect(sameSpec({ a: [1, 2] }, { a: [2, 1] })).toBe(false);
});

test("ttl", () => {
  expect(["90s", "30m", "4h", "7d", "2w"].map(ttlMs)).toEqual([
    90_000, 1_800_000, 14_400_000, 604_800_000, 1_209_600_000,
  ]);
  expect(["", "0h", "4", "h", "4y", "-4h", "4.5h", " 4h", "999999d"].map(ttlMs)).toEqual(
    Array.from({ length: 9 }, () => undefined),
  );
});
