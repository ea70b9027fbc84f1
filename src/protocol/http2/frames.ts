// Frames as they stand on the wire (RFC 9113 §4.1, §6): numbers, reading of heads and writing of whole frames. All
// functions work in place; writers need room for what they write and return the offset behind it.
import { copyBytes } from "../bytes.ts";

/** Frame types (RFC 9113 §6). Others are ignored (§5.5). */
export const frameTypes = {
  DATA: 0x0,
  HEADERS: 0x1,
  PRIORITY: 0x2,
  RST_STREAM: 0x3,
  SETTINGS: 0x4,
  PUSH_PROMISE: 0x5,
  PING: 0x6,
  GOAWAY: 0x7,
  WINDOW_UPDATE: 0x8,
  CONTINUATION: 0x9,
} as const;

/** Frame flags (RFC 9113 §6); ACK belongs to SETTINGS and PING. Undefined flags are ignored (§4.1). */
export const flags = {
  ACK: 0x01,
  END_STREAM: 0x01,
  END_HEADERS: 0x04,
  PADDED: 0x08,
  PRIORITY: 0x20,
} as const;

/** Bytes of a frame head (RFC 9113 §4.1). */
export const FRAME_HEAD_BYTES = 9;
/** Bytes of whole frames with a payload of fixed length. */
export const RST_STREAM_BYTES: number = FRAME_HEAD_BYTES + 4;
export const WINDOW_UPDATE_BYTES: number = FRAME_HEAD_BYTES + 4;
export const PING_BYTES: number = FRAME_HEAD_BYTES + 8;
/** It has no payload. @alias */
export const SETTINGS_ACK_BYTES: number = FRAME_HEAD_BYTES;
/** Bytes of a GOAWAY frame without debug data. */
export const GOAWAY_BYTES: number = FRAME_HEAD_BYTES + 8;
/** Bytes of one setting in a SETTINGS frame. */
export const SETTING_BYTES = 6;

/** The smallest and the default SETTINGS_MAX_FRAME_SIZE, which needs no agreement (RFC 9113 §6.5.2). */
export const FRAME_BYTES_DEFAULT = 16_384;
/** The largest stream id, window and window increment: 31 bits. */
export const MAX_31_BITS = 0x7fffffff;

/** What a client sends first (RFC 9113 §3.4), before its SETTINGS frame. */
export const PREFACE: Uint8Array = Uint8Array.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (character) =>
  character.charCodeAt(0),
);

/** Three bytes, unsigned: the length of the frame whose head begins at `at`. */
export function readUint24(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
}

/** Four bytes without the first bit, which is reserved and ignored: stream ids, increments (RFC 9113 §4.1). */
export function readUint31(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) & 0x7f) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

/** Four bytes, unsigned: error codes and values of settings. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

/** Whether `bytes[0, end)` begin as a server of HTTP/2 does: with the head of a SETTINGS frame (RFC 9113 §3.4). */
export function beginsWithSettings(bytes: Uint8Array, end: number): boolean {
  return (
    end >= FRAME_HEAD_BYTES &&
    readUint24(bytes, 0) % SETTING_BYTES === 0 &&
    bytes[3] === frameTypes.SETTINGS &&
    bytes[4] === 0 &&
    readUint32(bytes, 5) === 0
  );
}

/** Writes `value` in four bytes. */
function writeUint32(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
  return at + 4;
}

/**
 * Writes the head of a frame (RFC 9113 §4.1).
 *
 * @param length of the payload in bytes, below 2^24.
 */
export function writeFrameHead(
  out: Uint8Array,
  at: number,
  length: number,
  type: number,
  flagBits: number,
  streamId: number,
): number {
  out[at] = length >>> 16;
  out[at + 1] = length >>> 8;
  out[at + 2] = length;
  out[at + 3] = type;
  out[at + 4] = flagBits;
  out[at + 5] = streamId >>> 24;
  out[at + 6] = streamId >>> 16;
  out[at + 7] = streamId >>> 8;
  out[at + 8] = streamId;
  return at + FRAME_HEAD_BYTES;
}

/**
 * Writes a SETTINGS frame (RFC 9113 §6.5).
 *
 * @param pairs id, value, id, value...
 */
export function writeSettings(out: Uint8Array, at: number, pairs: readonly number[]): number {
  const count = pairs.length >> 1;
  let end = writeFrameHead(out, at, count * SETTING_BYTES, frameTypes.SETTINGS, 0, 0);
  for (let i = 0; i < count * 2; i += 2) {
    const id = pairs[i] as number;
    out[end] = id >>> 8;
    out[end + 1] = id;
    end = writeUint32(out, end + 2, pairs[i + 1] as number);
  }
  return end;
}

/** Writes the acknowledgement of a SETTINGS frame (RFC 9113 §6.5.3). */
export function writeSettingsAck(out: Uint8Array, at: number): number {
  return writeFrameHead(out, at, 0, frameTypes.SETTINGS, flags.ACK, 0);
}

/** Writes a RST_STREAM frame (RFC 9113 §6.4). */
export function writeRstStream(out: Uint8Array, at: number, streamId: number, code: number): number {
  return writeUint32(out, writeFrameHead(out, at, 4, frameTypes.RST_STREAM, 0, streamId), code);
}

/** Writes a WINDOW_UPDATE frame (RFC 9113 §6.9); stream id 0 is the connection, `increment` is in [1, 2^31-1]. */
export function writeWindowUpdate(out: Uint8Array, at: number, streamId: number, increment: number): number {
  return writeUint32(out, writeFrameHead(out, at, 4, frameTypes.WINDOW_UPDATE, 0, streamId), increment);
}

/** Writes a PING frame (RFC 9113 §6.7) with the eight bytes at `from[start]`. */
export function writePing(out: Uint8Array, at: number, ack: boolean, from: Uint8Array, start: number): number {
  const payload = writeFrameHead(out, at, 8, frameTypes.PING, ack ? flags.ACK : 0, 0);
  return copyBytes(from, start, start + 8, out, payload);
}

/** Writes a GOAWAY frame (RFC 9113 §6.8); it takes `GOAWAY_BYTES + debug.length`. */
export function writeGoaway(out: Uint8Array, at: number, lastId: number, code: number, debug: Uint8Array): number {
  let end = writeFrameHead(out, at, 8 + debug.length, frameTypes.GOAWAY, 0, 0);
  end = writeUint32(out, end, lastId);
  end = writeUint32(out, end, code);
  return copyBytes(debug, 0, debug.length, out, end);
}
