import { describe, expect, test } from "vitest";
import { latin1 } from "../bytes.ts";
import { errorCodes } from "../http2/error-codes.ts";
import { grpcStatuses, statusOfField, statusOfHttp, statusOfReset } from "./status.ts";

const read = (text: string): number => {
  // Something on either side, which must not be looked at.
  const bytes = latin1(`1${text}1`);
  return statusOfField(bytes, 1, bytes.length - 1);
};

describe("grpc-status", () => {
  test("every code", () => {
    expect(Object.values(grpcStatuses).map((code) => read(String(code)))).toEqual(Object.values(grpcStatuses));
  });

  test.each(["", "17", "99", "00", "07", "-1", "+1", " 1", "1 ", "1a", "a", ":", "/", "1:", "1/", "100", "016"])(
    "%j is none",
    (text) => {
      expect(read(text)).toBe(-1);
    },
  );
});

test("a response without grpc-status means what its HTTP status means", () => {
  const statuses = [200, 400, 401, 403, 404, 429, 500, 502, 503, 504, 0];
  expect(statuses.map(statusOfHttp)).toEqual([2, 13, 16, 7, 12, 14, 2, 14, 14, 14, 2]);
});

test("a reset stream means what its error code means", () => {
  const { NO_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY } = errorCodes;
  const codes = [NO_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, 0xdead];
  expect(codes.map(statusOfReset)).toEqual([13, 14, 1, 8, 7, 13]);
});
