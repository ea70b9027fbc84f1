import { foldByte, hashBytes } from "./byte-hash.ts";
import type { HashSeed } from "./byte-hash.ts";

/**
 * A map from byte strings to entry numbers, laid over the slots and texts of a table image: open addressing with linear
 * probing at a load of at most one half. Why not a `Map`: its keys are strings, and making one per request is what the
 * request path must not do; it also cannot be handed over by another process as it is.
 */
export class ByteIndex {
  readonly #slots: Int32Array;
  readonly #texts: Int32Array;
  readonly #pool: Uint8Array;
  readonly #low: number;
  readonly #high: number;
  readonly #bytesMax: number;
  readonly #fold: boolean;
  /** Mask for a slot's first word: slots are two words, their number is a power of two. */
  readonly #mask: number;

  /** With `fold`, the texts are in small letters and input is compared without regard to ASCII case. */
  constructor(slots: Int32Array, texts: Int32Array, pool: Uint8Array, seed: HashSeed, bytesMax: number, fold: boolean) {
    this.#slots = slots;
    this.#texts = texts;
    this.#pool = pool;
    this.#low = seed.low;
    this.#high = seed.high;
    this.#bytesMax = bytesMax;
    this.#fold = fold;
    this.#mask = slots.length - 2;
  }

  /** The entry whose text is `bytes[start, end)`, or -1. */
  find(bytes: Uint8Array, start: number, end: number): number {
    if (end - start > this.#bytesMax) return -1; // also bounds what a hostile key costs to hash
    const slots = this.#slots;
    const hash = hashBytes(bytes, start, end, this.#low, this.#high, this.#fold);
    let slot = (hash << 1) & this.#mask;
    for (;;) {
      const entry = slots[slot + 1] as number; // slot <= length - 2
      if (entry === -1) return -1;
      if (slots[slot] === hash && this.#matches(entry, bytes, start, end)) return entry;
      slot = (slot + 2) & this.#mask;
    }
  }

  /** Enters `entry`, whose text is already in place. For the compiler: the caller knows that the text is not there yet. */
  insert(entry: number): void {
    const start = this.#texts[2 * entry] as number; // entry < texts.length / 2
    const end = start + (this.#texts[2 * entry + 1] as number);
    const hash = hashBytes(this.#pool, start, end, this.#low, this.#high, this.#fold);
    let slot = (hash << 1) & this.#mask;
    while (this.#slots[slot + 1] !== -1) slot = (slot + 2) & this.#mask;
    this.#slots[slot] = hash;
    this.#slots[slot + 1] = entry;
  }

  #matches(entry: number, bytes: Uint8Array, start: number, end: number): boolean {
    const length = end - start;
    if (this.#texts[2 * entry + 1] !== length) return false;
    const pool = this.#pool;
    const offset = this.#texts[2 * entry] as number; // entry comes from a slot
    for (let index = 0; index < length; index++) {
      const byte = bytes[start + index] as number; // in range: start + index < end
      if (pool[offset + index] !== (this.#fold ? foldByte(byte) : byte)) return false;
    }
    return true;
  }
}
