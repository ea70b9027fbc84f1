// Takes the bytes of an HTTP/2 connection apart into frames (RFC 9113 §4.1).
//
// Guarantees: a frame is shown by its head before its payload is waited for, so that one that breaks a rule is not read; every
// frame but DATA is handed over whole; DATA is handed over as it arrives, cut through, and never copied here.
import { coarse } from "../../base/clock.ts";
import { FRAME_HEAD_BYTES, flags, frameTypes, readUint24, readUint31 } from "../../protocol/http2/frames.ts";
import { HeldBytes } from "../held-bytes.ts";

/** Who hears of frames. */
export interface FrameReceiver {
  /** Nothing more is taken in. */
  readonly ended: boolean;
  /** The head of a frame; false: it breaks a rule, and the connection has failed. May be asked twice about one frame. */
  admitFrame(type: number, flagBits: number, id: number, length: number): boolean;
  /** A whole frame other than DATA; its payload is `bytes[start, end)`. */
  frameReceived(type: number, flagBits: number, id: number, bytes: Uint8Array, start: number, end: number): void;
  /** The head of a DATA frame of `length` bytes, `dataBytes` of them without padding; below 0 when the padding is too long. */
  dataBegins(id: number, flagBits: number, length: number, dataBytes: number): void;
  /** What has come of the DATA frame; `last` with its last byte of data, which may be none. */
  dataContinues(bytes: Uint8Array, start: number, end: number, last: boolean): void;
}

const NO_BYTES = new Uint8Array(0);

/** The incoming bytes of one connection. */
export class FrameReader {
  /** Since when (coarse) a frame waits for its rest; 0: none does. */
  partialMs = 0;
  readonly #receiver: FrameReceiver;
  readonly #held = new HeldBytes();
  /** Bytes of data and of padding that are still to come of a DATA frame. */
  #dataRemaining = 0;
  #padRemaining = 0;

  constructor(receiver: FrameReceiver) {
    this.#receiver = receiver;
  }

  /** Takes `received[start, receivedEnd)`, valid during the call only. */
  take(received: Uint8Array, start: number, receivedEnd: number): void {
    let at = start;
    if (this.#held.length > 0) {
      at = this.#completeHeld(received, start, receivedEnd);
      if (at < 0) return;
    }
    const began = at;
    at = this.#takeFrames(received, at, receivedEnd);
    if (this.#receiver.ended) return;
    if (at === receivedEnd) {
      this.partialMs = 0;
      return;
    }
    this.#held.keep(received, at, receivedEnd);
    // It is this frame that waits, and not the one before.
    if (this.partialMs === 0 || at > began || began > start) this.partialMs = coarse.nowMs;
  }

  /** Adds what is missing to the frame that is held, and takes it; the offset behind it, or -1 when it is still not whole. */
  #completeHeld(received: Uint8Array, start: number, end: number): number {
    const held = this.#held;
    let at = start;
    for (;;) {
      const wanted = wantedBytes(held.bytes, held.length);
      const take = Math.min(wanted - held.length, end - at);
      held.append(received, at, at + take);
      at += take;
      if (held.length < wanted) return -1;
      if (wantedBytes(held.bytes, held.length) === held.length) break;
      // Its head is whole now and says how long it is; one that is too long is not waited for.
      if (!this.#admit(held.bytes, 0)) return -1;
    }
    const { bytes, length } = held;
    const after = this.#takeFrames(bytes, 0, length);
    held.clear();
    return this.#receiver.ended || after < length ? -1 : at;
  }

  /** Takes all whole frames, and DATA as far as it is there; returns the offset of what has to wait for more. */
  #takeFrames(bytes: Uint8Array, start: number, end: number): number {
    const receiver = this.#receiver;
    let at = start;
    while (at < end) {
      if (this.#dataRemaining > 0 || this.#padRemaining > 0) {
        at = this.#takeData(bytes, at, end);
        if (receiver.ended) return end;
        continue;
      }
      if (end - at < FRAME_HEAD_BYTES) return at;
      if (!this.#admit(bytes, at)) return end;
      const length = readUint24(bytes, at);
      const type = bytes[at + 3] as number;
      const flagBits = bytes[at + 4] as number;
      const id = readUint31(bytes, at + 5);
      const from = at + FRAME_HEAD_BYTES;
      if (type === frameTypes.DATA) {
        const padded = (flagBits & flags.PADDED) !== 0;
        if (padded && from === end) return at;
        this.#padRemaining = padded ? (bytes[from] as number) : 0;
        this.#dataRemaining = length - this.#padRemaining - (padded ? 1 : 0);
        at = padded ? from + 1 : from;
        receiver.dataBegins(id, flagBits, length, this.#dataRemaining);
        if (receiver.ended) return end;
        if (this.#dataRemaining === 0) receiver.dataContinues(NO_BYTES, 0, 0, true);
      } else {
        if (end - from < length) return at;
        at = from + length;
        receiver.frameReceived(type, flagBits, id, bytes, from, at);
      }
      if (receiver.ended) return end;
    }
    return at;
  }

  #admit(bytes: Uint8Array, at: number): boolean {
    return this.#receiver.admitFrame(
      bytes[at + 3] as number,
      bytes[at + 4] as number,
      readUint31(bytes, at + 5),
      readUint24(bytes, at),
    );
  }

  /** Hands over what is there of the DATA frame; returns the offset behind it. */
  #takeData(bytes: Uint8Array, start: number, end: number): number {
    const stop = Math.min(end, start + this.#dataRemaining);
    if (stop > start) {
      this.#dataRemaining -= stop - start;
      this.#receiver.dataContinues(bytes, start, stop, this.#dataRemaining === 0);
    }
    const skip = Math.min(this.#padRemaining, end - stop);
    this.#padRemaining -= skip;
    return stop + skip;
  }
}

/** How many bytes are wanted before a frame of which `length` are there can be taken, or its length be known. */
function wantedBytes(bytes: Uint8Array, length: number): number {
  if (length < FRAME_HEAD_BYTES) return FRAME_HEAD_BYTES;
  // DATA is passed on as it comes: only its head has to be whole, with the length of its padding.
  if (bytes[3] === frameTypes.DATA) {
    return ((bytes[4] as number) & flags.PADDED) === 0 ? FRAME_HEAD_BYTES : FRAME_HEAD_BYTES + 1;
  }
  return FRAME_HEAD_BYTES + readUint24(bytes, 0);
}
