import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { latin1 } from "../bytes.ts";
import { parseGrpcTimeout, writeGrpcTimeout } from "./timeout.ts";

const parse = (text: string): number => {
  const bytes = latin1(`9${text}9`);
  return parseGrpcTimeout(bytes, 1, bytes.length - 1);
};

describe("read", () => {
  test.each([
    ["1H", 3_600_000],
    ["2M", 120_000],
    ["30S", 30_000],
    ["250m", 250],
    ["3u", 0.003],
    ["5n", 0.000_005],
    ["0n", 0],
    ["00000100m", 100],
    ["99999999H", 99_999_999 * 3_600_000],
  ])("%s", (text, ms) => {
    expect(parse(text)).toBe(ms);
  });

  test.each([
    "",
    "S",
    "1",
    "100",
    "123456789m",
    "000000001S",
    "1s",
    "1h",
    "1x",
    "-1S",
    "+1S",
    " 1S",
    "1 S",
    "1.5S",
    "1SS",
  ])("%j is none", (text) => {
    expect(parse(text)).toBe(-1);
  });
});

describe("written", () => {
  test.each([
    [1000, "1000m"],
    [0.25, "250000n"],
    [99.5, "99500000n"],
    [1500.5, "1500500u"],
    [100_000_000, "100000S"],
    [0, "0n"],
    [-5, "0n"],
    [Number.NaN, "0n"],
    [Number.POSITIVE_INFINITY, "99999999H"],
  ])("%d ms", (ms, text) => {
    expect(writeGrpcTimeout(ms)).toBe(text);
  });

  test("never more than asked for, and hardly less", () => {
    const msMax = 99_999_999 * 3_600_000;
    fc.assert(
      fc.property(fc.double({ min: 0.1, max: msMax, noNaN: true }), (ms) => {
        const text = writeGrpcTimeout(ms);
        expect(text).toMatch(/^\d{1,8}[HMSmun]$/);
        // The double itself may be off in its last place.
        expect(parse(text)).toBeLessThanOrEqual(ms * (1 + Number.EPSILON));
        expect(parse(text)).toBeGreaterThan(ms * (1 - 1e-5) - 1e-6);
      }),
    );
  });
});
