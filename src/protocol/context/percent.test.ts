import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Found } from "./found.ts";
import { percentDecode } from "./percent.ts";

function decoded(bytes: Uint8Array): Buffer {
  const found = new Found();
  percentDecode(bytes, 0, bytes.length, found);
  return Buffer.from(found.bytes.subarray(found.start, found.end));
}

const platform = (octets: Uint8Array): Buffer =>
  Buffer.from(new TextDecoder("utf-8", { ignoreBOM: true }).decode(octets));

/** Octets around every border of table 3-7 of the Unicode standard. */
const octet = fc.oneof(
  fc.constantFrom(0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf),
  fc.constantFrom(0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff),
  fc.integer({ min: 0, max: 255 }),
);

test("what is not UTF-8 is replaced exactly as the platform's decoder does", () => {
  fc.assert(
    fc.property(fc.array(octet, { maxLength: 12 }), (octets) => {
      const encoded = octets.map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
      expect(decoded(Buffer.from(encoded))).toEqual(platform(Uint8Array.from(octets)));
    }),
    { numRuns: 3000 },
  );
});

test("encoded text comes back, in upper and lower case, beside octets that were not encoded", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), (text, raw) => {
      const plain = raw.replaceAll("%", "");
      expect(decoded(Buffer.from(plain + encodeURIComponent(text)))).toEqual(Buffer.from(plain + text));
      expect(decoded(Buffer.from(encodeURIComponent(text).replace(/%../g, (octet) => octet.toLowerCase())))).toEqual(
        Buffer.from(text),
      );
    }),
  );
});

test.each([
  ["%", "%"],
  ["%4", "%4"],
  ["%4g", "%4g"],
  ["%g4", "%g4"],
  ["%%41", "%A"],
  ["%25%34%31", "%41"],
  ["%/0%:0%@1%G1%`1", "%/0%:0%@1%G1%`1"],
])("%s becomes %s", (encoded, text) => {
  expect(decoded(Buffer.from(encoded)).toString()).toBe(text);
});

test("decodes once, never twice", () => {
  expect(decoded(Buffer.from("%2541")).toString()).toBe("%41");
});
