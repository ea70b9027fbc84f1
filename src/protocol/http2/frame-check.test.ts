// Frame heads one by one, with the cases of h2spec (http2 §4.2, §4.3, §5.5, §6.1 to §6.10) among them.
import { describe, expect, test } from "vitest";
import { OK, STREAM_ERROR, errorCodes } from "./error-codes.ts";
import { Payload, checkDependency, checkFrameHead, readHeadersPayload } from "./frame-check.ts";
import { flags, frameTypes } from "./frames.ts";

const { PROTOCOL_ERROR, FRAME_SIZE_ERROR } = errorCodes;
const MAX = 16_384;
const UNKNOWN = 0x16;
const t = frameTypes;

/** section, what, type, flags, stream id, length, stream of the open header block, verdict. */
type Row = readonly [string, string, number, number, number, number, number, number];

const rows: readonly Row[] = [
  ["4.2", "DATA of the maximum size", t.DATA, 0, 1, MAX, 0, OK],
  ["4.2", "DATA above it", t.DATA, 0, 1, MAX + 1, 0, FRAME_SIZE_ERROR],
  ["4.2", "HEADERS above it", t.HEADERS, 0, 1, MAX + 1, 0, FRAME_SIZE_ERROR],
  ["4.2", "CONTINUATION above it", t.CONTINUATION, 0, 1, MAX + 1, 1, FRAME_SIZE_ERROR],
  ["4.2", "SETTINGS above it", t.SETTINGS, 0, 0, MAX + 2, 0, FRAME_SIZE_ERROR],
  ["4.2", "an unknown frame above it", UNKNOWN, 0, 0, MAX + 1, 0, FRAME_SIZE_ERROR],

  ["4.3", "CONTINUATION of the block", t.CONTINUATION, 0, 1, 5, 1, OK],
  ["4.3", "CONTINUATION without bytes", t.CONTINUATION, 0, 1, 0, 1, OK],
  ["4.3", "PRIORITY inside a block", t.PRIORITY, 0, 1, 5, 1, PROTOCOL_ERROR],
  ["4.3", "HEADERS of another stream inside a block", t.HEADERS, 0, 3, 5, 1, PROTOCOL_ERROR],
  ["6.10", "HEADERS of the same stream inside a block", t.HEADERS, 0, 1, 5, 1, PROTOCOL_ERROR],
  ["6.10", "CONTINUATION of another stream", t.CONTINUATION, 0, 3, 5, 1, PROTOCOL_ERROR],
  ["6.10", "CONTINUATION of stream 0", t.CONTINUATION, 0, 0, 5, 1, PROTOCOL_ERROR],
  ["6.10", "DATA inside a block", t.DATA, 0, 1, 5, 1, PROTOCOL_ERROR],
  ["6.10", "PING inside a block", t.PING, 0, 0, 8, 1, PROTOCOL_ERROR],
  ["6.10", "RST_STREAM inside a block", t.RST_STREAM, 0, 1, 4, 1, PROTOCOL_ERROR],
  ["6.10", "CONTINUATION without a block", t.CONTINUATION, flags.END_HEADERS, 1, 5, 0, PROTOCOL_ERROR],
  ["5.5", "an unknown frame inside a block", UNKNOWN, 0, 0, 5, 1, PROTOCOL_ERROR],
  ["5.5", "an unknown frame", UNKNOWN, 0xff, 0, 0, 0, OK],
  ["5.5", "an unknown frame on a stream", 0xff, 0, 7, 12, 0, OK],
  ["4.1", "undefined flags", t.PING, 0xfe, 0, 8, 0, OK],

  ["6.1", "DATA on stream 0", t.DATA, 0, 0, 4, 0, PROTOCOL_ERROR],
  ["6.1", "DATA without bytes", t.DATA, flags.END_STREAM, 1, 0, 0, OK],
  ["6.1", "DATA without its pad length", t.DATA, flags.PADDED, 1, 0, 0, FRAME_SIZE_ERROR],
  ["6.2", "HEADERS on stream 0", t.HEADERS, 0, 0, 4, 0, PROTOCOL_ERROR],
  ["6.2", "HEADERS without bytes", t.HEADERS, 0, 1, 0, 0, OK],
  ["6.2", "HEADERS without its pad length", t.HEADERS, flags.PADDED, 1, 0, 0, FRAME_SIZE_ERROR],
  ["6.2", "HEADERS with half a priority", t.HEADERS, flags.PRIORITY, 1, 4, 0, FRAME_SIZE_ERROR],
  ["6.2", "HEADERS with priority alone", t.HEADERS, flags.PRIORITY, 1, 5, 0, OK],
  ["6.2", "HEADERS padded, half a priority", t.HEADERS, flags.PRIORITY | flags.PADDED, 1, 5, 0, FRAME_SIZE_ERROR],
  ["6.3", "PRIORITY on stream 0", t.PRIORITY, 0, 0, 5, 0, PROTOCOL_ERROR],
  ["6.3", "PRIORITY of 4 bytes", t.PRIORITY, 0, 1, 4, 0, STREAM_ERROR | FRAME_SIZE_ERROR],
  ["6.3", "PRIORITY of 6 bytes", t.PRIORITY, 0, 1, 6, 0, STREAM_ERROR | FRAME_SIZE_ERROR],
  ["6.3", "PRIORITY", t.PRIORITY, 0, 1, 5, 0, OK],
  ["6.4", "RST_STREAM on stream 0", t.RST_STREAM, 0, 0, 4, 0, PROTOCOL_ERROR],
  ["6.4", "RST_STREAM of 3 bytes", t.RST_STREAM, 0, 1, 3, 0, FRAME_SIZE_ERROR],
  ["6.4", "RST_STREAM", t.RST_STREAM, 0, 1, 4, 0, OK],
  ["6.5", "SETTINGS on a stream", t.SETTINGS, 0, 1, 6, 0, PROTOCOL_ERROR],
  ["6.5", "SETTINGS of 3 bytes", t.SETTINGS, 0, 0, 3, 0, FRAME_SIZE_ERROR],
  ["6.5", "SETTINGS without bytes", t.SETTINGS, 0, 0, 0, 0, OK],
  ["6.5", "SETTINGS", t.SETTINGS, 0, 0, 12, 0, OK],
  ["6.5", "an acknowledgement", t.SETTINGS, flags.ACK, 0, 0, 0, OK],
  ["6.5", "an acknowledgement with bytes", t.SETTINGS, flags.ACK, 0, 6, 0, FRAME_SIZE_ERROR],
  ["6.6", "PUSH_PROMISE", t.PUSH_PROMISE, flags.END_HEADERS, 1, 8, 0, PROTOCOL_ERROR],
  ["6.7", "PING on a stream", t.PING, 0, 1, 8, 0, PROTOCOL_ERROR],
  ["6.7", "PING of 6 bytes", t.PING, 0, 0, 6, 0, FRAME_SIZE_ERROR],
  ["6.7", "the answer to a PING", t.PING, flags.ACK, 0, 8, 0, OK],
  ["6.8", "GOAWAY on a stream", t.GOAWAY, 0, 1, 8, 0, PROTOCOL_ERROR],
  ["6.8", "GOAWAY of 7 bytes", t.GOAWAY, 0, 0, 7, 0, FRAME_SIZE_ERROR],
  ["6.8", "GOAWAY with debug data", t.GOAWAY, 0, 0, 100, 0, OK],
  ["6.9", "WINDOW_UPDATE of 3 bytes", t.WINDOW_UPDATE, 0, 0, 3, 0, FRAME_SIZE_ERROR],
  ["6.9", "WINDOW_UPDATE of 5 bytes on a stream", t.WINDOW_UPDATE, 0, 1, 5, 0, FRAME_SIZE_ERROR],
  ["6.9", "WINDOW_UPDATE of the connection", t.WINDOW_UPDATE, 0, 0, 4, 0, OK],
  ["6.9", "WINDOW_UPDATE of a stream", t.WINDOW_UPDATE, 0, 1, 4, 0, OK],
];

