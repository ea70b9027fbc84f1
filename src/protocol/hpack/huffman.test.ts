import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { END_OF_STRING, codeBits, codes } from "./huffman-code.ts";
import { BAD_HUFFMAN, HuffmanDecoder, decodedBytesMax, decodedBytesMin } from "./huffman.ts";
import { BadBlock, decodeHuffman, encodeHuffman } from "./reference.ts";

const decoder = new HuffmanDecoder();

/** Text, or undefined when the string is refused. */
function decode(coded: Uint8Array): string | undefined {
  const out = Buffer.alloc(3 + decodedBytesMax(coded.length));
  const end = decoder.decode(coded, 0, coded.length, out, 3);
  if (end === BAD_HUFFMAN) return undefined;
  expect(end - 3).toBeGreaterThanOrEqual(decodedBytesMin(coded.length));
  expect(end - 3).toBeLessThanOrEqual(decodedBytesMax(coded.length));
  return out.toString("latin1", 3, end);
}

function expected(coded: Uint8Array): string | undefined {
  try {
    return decodeHuffman(Array.from(coded));
  } catch (error) {
    if (error instanceof BadBlock) return undefined;
    throw error;
  }
}

describe("the code of RFC 7541 Appendix B", () => {
  test.each([
    ["0", 0x0, 5],
    ["t", 0x9, 5],
    [" ", 0x14, 6],
    ["-", 0x16, 6],
    ["u", 0x2d, 6],
    [":", 0x5c, 7],
    ["z", 0x7b, 7],
    ["&", 0xf8, 8],
    ["?", 0x3fc, 10],
    ["|", 0x7fc, 11],
    ["#", 0xffa, 12],
    ["\0", 0x1ff8, 13],
    ["^", 0x3ffc, 14],
    ["{", 0x7ffe, 15],
    ["\\", 0x7fff0, 19],
    ["\x80", 0xfffe6, 20],
    ["\t", 0xffffea, 24],
    ["\xff", 0x3ffffee, 26],
    ["\x7f", 0xffffffc, 28],
    ["\n", 0x3ffffffc, 30],
  ])("has %j as %i in %i bits", (symbol, code, bits) => {
    expect([codes[symbol.charCodeAt(0)], codeBits[symbol.charCodeAt(0)]]).toEqual([code, bits]);
  });

  test("ends with the end of string, and is complete", () => {
    expect([codes[END_OF_STRING], codeBits[END_OF_STRING]]).toEqual([0x3fffffff, 30]);
    // Kraft's equation: no bits are left over that mean nothing.
    expect(codeBits.reduce((sum, bits) => sum + 2 ** (30 - bits), 0)).toBe(2 ** 30);
  });
});

describe("decoding", () => {
  test("reads every symbol alone, doubled, and among others", () => {
    for (let symbol = 0; symbol < 256; symbol++) {
      const each = String.fromCharCode(symbol);
      for (const text of [each, each + each, `a${each}`, `${each}a`, `x-1${each}=y${each}`]) {
        expect(decode(Uint8Array.from(encodeHuffman(text)))).toBe(text);
      }
    }
  });

  test.each([
    ["a padding of zeros", [0x18]],
    ["a padding of eight bits", [...encodeHuffman("www.example.com"), 0xff]],
    ["nothing but eight bits of padding", [0xff]],
    ["a padding of 16 bits", [0xff, 0xff]],
    ["end of string", [0xff, 0xff, 0xff, 0xff]],
    ["end of string behind text", [0x1f, 0xff, 0xff, 0xff, 0xff]],
    ["end of string before text", [0xff, 0xff, 0xff, 0xfc, 0x63]],
    ["a long code cut off", encodeHuffman("\n").slice(0, 3)],
  ])("refuses %s", (_, coded) => {
    expect(decode(Uint8Array.from(coded))).toBeUndefined();
  });

  test("tells that there was a control character", () => {
    for (const [text, control] of [
      ["plain", false],
      ["\xe4|~\\\xff", false],
      ["a\0b", true],
      ["\x7f", true],
      ["\r\n", true],
    ] as const) {
      decode(Uint8Array.from(encodeHuffman(text)));
      expect(decoder.sawControl).toBe(control);
    }
  });

  test("agrees with the reference on any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 24 }), (coded) => {
        expect(decode(coded)).toBe(expected(coded));
      }),
      { numRuns: 3000 },
    );
  });

  test("agrees with the reference on texts with a wrong end", () => {
    const text = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) });
    fc.assert(
      fc.property(text, fc.uint8Array({ maxLength: 2 }), (each, end) => {
        const coded = Uint8Array.from([...encodeHuffman(each), ...end]);
        expect(decode(coded)).toBe(expected(coded));
        if (end.length === 0) expect(decode(coded)).toBe(each);
      }),
      { numRuns: 2000 },
    );
  });
});
