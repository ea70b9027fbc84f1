// The decoder's dynamic table (RFC 7541 §2.3.2): the fields themselves, first in, first out, in a ring.
import { Buffer } from "node:buffer";
import { Field, fieldFaults } from "./field.ts";

const FIRST_SLOTS = 16;

/** In slots without an entry: an evicted field shall not live on for the table's sake. */
const NO_FIELD = new Field(Buffer.alloc(0), 0, 0, 0, 0, 0, 0, 0, 0, false, false, fieldFaults.none);

/** The entries, newest first by their index behind the static table. */
export class DecoderTable {
  count: number;
  sizeMax: number;
  #size: number;
  /** The entries end before slot `#next`. */
  #ring: Field[];
  #mask: number;
  #next: number;

  constructor(sizeMax: number) {
    this.count = 0;
    this.sizeMax = sizeMax;
    this.#size = 0;
    this.#ring = emptyRing(FIRST_SLOTS);
    this.#mask = FIRST_SLOTS - 1;
    this.#next = 0;
  }

  /** The n-th newest entry, for n from 1 to `count`. */
  get(n: number): Field {
    return this.#ring[(this.#next - n) & this.#mask] as Field;
  }

  /** Changes the size, and drops what does not fit any more (RFC 7541 §4.3). */
  resize(sizeMax: number): void {
    this.sizeMax = sizeMax;
    this.#evictTo(sizeMax);
  }

  /** Appends a field; drops the oldest for it, and all when it is larger than the table, which is no error (RFC 7541 §4.4). */
  insert(field: Field): void {
    const size = field.size;
    if (size > this.sizeMax) {
      this.#evictTo(0);
      return;
    }
    this.#evictTo(this.sizeMax - size);
    if (this.count > this.#mask) this.#grow();
    this.#ring[this.#next] = field;
    this.#next = (this.#next + 1) & this.#mask;
    this.count++;
    this.#size += size;
  }

  /** Drops all entries. */
  clear(): void {
    this.#evictTo(0);
  }

  #evictTo(size: number): void {
    while (this.#size > size) {
      const slot = (this.#next - this.count) & this.#mask;
      this.#size -= (this.#ring[slot] as Field).size;
      this.#ring[slot] = NO_FIELD;
      this.count--;
    }
  }

  #grow(): void {
    const grown = emptyRing(this.#ring.length * 2);
    for (let n = this.count; n >= 1; n--) grown[this.count - n] = this.get(n);
    this.#ring = grown;
    this.#mask = grown.length - 1;
    this.#next = this.count;
  }
}

function emptyRing(length: number): Field[] {
  return Array.from({ length }, () => NO_FIELD);
}
