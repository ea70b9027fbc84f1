// HTTP/2 frames for tests: written and read byte by byte, in no hurry, and not the product's code.

/** Frame types (RFC 9113 §6). */
export const types = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Frame flags; ACK is the same bit as END_STREAM. */
export const flags = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const;

/** Setting ids (RFC 9113 §6.5.2, RFC 8441 §3). */
export const settingIds = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  enableConnectProtocol: 8,
} as const;

/** Error codes (RFC 9113 §7). */
export const codes = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSizeError: 6,
  refusedStream: 7,
  cancel: 8,
  compressionError: 9,
  connectError: 10,
  enhanceYourCalm: 11,
  inadequateSecurity: 12,
  http11Required: 13,
} as const;

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
const HEAD_BYTES = 9;
/** Room for padding and priority within the smallest maximum of a frame. */
const SPLIT_BYTES = 16_000;

/** One frame as it came. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

const NOTHING = Buffer.alloc(0);

/** A whole frame. `length` may lie about the payload. */
export function frame(
  type: number,
  frameFlags: number,
  streamId: number,
  payload: Uint8Array = NOTHING,
  length = payload.length,
): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUIntBE(length, 0, 3);
  head[3] = type;
  head[4] = frameFlags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** A SETTINGS frame; ids may repeat. */
export function settingsFrame(...settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(6 * settings.length);
  for (const [n, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, 6 * n);
    payload.writeUInt32BE(value, 6 * n + 2);
  }
  return frame(types.settings, 0, 0, payload);
}

/** A frame whose payload begins with a 32-bit number: RST_STREAM, WINDOW_UPDATE. */
export function numberFrame(type: number, streamId: number, value: number): Buffer {
  return frame(type, 0, streamId, uint32(value));
}

/** A GOAWAY frame. */
export function goawayFrame(lastId: number, code: number, debug = ""): Buffer {
  return frame(types.goaway, 0, 0, Buffer.concat([uint32(lastId), uint32(code), Buffer.from(debug)]));
}

/** A PRIORITY frame, or what stands before the block of a HEADERS frame with that flag (RFC 9113 §6.3). */
export function priorityPayload(dependsOn: number, weight: number): Buffer {
  return Buffer.concat([uint32(dependsOn), Buffer.of(weight)]);
}

/** `payload` with padding (RFC 9113 §6.1): its length before, zeros behind. */
export function padded(payload: Uint8Array, padBytes: number): Buffer {
  return Buffer.concat([Buffer.of(padBytes), payload, Buffer.alloc(padBytes)]);
}

/** How a head or a frame of data is sent. */
export interface SendOptions {
  readonly endStream?: boolean;
  /** Bytes of padding. */
  readonly padBytes?: number;
  /** A head in frames of at most so many bytes: HEADERS and CONTINUATION. */
  readonly splitBytes?: number;
  /** The priority part of a HEADERS frame. */
  readonly priority?: Buffer;
}

/** A header block in its frames. */
export function headFrames(streamId: number, block: Buffer, options: SendOptions): Buffer[] {
  const { priority, padBytes, splitBytes = SPLIT_BYTES } = options;
  const parts: Buffer[] = [];
  for (let at = 0; at === 0 || at < block.length; at += splitBytes) {
    const part = block.subarray(at, at + splitBytes);
    const last = at + splitBytes >= block.length ? flags.endHeaders : 0;
    if (at > 0) {
      parts.push(frame(types.continuation, last, streamId, part));
      continue;
    }
    const inner = priority === undefined ? part : Buffer.concat([priority, part]);
    const set =
      last |
      (options.endStream === true ? flags.endStream : 0) |
      (priority === undefined ? 0 : flags.priority) |
      (padBytes === undefined ? 0 : flags.padded);
    parts.push(frame(types.headers, set, streamId, padBytes === undefined ? inner : padded(inner, padBytes)));
  }
  return parts;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The payload of a DATA or HEADERS frame without padding and priority. */
export function unpadded({ type, flags: set, payload }: Frame): Buffer {
  const isPadded = (set & flags.padded) !== 0;
  const start = (isPadded ? 1 : 0) + (type === types.headers && (set & flags.priority) !== 0 ? 5 : 0);
  return payload.subarray(start, payload.length - (isPadded ? (payload[0] ?? 0) : 0));
}

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #bytes = 0;

  /** The frames that are complete with this chunk. */
  read(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      if (this.#bytes < HEAD_BYTES) return frames;
      const whole = this.#whole();
      const length = whole.readUIntBE(0, 3);
      const end = HEAD_BYTES + length;
      if (whole.length < end) return frames;
      frames.push({
        type: whole[3] ?? 0,
        flags: whole[4] ?? 0,
        streamId: whole.readUInt32BE(5) & 0x7fffffff,
        payload: whole.subarray(HEAD_BYTES, end),
      });
      this.#chunks = [whole.subarray(end)];
      this.#bytes -= end;
    }
  }

  #whole(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? NOTHING;
  }
}
