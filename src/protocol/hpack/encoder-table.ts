// The encoder's dynamic table (RFC 7541 §2.3.2): what the peer's decoder holds, found by content.
//
// Entries have insertion numbers that count up; an entry is alive while its number is at least `oldest`. So nothing is ever
// removed: chains of entries with one hash end where the numbers are too old, and whoever remembers a number can tell whether it
// still counts. The bytes are copies in a ring of the table's own, so that no other connection's buffers live as long as this one.
import { Buffer } from "node:buffer";
import { copyBytes } from "../bytes.ts";
import { FIELD_OVERHEAD_BYTES, type Field, hashOf } from "./field.ts";
import { STATIC_COUNT } from "./static-table.ts";

export const NOT_FOUND = -1;

/** Insertion numbers stay small integers, which are cheap to store; the table restarts when they run out. */
const INSERTIONS_MAX = 2 ** 30;

const BUCKETS = 64;
const BUCKET_MASK = BUCKETS - 1;
const FIRST_SLOTS = 16;
const FIRST_RING_BYTES = 512;

// What `#slots` has for each entry.
const SLOT_HASH = 0;
const SLOT_NAME_HASH = 1;
const SLOT_START = 2;
const SLOT_NAME_END = 3;
const SLOT_END = 4;
/** The entry before with a hash (or name hash) in the same bucket. */
const SLOT_PREVIOUS = 5;
const SLOT_PREVIOUS_NAME = 6;
const SLOT_SHIFT = 3;

/** After so many insertions of one name (or hash of it) none of which was used again, one field in so many is inserted. */
const WASTED_MAX = 16;

/** Finds entries by content; see the top of the file. */
export class EncoderTable {
  /** Stands for this table in `Field.sentBy`; changes when the insertion numbers begin anew. */
  token: object;
  /** The insertion number of the oldest entry that is alive. */
  oldest: number;
  #next: number;
  #size: number;
  #sizeMax: number;
  /** `SLOT_...` of entry n from `(n & #slotMask) << SLOT_SHIFT`. */
  #slots: Int32Array;
  #slotMask: number;
  /** The newest entry by hash, and behind these by name hash. */
  readonly #newest: Int32Array;
  /** Insertions since the last one that paid, by name hash. */
  readonly #wasted: Uint8Array;
  #ring: Buffer;
  readonly #ringBytesMax: number;
  /** Where the next entry's bytes go, when there is room. */
  #head: number;

  /** @param bytesMax what `resize` is called with at most; @param sizeMax what holds until then. */
  constructor(bytesMax: number, sizeMax: number) {
    this.token = {};
    this.oldest = 0;
    this.#next = 0;
    this.#size = 0;
    this.#sizeMax = sizeMax;
    this.#slots = new Int32Array(FIRST_SLOTS << SLOT_SHIFT);
    this.#slotMask = FIRST_SLOTS - 1;
    this.#newest = new Int32Array(2 * BUCKETS).fill(NOT_FOUND);
    this.#wasted = new Uint8Array(BUCKETS);
    this.#ring = Buffer.allocUnsafeSlow(FIRST_RING_BYTES);
    // Entries are whole and at most a quarter of the table, and so is what the ring leaves free at its end.
    this.#ringBytesMax = bytesMax + Math.ceil(bytesMax / 4);
    this.#head = 0;
  }

  /** Whether the insertion numbers run out: time to `restart`. */
  get worn(): boolean {
    return this.#next >= INSERTIONS_MAX;
  }

  /** Begins anew with an empty table. */
  restart(): void {
    this.token = {};
    this.oldest = 0;
    this.#next = 0;
    this.#size = 0;
    this.#newest.fill(NOT_FOUND);
    this.#head = 0;
  }

  /** The index on the wire of the entry with this insertion number (RFC 7541 §2.3.3). */
  indexOf(number: number): number {
    return STATIC_COUNT + this.#next - number;
  }

  /** Changes the size, and drops what does not fit any more (RFC 7541 §4.3). */
  resize(sizeMax: number): void {
    this.#sizeMax = sizeMax;
    this.#evictTo(sizeMax);
  }

  /** Whether the field is small enough: one that takes much of the table pushes out more than it can save. */
  fits(field: Field): boolean {
    // Only a malformed field has no byte at all, and the ring cannot tell where such an entry begins.
    return field.size * 4 <= this.#sizeMax && field.size > FIELD_OVERHEAD_BYTES;
  }

