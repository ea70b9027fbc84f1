// Connections at random: the encoder against a decoder that is obviously right, the decoder against the same one on blocks of any
// kind, valid and damaged.
import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { FieldTable } from "../field-table.ts";
import { http2Fields } from "../http2/field-ids.ts";
import { COMPRESSION_ERROR, DECODED, HpackDecoder, LIST_TOO_LARGE } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";
import { FieldBlock, makeField } from "./field.ts";
import { BadBlock, ReferenceDecoder, type TextField, encodeHuffman } from "./reference.ts";
import { StaticFields } from "./static-fields.ts";
import { encodeBlock, textsOf } from "./testing.ts";

const table = new FieldTable(["baggage"], http2Fields);
const statics = new StaticFields(table);
const unlimited = { listBytesMax: 1 << 24, countMax: 1 << 16 };

// Few names and values, so that they recur; some large, so that tables overflow.
const name = fc.oneof(
  fc.constantFrom(":method", ":path", ":authority", "cookie", "traceparent", "baggage", "content-length", "x-a", "x-b"),
  fc.integer({ min: 0, max: 40 }).map((i) => `x-name-${i}`),
  fc.string({ minLength: 1, maxLength: 8, unit: "binary-ascii" }),
);
const value = fc.oneof(
  fc.constantFrom("", "GET", "/", "/a?b", "0", "a rather usual value of some length"),
  fc.integer({ min: 0, max: 50 }).map((i) => `value ${i}`),
  fc
    .tuple(fc.constantFrom("\xe4", "x", "\n"), fc.integer({ min: 0, max: 1500 }))
    .map(([unit, times]) => unit.repeat(times)),
);
const sentField = fc.record({
  name,
  value,
  neverIndexed: fc.boolean(),
  mayIndex: fc.boolean().map((plain) => !plain),
});
const action = fc.oneof(
  { weight: 8, arbitrary: fc.array(sentField, { maxLength: 12 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, 64, 300, 4096, 10_000, 65_536) },
);

test("what is encoded is decoded, by both decoders, with the same tables", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 30 }), fc.constantFrom(100, 4096, 16_384), (actions, tableBytes) => {
      const encoder = new HpackEncoder(tableBytes);
      const reference = new ReferenceDecoder(65_536);
      const decoder = new HpackDecoder(statics, 65_536);
      const block = new FieldBlock();
      const decoded = new FieldBlock();
      for (const each of actions) {
        if (typeof each === "number") {
          encoder.setPeerTableBytesMax(each);
          continue;
        }
        block.clear();
        for (const sent of each) block.add(makeField(sent.name, sent.value, table, sent));
        const out = Buffer.alloc(block.encodedBytesMax);
        const end = encodeBlock(encoder, block, out);
        expect(end).toBeLessThanOrEqual(block.encodedBytesMax);
        const texts = textsOf(block);
        expect(reference.decode(out.subarray(0, end))).toEqual(texts);
        expect(decoder.decode(out, 0, end, decoded, unlimited)).toBe(DECODED);
        expect(textsOf(decoded)).toEqual(texts);
        expect(decoded.fields.slice(0, decoded.count).map((field) => field.neverIndexed)).toEqual(
          each.map((sent) => sent.neverIndexed),
        );
      }
    }),
    { numRuns: 300 },
  );
});

const integer = (first: number, bits: number, number: number): number[] => {
  const mask = 2 ** bits - 1;
  if (number < mask) return [first | number];
  const bytes = [first | mask];
  let rest = number - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return [...bytes, rest];
};
const text = (characters: string, coded: boolean): number[] => {
  const bytes = coded ? encodeHuffman(characters) : [...Buffer.from(characters, "latin1")];
  return [...integer(coded ? 0x80 : 0, 7, bytes.length), ...bytes];
};
const index = fc.oneof(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 0, max: 200 }));
const instruction = fc.oneof(
  { weight: 6, arbitrary: index.map((number) => integer(0x80, 7, number)) },
  {
    weight: 8,
    arbitrary: fc
      .tuple(
        fc.constantFrom([0x40, 6], [0x40, 6], [0x00, 4], [0x10, 4]),
        index,
        fc.boolean(),
        name,
        value,
        fc.boolean(),
      )
      .map(([[first, bits], number, named, nameText, valueText, coded]) => [
        ...integer(first as number, bits as number, named ? number : 0),
        ...(named ? [] : text(nameText, coded)),
        ...text(valueText, coded),
      ]),
  },
  { weight: 1, arbitrary: fc.constantFrom(0, 50, 200, 4096, 4097).map((number) => integer(0x20, 5, number)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 5 }).map((bytes) => Array.from(bytes)) },
);
const anyBlock = fc.array(instruction, { maxLength: 10 }).map((parts) => Uint8Array.from(parts.flat()));

test("any sequence of blocks is understood as the reference does, and within limits as far as they go", () => {
  fc.assert(
    fc.property(fc.array(anyBlock, { maxLength: 12 }), fc.integer({ min: 0, max: 3000 }), (blocks, listBytesMax) => {
      const reference = new ReferenceDecoder(4096);
      const decoder = new HpackDecoder(statics, 4096);
      const limited = new HpackDecoder(statics, 4096);
      const block = new FieldBlock();
      for (const bytes of blocks) {
        const expected = decodeOrNothing(reference, bytes);
        const result = decoder.decode(bytes, 0, bytes.length, block, unlimited);
        if (expected === undefined) {
          expect(result).toBe(COMPRESSION_ERROR);
          return;
        }
        expect(result).toBe(DECODED);
        expect(textsOf(block)).toEqual(expected);

        const within = limited.decode(bytes, 0, bytes.length, block, { listBytesMax, countMax: 5 });
        const sizes = expected.map((field) => field[0].length + field[1].length + 32);
        const fits = expected.length <= 5 && sizes.reduce((sum, size) => sum + size, 0) <= listBytesMax;
        expect(within).toBe(fits ? DECODED : LIST_TOO_LARGE);
        expect(textsOf(block)).toEqual(expected.slice(0, block.count));
        expect(block.listBytes).toBeLessThanOrEqual(listBytesMax);
      }
    }),
    { numRuns: 1500 },
  );
});

function decodeOrNothing(reference: ReferenceDecoder, bytes: Uint8Array): TextField[] | undefined {
  try {
    return reference.decode(bytes);
  } catch (error) {
    if (error instanceof BadBlock) return undefined;
    throw error;
  }
}