describe("checkFrameHead", () => {
  test.each(rows)("RFC 9113 §%s: %s", (_, __, type, flagBits, streamId, length, open, expected) => {
    expect(checkFrameHead(type, flagBits, streamId, length, MAX, open)).toBe(expected);
  });
});

describe("payloads", () => {
  const payload = new Payload();
  const range = (): readonly number[] => [payload.start, payload.end];
  const headers = (flagBits: number, ...bytes: readonly number[]): number =>
    readHeadersPayload(payload, Uint8Array.of(9, ...bytes), 1, bytes.length + 1, flagBits, 3);

  test("RFC 9113 §6.2: HEADERS, padded, with priority, with both", () => {
    expect(headers(0, 0x82)).toBe(OK);
    expect(range()).toEqual([1, 2]);
    expect(headers(flags.PADDED, 1, 0x82, 0)).toBe(OK);
    expect(range()).toEqual([2, 3]);
    expect(headers(flags.PRIORITY, 0, 0, 0, 0, 255, 0x82)).toBe(OK);
    expect(range()).toEqual([6, 7]);
    expect(headers(flags.PADDED | flags.PRIORITY, 1, 0x80, 0, 0, 1, 255, 0x82, 0)).toBe(OK);
    expect(range()).toEqual([7, 8]);
  });

  test("RFC 9113 §6.2: padding that reaches into the fragment's place", () => {
    expect(headers(flags.PADDED, 2, 0x82)).toBe(PROTOCOL_ERROR);
    expect(headers(flags.PADDED, 255, 0x82)).toBe(PROTOCOL_ERROR);
    expect(headers(flags.PADDED, 1)).toBe(PROTOCOL_ERROR);
    expect(headers(flags.PADDED | flags.PRIORITY, 1, 0, 0, 0, 0, 255)).toBe(PROTOCOL_ERROR);
    expect(headers(flags.PADDED | flags.PRIORITY, 0, 0, 0, 0, 0, 255)).toBe(OK);
    expect(range()).toEqual([7, 7]);
  });

  test("RFC 9113 §5.3.2: HEADERS that depend on themselves, exclusively or not; the fragment is still to be decoded", () => {
    expect(headers(flags.PRIORITY, 0, 0, 0, 3, 255, 0x82)).toBe(STREAM_ERROR | PROTOCOL_ERROR);
    expect(range()).toEqual([6, 7]);
    expect(headers(flags.PRIORITY, 0x80, 0, 0, 3, 255, 0x82)).toBe(STREAM_ERROR | PROTOCOL_ERROR);
  });

  test("RFC 9113 §5.3.2: PRIORITY that depends on itself", () => {
    expect(checkDependency(Uint8Array.of(0x80, 0, 0, 1, 9), 0, 1)).toBe(STREAM_ERROR | PROTOCOL_ERROR);
    expect(checkDependency(Uint8Array.of(0, 0, 0, 0, 9), 0, 1)).toBe(OK);
  });
});
