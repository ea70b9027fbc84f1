import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { isSampledTraceparent, rewriteTraceparent } from "./sampled-traceparent.ts";
import { TRACEPARENT_BYTES } from "./traceparent.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";

test.each([
  ["sampled", `00-${TRACE}-${PARENT}-01`, true],
  ["sampled, and a random trace id (level 2)", `00-${TRACE}-${PARENT}-03`, true],
  ["all flags", `00-${TRACE}-${PARENT}-ff`, true],
  ["not sampled", `00-${TRACE}-${PARENT}-00`, false],
  ["another flag", `00-${TRACE}-${PARENT}-02`, false],
  ["an even letter", `00-${TRACE}-${PARENT}-0a`, false],
  ["a later version", `01-${TRACE}-${PARENT}-01`, false],
  ["a later version that is longer", `cc-${TRACE}-${PARENT}-01-more`, false],
  ["something behind it", `00-${TRACE}-${PARENT}-01-more`, false],
  ["no parent", `00-${TRACE}-${"0".repeat(16)}-01`, false],
  ["no trace", `00-${"0".repeat(32)}-${PARENT}-01`, false],
  ["capitals", `00-${TRACE.toUpperCase()}-${PARENT}-01`, false],
  ["white space", ` 00-${TRACE}-${PARENT}-01`, false],
  ["cut off", `00-${TRACE}-${PARENT}-0`, false],
  ["nothing", "", false],
])("%s", (_, value, sampled) => {
  const bytes = Buffer.from(`--${value}--`);
  expect(isSampledTraceparent(bytes, 2, bytes.length - 2)).toBe(sampled);
});

const hex = (length: number): fc.Arbitrary<string> =>
  fc.bigInt({ min: 1n, max: 16n ** BigInt(length) - 1n }).map((id) => id.toString(16).padStart(length, "0"));

test("only the parent changes, in place and in a copy", () => {
  fc.assert(
    fc.property(hex(32), hex(16), hex(16), fc.nat(20), fc.nat(20), (trace, parent, spanId, before, at) => {
      const value = `00-${trace}-${parent}-01`;
      const rewritten = `00-${trace}-${spanId}-01`;
      const bytes = Buffer.from(`${"<".repeat(before)}${value}>>`);
      const into = Buffer.alloc(at + TRACEPARENT_BYTES + 2, ".");
      rewriteTraceparent(bytes, before, spanId, into, at);
      expect(bytes.toString()).toBe(`${"<".repeat(before)}${value}>>`);
      expect(into.toString()).toBe(`${".".repeat(at)}${rewritten}..`);
      rewriteTraceparent(bytes, before, spanId, bytes, before);
      expect(bytes.toString()).toBe(`${"<".repeat(before)}${rewritten}>>`);
      expect(isSampledTraceparent(bytes, before, before + TRACEPARENT_BYTES)).toBe(true);
    }),
  );
});
