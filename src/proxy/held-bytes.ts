// Bytes that were received but cannot be used yet: part of a head, or pipelined requests. Empty in the normal course of
// things; then it holds at most 4 KiB, and before its first use nothing.
import { CR, LF, SPACE, TAB } from "../protocol/bytes.ts";

const EMPTY = new Uint8Array(0);
/** A buffer larger than this is given back when it is empty. */
const KEEP_BYTES = 4096;

/** A growing buffer with room for the parser's sentinel behind its content. */
export class HeldBytes {
  bytes: Uint8Array = EMPTY;
  length = 0;
  /** `length` when somebody last looked at all of it. */
  #lookedAt = 0;

  /** Adds `from[start, end)`. */
  append(from: Uint8Array, start: number, end: number): void {
    const length = this.length + (end - start);
    if (length + 1 > this.bytes.length) {
      const larger = new Uint8Array(Math.max(512, length * 2 + 1));
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    this.bytes.set(from.subarray(start, end), this.length);
    this.length = length;
  }

  /**
   * Whether what stands behind `before` can change what the last attempt to parse a head said: a line end or control byte
   * came, or the head has doubled. Keeps a head that trickles in from being parsed once per byte.
   */
  worthParsing(before: number, headBytesMax: number): boolean {
    const { bytes, length } = this;
    for (let i = before; i < length; i++) {
      const byte = bytes[i] as number;
      if (byte < SPACE && byte !== TAB) return true;
    }
    return length >= this.#lookedAt * 2 || length >= headBytesMax;
  }

  /** Whether there are only empty lines, as some clients send them behind a body (RFC 9112 §2.2). */
  get blank(): boolean {
    return this.bytes.subarray(0, this.length).every((byte) => byte === CR || byte === LF);
  }

  /** Holds exactly `from[start, end)`, which may be part of what is held and in which there is nothing to use yet. */
  keep(from: Uint8Array, start: number, end: number): void {
    this.#lookedAt = end - start;
    if (from === this.bytes) {
      this.bytes.copyWithin(0, start, end);
      this.length = end - start;
      if (this.length === 0) this.clear();
      return;
    }
    this.length = 0;
    if (end > start) this.append(from, start, end);
  }

  /** Holds nothing. */
  clear(): void {
    this.length = 0;
    if (this.bytes.length > KEEP_BYTES) this.bytes = EMPTY;
  }
}