  /** The insertion number of the entry with this name and value. */
  find(field: Field): number {
    const hash = hashOf(field);
    const slots = this.#slots;
    for (let n = this.#newest[hash & BUCKET_MASK] as number; n >= this.oldest;) {
      const slot = (n & this.#slotMask) << SLOT_SHIFT;
      if (slots[slot + SLOT_HASH] === hash && this.#isField(slot, field)) {
        this.#wasted[field.nameHash & BUCKET_MASK] = 0;
        return n;
      }
      n = slots[slot + SLOT_PREVIOUS] as number;
    }
    return NOT_FOUND;
  }

  /** The insertion number of the newest entry with this name. */
  findName(field: Field): number {
    const hash = field.nameHash;
    const slots = this.#slots;
    for (let n = this.#newest[BUCKETS + (hash & BUCKET_MASK)] as number; n >= this.oldest;) {
      const slot = (n & this.#slotMask) << SLOT_SHIFT;
      if (slots[slot + SLOT_NAME_HASH] === hash && this.#isName(slot, field)) return n;
      n = slots[slot + SLOT_PREVIOUS_NAME] as number;
    }
    return NOT_FOUND;
  }

  /** Whether to insert a field that was not found: it fits, and fields of its name tend to come back. */
  worthInserting(field: Field): boolean {
    if (!this.fits(field)) return false;
    const bucket = field.nameHash & BUCKET_MASK;
    const wasted = this.#wasted[bucket] as number;
    // Goes round from WASTED_MAX to twice that; one insertion in each round.
    this.#wasted[bucket] = wasted + 1 < 2 * WASTED_MAX ? wasted + 1 : WASTED_MAX;
    return wasted <= WASTED_MAX;
  }

  /** Appends a field that `fits`, and drops the oldest for it (RFC 7541 §4.4). @returns its insertion number. */
  insert(field: Field): number {
    this.#evictTo(this.#sizeMax - field.size);
    if (this.#next - this.oldest > this.#slotMask) this.#growSlots();
    const n = this.#next++;
    const slots = this.#slots;
    const slot = (n & this.#slotMask) << SLOT_SHIFT;
    const hash = hashOf(field);
    const bucket = hash & BUCKET_MASK;
    const nameBucket = BUCKETS + (field.nameHash & BUCKET_MASK);
    const start = this.#reserve(field.size - FIELD_OVERHEAD_BYTES);
    const nameEnd = copyBytes(field.bytes, field.nameStart, field.nameEnd, this.#ring, start);
    const end = copyBytes(field.bytes, field.valueStart, field.valueEnd, this.#ring, nameEnd);
    this.#head = end;
    slots[slot + SLOT_HASH] = hash;
    slots[slot + SLOT_NAME_HASH] = field.nameHash;
    slots[slot + SLOT_START] = start;
    slots[slot + SLOT_NAME_END] = nameEnd;
    slots[slot + SLOT_END] = end;
    slots[slot + SLOT_PREVIOUS] = this.#newest[bucket] as number;
    slots[slot + SLOT_PREVIOUS_NAME] = this.#newest[nameBucket] as number;
    this.#newest[bucket] = n;
    this.#newest[nameBucket] = n;
    this.#size += field.size;
    return n;
  }

  #isField(slot: number, field: Field): boolean {
    const at = this.#slots[slot + SLOT_NAME_END] as number;
    const length = field.valueEnd - field.valueStart;
    if ((this.#slots[slot + SLOT_END] as number) - at !== length || !this.#isName(slot, field)) return false;
    return equalBytes(this.#ring, at, field.bytes, field.valueStart, length);
  }

  #isName(slot: number, field: Field): boolean {
    const at = this.#slots[slot + SLOT_START] as number;
    const length = field.nameEnd - field.nameStart;
    if ((this.#slots[slot + SLOT_NAME_END] as number) - at !== length) return false;
    return equalBytes(this.#ring, at, field.bytes, field.nameStart, length);
  }

  #evictTo(size: number): void {
    while (this.#size > size) {
      const slot = (this.oldest & this.#slotMask) << SLOT_SHIFT;
      const bytes = (this.#slots[slot + SLOT_END] as number) - (this.#slots[slot + SLOT_START] as number);
      this.#size -= bytes + FIELD_OVERHEAD_BYTES;
      this.oldest++;
    }
  }

  #growSlots(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = this.#slotMask * 2 + 1;
    for (let n = this.oldest; n < this.#next; n++) {
      const from = (n & this.#slotMask) << SLOT_SHIFT;
      slots.set(this.#slots.subarray(from, from + (1 << SLOT_SHIFT)), (n & mask) << SLOT_SHIFT);
    }
    this.#slots = slots;
    this.#slotMask = mask;
  }

  /** Where so many bytes are free in one piece; the entries alive and these bytes fit into the table. */
  #reserve(count: number): number {
    // The entry being inserted has a number already.
    const last = this.#next - 1;
    for (;;) {
      const capacity = this.#ring.length;
      if (last === this.oldest) {
        if (count <= capacity) return 0;
      } else {
        const tail = this.#slots[((this.oldest & this.#slotMask) << SLOT_SHIFT) + SLOT_START] as number;
        const head = this.#head;
        // No entry is empty, so that head === tail means full.
        if (head > tail) {
          if (count <= capacity - head) return head;
          if (count <= tail) return 0;
        } else if (count <= tail - head) {
          return head;
        }
      }
      this.#growRing(last);
    }
  }

  /** Copies the entries before `last` to a larger ring, in order. */
  #growRing(last: number): void {
    const ring = Buffer.allocUnsafeSlow(Math.min(this.#ring.length * 2, this.#ringBytesMax));
    const slots = this.#slots;
    let head = 0;
    for (let n = this.oldest; n < last; n++) {
      const slot = (n & this.#slotMask) << SLOT_SHIFT;
      const start = slots[slot + SLOT_START] as number;
      const nameBytes = (slots[slot + SLOT_NAME_END] as number) - start;
      const end = slots[slot + SLOT_END] as number;
      slots[slot + SLOT_START] = head;
      slots[slot + SLOT_NAME_END] = head + nameBytes;
      head = copyBytes(this.#ring, start, end, ring, head);
      slots[slot + SLOT_END] = head;
    }
    this.#ring = ring;
    this.#head = head;
  }
}

function equalBytes(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[aStart + i] !== b[bStart + i]) return false;
  return true;
}
