import { Buffer } from "node:buffer";
import { TraceState } from "@opentelemetry/core";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Found } from "./found.ts";
import { withoutTracestateMembers } from "./tracestate-edit.ts";
import { findTracestateMember } from "./tracestate.ts";

const NAME = Buffer.from("sidelane");

function without(field: string): string | undefined {
  const bytes = Buffer.from(`sidelane=1,${field},sidelane=2`, "latin1");
  const kept = withoutTracestateMembers(bytes, 11, 11 + field.length, [NAME, Buffer.from("other@vendor")]);
  return kept && Buffer.from(kept).toString("latin1");
}

test.each([
  ["the only one", "sidelane=pr-7", ""],
  ["the first", "sidelane=pr-7 , rojo=1", "rojo=1"],
  ["the last", "rojo=1,\t sidelane=pr-7", "rojo=1"],
  ["in the middle", "rojo=1, sidelane=pr-7,\tcongo=2", "rojo=1,\tcongo=2"],
  ["duplicates", "sidelane=a,rojo=1,sidelane=b", "rojo=1"],
  ["an invalid value", "sidelane=a=b,rojo=1", "rojo=1"],
  ["no value", "sidelane,rojo=1", "rojo=1"],
  ["white space before '='", "sidelane =1,rojo=1", "rojo=1"],
  ["U+00A0 in front", "\u00a0sidelane=1,rojo=1", "rojo=1"],
  ["another name", "other@vendor=1,rojo=1", "rojo=1"],
])("removes %s", (_, field, kept) => {
  expect(without(field)).toBe(kept);
});

test.each([
  ["nothing", ""],
  ["others", "rojo=1, congo=2"],
  ["a longer name", "sidelanes=1,sidelane@x=1"],
  ["within a value", "x=sidelane"],
  ["an encoded name, which is another", "side%6Cane=1"],
])("undefined: %s", (_, field) => {
  expect(without(field)).toBeUndefined();
});

test("what is left holds no key, neither for us nor for OpenTelemetry", () => {
  const piece = fc.constantFrom("sidelane", "sidelane=", "=", ",", " ", "\t", "\u00a0", "a", "a=1,");
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join("")),
      (field) => {
        const left = without(field) ?? field;
        const bytes = Buffer.from(left, "latin1");
        expect(findTracestateMember(bytes, 0, bytes.length, NAME, new Found())).toBe(false);
        expect(new TraceState(left).get("sidelane")).toBeUndefined();
        expect(new TraceState(left).get("a")).toBe(new TraceState(field).get("a"));
      },
    ),
    { numRuns: 3000 },
  );
});
