// Room for many short strings in few buffers. A field points into its slab, and a slab lives as long as one field does: a
// buffer per literal would cost more than the literal (about 200 bytes and a native allocation).
import { Buffer } from "node:buffer";

/** Hands out room at the end of a buffer, and takes a new buffer when it is full. */
export class Slab {
  /** The current buffer. Whoever writes takes the reference before the next `reserve`. */
  bytes: Buffer;
  /** How much of it is taken. Whoever writes moves it on. */
  used: number;
  #nextBytes: number;
  readonly #bytesMax: number;

  /** @param firstBytes size of the first buffer; each later one has four times more, up to `bytesMax`. */
  constructor(firstBytes: number, bytesMax: number) {
    this.bytes = Buffer.alloc(0);
    this.used = 0;
    this.#nextBytes = firstBytes;
    this.#bytesMax = bytesMax;
  }

  /** Makes sure that `bytes` has room for so many behind `used`: at most a quarter of `bytesMax`. */
  reserve(count: number): void {
    if (this.used + count <= this.bytes.length) return;
    while (this.#nextBytes < count) this.#nextBytes *= 4;
    // Not from Node's pool, which would keep strangers' bytes alive; not zeroed, since only written bytes are looked at.
    this.bytes = Buffer.allocUnsafeSlow(this.#nextBytes);
    this.used = 0;
    this.#nextBytes = Math.min(this.#nextBytes * 4, this.#bytesMax);
  }
}
