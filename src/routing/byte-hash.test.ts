import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { foldByte, hashBytes } from "./byte-hash.ts";

/** HalfSipHash as its authors wrote it, with any number of rounds: https://github.com/veorq/SipHash/blob/master/halfsiphash.c */
function halfSipHash(input: Uint8Array, low: number, high: number, compress: number, finish: number): number {
  const rotate = (word: number, by: number): number => (word << by) | (word >>> (32 - by));
  const v = { a: low, b: high, c: 0x6c796765 ^ low, d: 0x74656462 ^ high };
  const round = (): void => {
    v.a = (v.a + v.b) | 0;
    v.b = rotate(v.b, 5) ^ v.a;
    v.a = rotate(v.a, 16);
    v.c = (v.c + v.d) | 0;
    v.d = rotate(v.d, 8) ^ v.c;
    v.a = (v.a + v.d) | 0;
    v.d = rotate(v.d, 7) ^ v.a;
    v.c = (v.c + v.b) | 0;
    v.b = rotate(v.b, 13) ^ v.c;
    v.c = rotate(v.c, 16);
  };
  const padded = Buffer.alloc(Math.floor(input.length / 4) * 4 + 4);
  padded.set(input);
  padded[padded.length - 1] = input.length & 0xff;
  for (let at = 0; at < padded.length; at += 4) {
    const word = padded.readInt32LE(at);
    v.d ^= word;
    for (let count = 0; count < compress; count++) round();
    v.a ^= word;
  }
  v.c ^= 0xff;
  for (let count = 0; count < finish; count++) round();
  return v.b ^ v.d;
}

const KEY_LOW = 0x03020100;
const KEY_HIGH = 0x07060504;

describe("HalfSipHash", () => {
  test("the reference in this file gives the published vectors of HalfSipHash-2-4", () => {
    // vectors.h, vectors_hsip32: input 00 01 02 ..., key 00 to 07.
    const published = ["a9359f5b", "27475ab8", "fa62a603", "8afee704"];
    for (const [length, expected] of published.entries()) {
      const input = Uint8Array.from({ length }, (_, index) => index);
      const hash = Buffer.alloc(4);
      hash.writeInt32LE(halfSipHash(input, KEY_LOW, KEY_HIGH, 2, 4));
      expect(hash.toString("hex")).toBe(expected);
    }
  });

  test("hashBytes agrees with the reference at one and three rounds, wherever the bytes stand", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 64 }),
        fc.nat(8),
        fc.integer(),
        fc.integer(),
        (input, shift, low, high) => {
          const bytes = Buffer.concat([Buffer.alloc(shift, 0xaa), input, Buffer.alloc(3, 0xbb)]);
          const hash = hashBytes(bytes, shift, shift + input.length, low, high, false);
          expect(hash).toBe(halfSipHash(input, low, high, 1, 3));
        },
      ),
    );
  });

  test("with folding, ASCII capitals count as small letters and nothing else does", () => {
    for (let byte = 0; byte < 256; byte++) {
      const letter = String.fromCharCode(byte);
      const folded = byte < 128 ? letter.toLowerCase().charCodeAt(0) : byte;
      expect(foldByte(byte)).toBe(folded);
    }
    const hash = (text: string): number => hashBytes(Buffer.from(text), 0, Buffer.byteLength(text), 1, 2, true);
    expect(hash("Checkout.SHOP")).toBe(hash("checkout.shop"));
    expect(hash("Ä")).not.toBe(hash("ä"));
  });
});
