import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readTraceId, sameTrace, TraceId, traceFields, traceKinds } from "./trace-id.ts";

const LONG = "4bf92f3577b34da6a3ce929d0e0e4736";
const SHORT = "a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

type Kind = keyof typeof traceKinds;

/** The id in `value`, which stands among other bytes; undefined when there is none. */
function parse(kind: Kind, value: string): TraceId | undefined {
  const id = new TraceId();
  const bytes = Buffer.from(`0-${value}-0`, "latin1");
  return readTraceId(traceKinds[kind], bytes, 2, bytes.length - 2, id) ? id : undefined;
}

function must(kind: Kind, value: string): TraceId {
  const id = parse(kind, value);
  if (id === undefined) throw new Error(`${kind}: ${value} is no id`);
  return id;
}

/** As 32 digits. */
function hex({ w0, w1, w2, w3 }: TraceId): string {
  return [w0, w1, w2, w3].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

function written({ bytes, start, end, spanStart, spanEnd }: TraceId): [string, string] {
  const text = Buffer.from(bytes).toString("latin1");
  return [text.slice(start, end), text.slice(spanStart, spanEnd)];
}

function decimal(digits: string): string {
  return BigInt(`0x${digits}`).toString();
}

const padded = `${"0".repeat(16)}${SHORT}`;

describe("readTraceId", () => {
  test.each<[Kind, string, string, string, string, boolean]>([
    ["traceparent", `00-${LONG}-${SPAN}-01`, LONG, LONG, SPAN, true],
    ["traceparent", `00-${LONG}-${SPAN}-00`, LONG, LONG, SPAN, false],
    ["traceparent", `00-${LONG}-${SPAN}-02`, LONG, LONG, SPAN, false],
    ["traceparent", `cc-${LONG}-${SPAN}-09-more`, LONG, LONG, SPAN, true],
    ["b3", `${LONG}-${SPAN}-1`, LONG, LONG, SPAN, true],
    ["b3", `${LONG}-${SPAN}-d-05e3ac9a4f6e3b90`, LONG, LONG, SPAN, true],
    ["b3", `${LONG}-${SPAN}-0`, LONG, LONG, SPAN, false],
    ["b3", `${LONG}-${SPAN}`, LONG, LONG, SPAN, false],
    ["b3", `${SHORT}-${SPAN}-1`, padded, SHORT, SPAN, true],
    ["b3TraceId", LONG, LONG, LONG, "", false],
    ["b3TraceId", SHORT, padded, SHORT, "", false],
    ["b3TraceId", padded, padded, padded, "", false],
    ["datadog", decimal(SHORT), padded, decimal(SHORT), "", false],
    ["datadog", "1", `${"0".repeat(31)}1`, "1", "", false],
    ["datadog", "18446744073709551615", `${"0".repeat(16)}${"f".repeat(16)}`, "18446744073709551615", "", false],
    ["uber", `${LONG}:${SPAN}:0:1`, LONG, LONG, SPAN, true],
    ["uber", `${LONG.toUpperCase()}:f067aa0ba902b7:abc:03`, LONG, LONG.toUpperCase(), "f067aa0ba902b7", true],
    ["uber", "1f:2:0:0", `${"0".repeat(30)}1f`, "1f", "2", false],
    ["uber", "1f%3A2%3a0%3A1", `${"0".repeat(30)}1f`, "1f", "2", true],
    ["uber", "a123456789:2:0:2", "000000000000000000000a123456789".padStart(32, "0"), "a123456789", "2", false],
  ])("%s %s", (kind, value, id, text, span, sampled) => {
    const read = must(kind, value);
    expect(hex(read)).toBe(id);
    expect(written(read)).toEqual([text, span]);
    expect([read.sampled, read.kind]).toEqual([sampled, traceKinds[kind]]);
  });

  test.each<[Kind, string]>([
    ["none", LONG],
    ["traceparent", ""],
    ["traceparent", `00-${LONG.toUpperCase()}-${SPAN}-01`],
    ["traceparent", `00-${"0".repeat(32)}-${SPAN}-01`],
    ["traceparent", `00-${LONG}-${"0".repeat(16)}-01`],
    ["traceparent", `00-${LONG}-${SPAN}-01-more`],
    ["traceparent", `ff-${LONG}-${SPAN}-01`],
    ["traceparent", `00-${LONG}-${SPAN}-1`],
    ["b3", ""],
    ["b3", "0"],
    ["b3", "1"],
    ["b3", "d"],
    ["b3", LONG],
    ["b3", `${LONG}-`],
    ["b3", `${LONG}-${SPAN}-`],
    ["b3", `${LONG}-${SPAN}-2`],
    ["b3", `${LONG}-${SPAN}-1-`],
    ["b3", `${LONG}-${SPAN}-1-05e3ac9a4f6e3b9`],
    ["b3", `${LONG}-${SPAN}-1-05e3ac9a4f6e3b90-`],
    ["b3", `${LONG}-${SPAN}-true`],
    ["b3", `${"0".repeat(16)}-${SPAN}-1`],
    ["b3", `${LONG}-${"0".repeat(16)}-1`],
    ["b3", `${LONG.toUpperCase()}-${SPAN}-1`],
    ["b3", `${LONG.slice(1)}-${SPAN}-1`],
    ["b3TraceId", ""],
    ["b3TraceId", "1"],
    ["b3TraceId", "0".repeat(32)],
    ["b3TraceId", `${LONG}0`],
    ["b3TraceId", SHORT.toUpperCase()],
    ["datadog", ""],
    ["datadog", "0"],
    ["datadog", "-1"],
    ["datadog", "1a"],
    ["datadog", "18446744073709551616"],
    ["datadog", "99999999999999999999"],
    ["datadog", "000000000000000000001"],
    ["uber", ""],
    ["uber", "1f"],
    ["uber", "1f:2:0"],
    ["uber", "1f:2:0:"],
    ["uber", "1f:2::1"],
    ["uber", ":2:0:1"],
    ["uber", "1f::0:1"],
    ["uber", "0:2:0:1"],
    ["uber", "1f:0:0:1"],
    ["uber", "1f:2:0:1:"],
    ["uber", "1f:2:0:001"],
    ["uber", "1f:2:0:x"],
    ["uber", `0${LONG}:2:0:1`],
    ["uber", `1f:0${SPAN}:0:1`],
    ["uber", "1f%3B2:0:1"],
    ["requestId", ""],
    ["requestId", "a b"],
    ["requestId", "gr\u00f6n"],
    ["requestId", "a".repeat(201)],
  ])("none in %s %j, and the answer stays as it was", (kind, value) => {
    const id = must("b3", `${LONG}-${SPAN}-1`);
    const before = Object.entries(id);
    const bytes = Buffer.from(`0-${value}-0`, "latin1");
    expect(readTraceId(traceKinds[kind], bytes, 2, bytes.length - 2, id)).toBe(false);
    expect(Object.entries(id)).toEqual(before);
  });

  test("a later id leaves nothing of an earlier one", () => {
    const id = must("traceparent", `00-${LONG}-${SPAN}-01`);
    const bytes = Buffer.from("7");
    expect(readTraceId(traceKinds.datadog, bytes, 0, 1, id)).toBe(true);
    expect([hex(id), written(id), id.sampled]).toEqual([`${"0".repeat(31)}7`, ["7", ""], false]);
    id.clear();
    expect(id).toEqual(new TraceId());
  });

  test("every id of 64 bits is read from decimal as from hexadecimal", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: (1n << 64n) - 1n }), (number) => {
        const digits = number.toString(16).padStart(16, "0");
        expect(hex(must("datadog", number.toString()))).toBe(`${"0".repeat(16)}${digits}`);
        expect(hex(must("b3TraceId", digits))).toBe(`${"0".repeat(16)}${digits}`);
        expect(hex(must("uber", `${number.toString(16)}:1:0:0`))).toBe(`${"0".repeat(16)}${digits}`);
      }),
    );
  });

  test("no value makes it throw, and none it accepts is all zero", () => {
    const piece = fc.constantFrom(
      LONG,
      SHORT,
      SPAN,
      "00",
      "-",
      ":",
      "%3A",
      "1",
      "d",
      "0",
      "f",
      "0000000000000000",
      "x",
    );
    const value = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(fc.constantFrom<Kind>("traceparent", "b3", "b3TraceId", "datadog", "uber"), value, (kind, text) => {
        const id = parse(kind, text);
        if (id === undefined) return;
        expect(hex(id)).not.toBe("0".repeat(32));
        expect(text).toContain(written(id)[0]);
        expect(id.spanStart).toBeLessThanOrEqual(id.spanEnd);
      }),
      { numRuns: 5000 },
    );
  });
});

