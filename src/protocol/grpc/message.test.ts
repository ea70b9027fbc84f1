import * as fc from "fast-check";
import { expect, test } from "vitest";
import { encodeGrpcMessage } from "./message.ts";

test.each([
  ["no endpoint of pr-7: 10.0.0.7:8080", "no endpoint of pr-7: 10.0.0.7:8080"],
  ["100 %", "100 %25"],
  ["a\r\nb\tc\0", "a%0D%0Ab%09c%00"],
  ["käse ☃", "k%C3%A4se %E2%98%83"],
  ["~\u007F", "~%7F"],
  ["\uD800", "%EF%BF%BD"],
  ["", ""],
])("%j", (text, value) => {
  expect(encodeGrpcMessage(text)).toBe(value);
});

test("any text survives, in bytes that a field value may have", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const value = encodeGrpcMessage(text);
      expect(value).toMatch(/^[ -~]*$/);
      expect(decodeURIComponent(value)).toBe(text);
    }),
  );
});
