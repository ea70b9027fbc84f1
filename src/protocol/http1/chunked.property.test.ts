// Chunked bodies at random, valid and damaged: any split gives the same verdict and bytes, and a slow and obvious decoder
// agrees on what is complete.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { latin1, textOf } from "../bytes.ts";
import { type ChunkLimits, ChunkScanner } from "./chunked.ts";
import { FAULTY } from "./head.ts";

const limits: ChunkLimits = { chunkExtensionBytesMax: 40, trailerBytesMax: 60, headerCountMax: 4 };

const nasty = fc.constantFrom(
  ..."\0\t\n\r ;\"'+-=0159:AFafgx\x7f\x80".split(""),
  "\r\n",
  "0\r\n\r\n",
  "\r\n\r\n",
  " \r\n",
  "ffffffffffffffff",
);
const extension = fc.constantFrom("", "", "", ";a", ";a=b", ';a="b;c"', " ;a", "\t; a=b");
const size = (length: number): fc.Arbitrary<string> =>
  fc
    .tuple(fc.boolean(), fc.nat(2))
    .map(([upper, zeros]) => "0".repeat(zeros) + (upper ? length.toString(16).toUpperCase() : length.toString(16)));

const octet = fc.oneof(fc.constantFrom(0x0d, 0x0a, 0x30), fc.nat(255)).map((byte) => String.fromCharCode(byte));
const chunk = fc
  .array(octet, { minLength: 1, maxLength: 40 })
  .map((octets) => octets.join(""))
  .chain((payload) => fc.tuple(size(payload.length), extension, fc.constant(payload)))
  .map(([length, ext, payload]) => `${length}${ext}\r\n${payload}\r\n`);
const trailer = fc.constantFrom("X: y", "x-sum:1", "Host: b", "content-length: 5", "grpc-status: 0", "Baggage:");
const body = fc
  .tuple(fc.array(chunk, { maxLength: 4 }), size(0), extension, fc.array(trailer, { maxLength: 3 }))
  .map(
    ([chunks, zero, ext, trailers]) =>
      `${chunks.join("")}${zero === "" ? "0" : zero}${ext}\r\n${trailers.map((line) => `${line}\r\n`).join("")}\r\n`,
  );
const damaged = fc
  .tuple(
    body,
    fc.array(fc.tuple(fc.nat(), fc.nat(2), nasty), { maxLength: 2 }),
    fc.constantFrom("", "GET / HTTP/1.1\r\n"),
  )
  .map(
    ([text, damages, behind]) =>
      damages.reduce((whole, [where, removed, inserted]) => {
        const at = where % (whole.length + 1);
        return whole.slice(0, at) + inserted + whole.slice(at + removed);
      }, text) + behind,
  );

interface Relayed {
  readonly verdict: string;
  readonly forwarded: string;
  readonly payloadBytes: number;
  readonly rest: string;
}

/** `cuts` are the lengths of the pieces, taken again and again. */
function relay(text: string, cuts: readonly number[], framing: boolean): Relayed {
  const scanner = new ChunkScanner(limits);
  scanner.reset(framing);
  let forwarded = "";
  let at = 0;
  for (let piece = 0; at < text.length && !scanner.done; piece++) {
    const length = Math.min(cuts[piece % cuts.length] ?? text.length, text.length - at);
    // With other bytes on both sides, as in a read buffer.
    const bytes = latin1(`\r\n0${text.slice(at, at + length)}0\r\n`);
    const after = scanner.scan(bytes, 3, 3 + length);
    if (after === FAULTY) return { verdict: scanner.fault?.name ?? "", forwarded, payloadBytes: -1, rest: "" };
    for (let s = 0; s < scanner.segments.length; s += 2) {
      forwarded += textOf(bytes, scanner.segments[s] ?? 0, scanner.segments[s + 1] ?? 0);
    }
    if (scanner.done) forwarded += textOf(scanner.trailer, 0, scanner.trailer.length);
    at += after - 3;
  }
  const verdict = scanner.done ? "done" : "incomplete";
  return { verdict, forwarded, payloadBytes: scanner.payloadBytes, rest: text.slice(at) };
}

const forbidden = /^(?:host|content-length|baggage|age):/i;

/** Slow and obvious: the body at the beginning of the text, or undefined when there is no whole valid one. */
function reference(text: string): { framed: string; payload: string; rest: string } | undefined {
  let rest = text;
  let framed = "";
  let payload = "";
  let extensionBytes = 0;
  for (;;) {
    const line = /^([0-9a-f]{1,16})((?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?)\r\n/i.exec(rest);
    if (line === null) return undefined;
    const [all, digits = "", ext = ""] = line;
    const length = BigInt(`0x${digits}`);
    extensionBytes += ext.length;
    if (extensionBytes > limits.chunkExtensionBytesMax || length >= 2n ** 53n) return undefined;
    rest = rest.slice(all.length);
    framed += `${digits}\r\n`;
    if (length === 0n) break;
    const data = rest.slice(0, Number(length));
    if (rest.slice(data.length, data.length + 2) !== "\r\n") return undefined;
    payload += data;
    framed += `${data}\r\n`;
    rest = rest.slice(data.length + 2);
  }
  const trailers = /^((?:[!#$%&'*+\-.^_`|~0-9a-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n/i.exec(rest);
  const section = trailers?.[1] ?? "";
  const fields = section.split("\r\n").slice(0, -1);
  if (trailers === null || section.length > limits.trailerBytesMax || fields.length > limits.headerCountMax)
    return undefined;
  const kept = fields.filter((field) => !forbidden.test(field));
  return {
    framed: `${framed}${kept.map((field) => `${field}\r\n`).join("")}\r\n`,
    payload,
    rest: rest.slice(trailers[0].length),
  };
}

const splits = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 });

describe("chunked bodies", () => {
  test("a slow and obvious decoder agrees, whatever the split", () => {
    fc.assert(
      fc.property(fc.oneof(body, damaged), splits, (text, cuts) => {
        const expected = reference(text);
        for (const way of [[text.length], [1], cuts]) {
          const framed = relay(text, way, true);
          const bare = relay(text, way, false);
          expect(framed.verdict === "done").toBe(expected !== undefined);
          expect(bare.verdict).toBe(framed.verdict);
          if (expected === undefined) continue;
          const payloadBytes = expected.payload.length;
          expect(framed).toEqual({ verdict: "done", forwarded: expected.framed, payloadBytes, rest: expected.rest });
          expect(bare).toEqual({ verdict: "done", forwarded: expected.payload, payloadBytes, rest: expected.rest });
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("any split gives the same verdict; what had been forwarded before a fault differs in length only", () => {
    fc.assert(
      fc.property(damaged, splits, (text, cuts) => {
        const whole = relay(text, [text.length], true);
        const bytes = relay(text, [1], true);
        const some = relay(text, cuts, true);
        expect(some.verdict).toBe(whole.verdict);
        expect(bytes.verdict).toBe(whole.verdict);
        expect(bytes.forwarded.startsWith(some.forwarded)).toBe(true);
        expect(some.forwarded.startsWith(whole.forwarded)).toBe(true);
        if (whole.verdict === "done" || whole.verdict === "incomplete") expect(bytes.forwarded).toBe(whole.forwarded);
        // Never a complete message of another length: what was forwarded alone is complete only if the whole was.
        if (whole.verdict !== "done") expect(reference(bytes.forwarded)).toBe(undefined);
      }),
      { numRuns: 3000 },
    );
  });
});