describe("request ids", () => {
  test("equal ones have one hash, others another", () => {
    const visible = fc.stringMatching(/^[!-~]{1,24}$/u);
    const seen = new Map<string, string>();
    fc.assert(
      fc.property(visible, (text) => {
        const hash = hex(must("requestId", text));
        expect(hash).toBe(hex(must("requestId", text)));
        expect(seen.get(hash) ?? text).toBe(text);
        seen.set(hash, text);
      }),
      { numRuns: 2000 },
    );
  });

  test("of all lengths, also where they differ in length alone", () => {
    const hashes = Array.from({ length: 200 }, (_, i) => hex(must("requestId", "a".repeat(i + 1))));
    expect(new Set(hashes).size).toBe(200);
  });

  test("one letter changes each of the four words", () => {
    const a = must("requestId", "7f3b0c1e-0000-4000-8000-000000000000");
    const b = must("requestId", "7f3b0c1e-0000-4000-8000-000000000001");
    expect([a.w0 === b.w0, a.w1 === b.w1, a.w2 === b.w2, a.w3 === b.w3]).toEqual([false, false, false, false]);
  });
});

describe("sameTrace", () => {
  const traceparent = must("traceparent", `00-${LONG}-${SPAN}-01`);

  test.each([
    ["the same id in B3", must("b3", `${LONG}-${SPAN}-0`)],
    ["B3 with the low half", must("b3TraceId", SHORT)],
    ["Datadog's id, which is the low half", must("datadog", decimal(SHORT))],
    ["Jaeger without leading zeros", must("uber", `${SHORT}:1:0:1`)],
    ["itself", traceparent],
  ])("%s", (_, other) => {
    expect([sameTrace(traceparent, other), sameTrace(other, traceparent)]).toEqual([true, true]);
  });

  test.each([
    ["another low half", must("b3TraceId", SHORT.replace("a", "b"))],
    ["another high half", must("b3TraceId", `5${LONG.slice(1)}`)],
    ["no id at all", new TraceId()],
    ["a request id", must("requestId", LONG)],
  ])("not %s", (_, other) => {
    expect([sameTrace(traceparent, other), sameTrace(other, traceparent)]).toEqual([false, false]);
  });

  test("two of no kind are not the same trace", () => {
    expect(sameTrace(new TraceId(), new TraceId())).toBe(false);
  });

  test("a request id is equal to itself, and to nothing that has the same words", () => {
    const id = must("requestId", "abc");
    const forged = Object.assign(new TraceId(), id, { kind: traceKinds.traceparent });
    const half = Object.assign(new TraceId(), id, { w0: 0, w1: 0 });
    expect(sameTrace(id, must("requestId", "abc"))).toBe(true);
    expect([sameTrace(id, forged), sameTrace(forged, id), sameTrace(id, half)]).toEqual([false, false, false]);
  });
});

test("each field has one notation, and the standard comes first", () => {
  expect(traceFields.map(({ name }) => name)).toEqual([
    "traceparent",
    "b3",
    "x-b3-traceid",
    "x-datadog-trace-id",
    "uber-trace-id",
    "x-request-id",
  ]);
  expect(traceFields.map(({ kind }) => kind)).toEqual([1, 2, 3, 4, 5, 6]);
});
