// What the raw HTTP/2 parties of the bench share: frames (RFC 9113 §4 and §6) and the reading of them. Small and fast because
// it knows what is not needed: payloads that nobody looks at are never gathered, only counted.

import { Buffer } from "node:buffer";

export const clientPreface: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export const frameTypes = {
  data: 0x0,
  headers: 0x1,
  rstStream: 0x3,
  settings: 0x4,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

/** END_STREAM of DATA and HEADERS; the same bit is ACK in SETTINGS and PING. */
export const END_STREAM = 0x1;
export const ACK = 0x1;
export const END_HEADERS = 0x4;
export const FRAME_HEAD_BYTES = 9;

export const settingIds = { headerTableSize: 0x1, initialWindowSize: 0x4, maxConcurrentStreams: 0x3 } as const;
/** What both sides assume until they are told otherwise (RFC 9113 §6.5.2 and §6.9.2). */
export const defaultWindowBytes = 65_535;
export const defaultTableBytes = 4_096;

/** Writes a frame head. @returns the offset behind it. */
export function writeFrameHead(
  out: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): number {
  out[at] = length >>> 16;
  out[at + 1] = length >>> 8;
  out[at + 2] = length;
  out[at + 3] = type;
  out[at + 4] = flags;
  out[at + 5] = streamId >>> 24;
  out[at + 6] = streamId >>> 16;
  out[at + 7] = streamId >>> 8;
  out[at + 8] = streamId;
  return at + FRAME_HEAD_BYTES;
}

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const frame = Buffer.alloc(FRAME_HEAD_BYTES + settings.length * 6);
  let at = writeFrameHead(frame, 0, settings.length * 6, frameTypes.settings, 0, 0);
  for (const [id, value] of settings) {
    at = frame.writeUInt16BE(id, at);
    at = frame.writeUInt32BE(value, at);
  }
  return frame;
}

export function settingsAckFrame(): Buffer {
  const frame = Buffer.alloc(FRAME_HEAD_BYTES);
  writeFrameHead(frame, 0, 0, frameTypes.settings, ACK, 0);
  return frame;
}

export function windowUpdateFrame(streamId: number, bytes: number): Buffer {
  const frame = Buffer.alloc(FRAME_HEAD_BYTES + 4);
  frame.writeUInt32BE(bytes, writeFrameHead(frame, 0, 4, frameTypes.windowUpdate, 0, streamId));
  return frame;
}

/** @param payload of the PING that is answered. */
export function pingAckFrame(payload: Buffer): Buffer {
  const frame = Buffer.alloc(FRAME_HEAD_BYTES + payload.length);
  payload.copy(frame, writeFrameHead(frame, 0, payload.length, frameTypes.ping, ACK, 0));
  return frame;
}

/** Calls back with each pair of a SETTINGS payload. */
export function eachSetting(payload: Buffer, visit: (id: number, value: number) => void): void {
  for (let at = 0; at + 6 <= payload.length; at += 6) visit(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
}

/** What a `FrameReader` tells. */
export interface FrameHandler {
  /** Whether the payload of this type of frame is needed as a whole. Of others only the length is told. */
  wantsPayload(type: number): boolean;
  /** @param payload empty when it is not wanted; valid only during the call. */
  onFrame(type: number, flags: number, streamId: number, length: number, payload: Buffer): void;
}

const nothing = Buffer.alloc(0);

/** Cuts what a socket reads into frames. A frame without its payload is told as soon as its last byte has come. */
export class FrameReader {
  readonly #handler: FrameHandler;
  #left: Buffer = nothing;
  /** Bytes of an unwanted payload still to come, and the frame they belong to. */
  #skip = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  #length = 0;

  constructor(handler: FrameHandler) {
    this.#handler = handler;
  }

  read(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#left.length > 0) {
      bytes = Buffer.concat([this.#left, chunk]);
      this.#left = nothing;
    }
    let at = 0;
    if (this.#skip > 0) {
      at = Math.min(this.#skip, bytes.length);
      this.#skip -= at;
      if (this.#skip > 0) return;
      this.#handler.onFrame(this.#type, this.#flags, this.#streamId, this.#length, nothing);
    }
    while (at + FRAME_HEAD_BYTES <= bytes.length) {
      const length = bytes.readUIntBE(at, 3);
      const type = bytes[at + 3] as number;
      const flags = bytes[at + 4] as number;
      const streamId = bytes.readUInt32BE(at + 5) & 0x7fffffff;
      const start = at + FRAME_HEAD_BYTES;
      const end = start + length;
      if (this.#handler.wantsPayload(type)) {
        if (end > bytes.length) break;
        this.#handler.onFrame(type, flags, streamId, length, bytes.subarray(start, end));
      } else if (end > bytes.length) {
        this.#type = type;
        this.#flags = flags;
        this.#streamId = streamId;
        this.#length = length;
        this.#skip = end - bytes.length;
        return;
      } else {
        this.#handler.onFrame(type, flags, streamId, length, nothing);
      }
      at = end;
    }
    if (at < bytes.length) this.#left = bytes.subarray(at);
  }
}
