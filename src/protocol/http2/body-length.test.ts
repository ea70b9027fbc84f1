import { describe, expect, test } from "vitest";
import { EXCEEDED, UNBOUNDED, bodyMayEnd, responseBodyBytes, takeBody } from "./body-length.ts";

describe("RFC 9113 §8.1.1: Content-Length is the sum of the DATA payloads", () => {
  test("one frame and several", () => {
    expect(takeBody(4, 4)).toBe(0);
    expect(takeBody(takeBody(4, 1), 3)).toBe(0);
    expect(bodyMayEnd(0)).toBe(true);
  });

  test("less (h2spec http2 §8.1.2.6)", () => {
    expect(bodyMayEnd(takeBody(4, 3))).toBe(false);
    expect(bodyMayEnd(1)).toBe(false);
  });

  test("more (h2spec http2 §8.1.2.6)", () => {
    expect(takeBody(1, 4)).toBe(EXCEEDED);
    expect(takeBody(0, 1)).toBe(EXCEEDED);
    expect(takeBody(0, 0)).toBe(0);
  });

  test("without Content-Length the stream's end is the end", () => {
    expect(takeBody(UNBOUNDED, 1e9)).toBe(UNBOUNDED);
    expect(bodyMayEnd(UNBOUNDED)).toBe(true);
  });

  test("RFC 9110 §6.4.1: responses without content, whatever Content-Length says", () => {
    expect(responseBodyBytes(200, 100, true)).toBe(0);
    expect(responseBodyBytes(304, 100, false)).toBe(0);
    expect(responseBodyBytes(204, -1, false)).toBe(0);
    expect(responseBodyBytes(200, 100, false)).toBe(100);
    expect(responseBodyBytes(200, -1, false)).toBe(UNBOUNDED);
  });
});
