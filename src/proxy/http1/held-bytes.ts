// Bytes that were received but cannot be used yet: part of a head, or pipelined requests. Empty in the normal course of
// things, and then it holds no memory.

const EMPTY = new Uint8Array(0);
/** A buffer larger than this is given back when it is empty. */
const KEEP_BYTES = 4096;

/** A growing buffer with room for the parser's sentinel behind its content. */
export class HeldBytes {
  bytes: Uint8Array = EMPTY;
  length = 0;

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

  /** Holds exactly `from[start, end)`, which may be part of what is held. */
  keep(from: Uint8Array, start: number, end: number): void {
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
