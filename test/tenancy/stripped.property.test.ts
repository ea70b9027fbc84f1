// What was taken out is gone: whatever bytes somebody sends, no reader of ours, nor one that decodes before it compares, finds a key
// in what the edge leaves. Made of the pieces that matter to one of the notations.
import { ROOT_CONTEXT, defaultTextMapGetter, propagation } from "@opentelemetry/api";
import { W3CBaggagePropagator } from "@opentelemetry/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { latin1 } from "../../src/protocol/bytes.ts";
import { withoutMembers } from "../../src/protocol/context/baggage-edit.ts";
import { findBaggageMember } from "../../src/protocol/context/baggage.ts";
import { findCookie, withoutCookies } from "../../src/protocol/context/cookie.ts";
import { Found } from "../../src/protocol/context/found.ts";
import { findQueryParameter, withoutParameters } from "../../src/protocol/context/query.ts";
import { withoutTracestateMembers } from "../../src/protocol/context/tracestate-edit.ts";
import { findTracestateMember } from "../../src/protocol/context/tracestate.ts";

const NAMES = ["sd", "x-key"].map(latin1);
const pieces = [
  "sd",
  "x-key",
  "s",
  "d",
  "=",
  "=",
  ",",
  ";",
  "&",
  "?",
  " ",
  "\t",
  "+",
  "%",
  "%73",
  "%64",
  "%20",
  "%2C",
  "%3D",
  '"',
];
const text = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...pieces) },
      fc.constantFrom("a", "/", "\u00a0", "\u00e9", "#", "%zz"),
    ),
    {
      maxLength: 24,
    },
  )
  .map((parts) => parts.join(""));

type Find = (bytes: Uint8Array, start: number, end: number, name: Uint8Array, found: Found) => boolean;
type Without = (bytes: Uint8Array, start: number, end: number, names: readonly Uint8Array[]) => Uint8Array | undefined;

const notations: readonly (readonly [name: string, find: Find, without: Without, before: string])[] = [
  ["baggage", findBaggageMember, withoutMembers, ""],
  ["tracestate", findTracestateMember, withoutTracestateMembers, ""],
  ["cookie", findCookie, withoutCookies, ""],
  ["query", findQueryParameter, withoutParameters, "/?"],
];

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

describe.each(notations)("%s", (_, find, without, before) => {
  const strip = (value: string): string => {
    const bytes = latin1(`#${before}${value}#`);
    const left = without(bytes, 1, bytes.length - 1, NAMES);
    return left === undefined ? `${before}${value}` : textOf(left);
  };

  test("without these names has none of them", () => {
    fc.assert(
      fc.property(text, (value) => {
        const left = latin1(strip(value));
        for (const name of NAMES) expect(find(left, 0, left.length, name, new Found())).toBe(false);
      }),
      { numRuns: 5000 },
    );
  });

  test("without them is left alone by a second look", () => {
    fc.assert(
      fc.property(text, (value) => {
        const left = latin1(strip(value));
        expect(without(left, 0, left.length, NAMES)).toBeUndefined();
      }),
      { numRuns: 5000 },
    );
  });

  test("that has none of them goes on as it is", () => {
    fc.assert(
      fc.property(text, (value) => {
        const whole = latin1(value.replace(/sd|x-key|%73|%64|s|d/gu, "o"));
        expect(without(whole, 0, whole.length, NAMES)).toBeUndefined();
      }),
      { numRuns: 2000 },
    );
  });
});

test("query: nor does the reader of browsers and servers find one", () => {
  fc.assert(
    fc.property(text, (value) => {
      const target = latin1(`/?${value.replaceAll("#", "")}`);
      const left = textOf(withoutParameters(target, 0, target.length, NAMES) ?? target);
      const parameters = new URLSearchParams(left.replace(/^[^?]*/u, ""));
      expect([parameters.has("sd"), parameters.has("x-key")]).toEqual([false, false]);
    }),
    { numRuns: 5000 },
  );
});

test("baggage: nor does OpenTelemetry, which decodes names and trims them its own way", () => {
  const propagator = new W3CBaggagePropagator();
  fc.assert(
    fc.property(text, (value) => {
      const bytes = latin1(value);
      const left = textOf(withoutMembers(bytes, 0, bytes.length, NAMES) ?? bytes);
      const read = propagation.getBaggage(propagator.extract(ROOT_CONTEXT, { baggage: left }, defaultTextMapGetter));
      const names = (read?.getAllEntries() ?? []).map(([name]) => name);
      expect(names.filter((name) => name === "sd" || name === "x-key")).toEqual([]);
    }),
    { numRuns: 5000 },
  );
});
