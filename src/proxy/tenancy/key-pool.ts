// Routing keys by number: what remembers keys holds a number instead of bytes. One block of memory made at the start, no
// allocation after that. Guarantee: a number leads to the key it was given for, with its properties, or to nothing.
import { copyBytes } from "../../protocol/bytes.ts";
import type { Found } from "../../protocol/context/found.ts";
import { hashBytes } from "../../routing/byte-hash.ts";

/** Of a key and its properties; longer ones are not kept. Names of sandboxes are far below. */
export const KEY_BYTES_MAX = 256;
/** What `intern` returns for a key that is too long. */
export const NO_KEY_ID = -1;

/** Ids count up to here: the lower bits say the place, the upper ones how often it has been given away. */
const ID_BITS = 28;
const NONE = -1;

/**
 * A bounded set of keys, at most `2 ** placeBits` of them; a new one takes the place of the one that was interned
 * longest ago. An id has 28 bits.
 */
export class KeyPool {
  /** By place: the key, then its properties. */
  readonly #bytes: Uint8Array;
  readonly #placeMask: number;
  readonly #placeBits: number;
  readonly #generationMask: number;
  readonly #keyLengths: Uint16Array;
  readonly #propertiesLengths: Uint16Array;
  readonly #hashes: Int32Array;
  readonly #generations: Int32Array;
  /** First place of each chain of equal hashes, and the next in it. */
  readonly #heads: Int16Array;
  readonly #nexts: Int16Array;
  /** A ring of all places in the order of their last use; `#oldest` is the next to be given away. */
  readonly #older: Int16Array;
  readonly #newer: Int16Array;
  #oldest = 0;
  // Keys come from clients: without a seed nobody else knows, they could be chosen to lie in one chain.
  // As signed integers: V8 would box larger numbers for each call.
  readonly #seedLow = Math.trunc(Math.random() * 0x1_0000_0000) | 0;
  readonly #seedHigh = Math.trunc(Math.random() * 0x1_0000_0000) | 0;

  /** `placeBits` from 0 to 14. */
  constructor(placeBits: number) {
    const places = 1 << placeBits;
    this.#placeBits = placeBits;
    this.#placeMask = places - 1;
    this.#generationMask = (1 << (ID_BITS - placeBits)) - 1;
    this.#bytes = new Uint8Array(places * KEY_BYTES_MAX);
    this.#keyLengths = new Uint16Array(places);
    this.#propertiesLengths = new Uint16Array(places);
    this.#hashes = new Int32Array(places);
    this.#generations = new Int32Array(places);
    this.#heads = new Int16Array(places).fill(NONE);
    this.#nexts = new Int16Array(places).fill(NONE);
    this.#older = Int16Array.from({ length: places }, (_, place) => (place - 1) & this.#placeMask);
    this.#newer = Int16Array.from({ length: places }, (_, place) => (place + 1) & this.#placeMask);
  }

  /** The id of a key with these properties, or NO_KEY_ID when they are too long. */
  intern(key: Found): number {
    const { bytes, start, end, propertiesStart, propertiesEnd } = key;
    if (end - start + propertiesEnd - propertiesStart > KEY_BYTES_MAX) return NO_KEY_ID;
    let hash = hashBytes(bytes, start, end, this.#seedLow, this.#seedHigh, false);
    if (propertiesEnd > propertiesStart) {
      hash ^= hashBytes(key.propertiesBytes, propertiesStart, propertiesEnd, this.#seedHigh, this.#seedLow, false);
    }
    let place = this.#find(hash, key);
    if (place === NONE) place = this.#take(hash, key);
    this.#touch(place);
    return this.#idOf(place);
  }

  /** Whether the id still leads to its key. */
  has(id: number): boolean {
    return id === this.#idOf(id & this.#placeMask);
  }

  /** Gives the key of a valid id; it stays as it is until the next `intern`. */
  read(id: number, into: Found): void {
    const place = id & this.#placeMask;
    const start = place * KEY_BYTES_MAX;
    const end = start + (this.#keyLengths[place] as number);
    const propertiesLength = this.#propertiesLengths[place] as number;
    into.set(this.#bytes, start, end);
    if (propertiesLength > 0) into.setProperties(this.#bytes, end, end + propertiesLength);
  }

  /** Whether two valid ids are of one key, whatever its properties. */
  sameKey(one: number, two: number): boolean {
    const place = two & this.#placeMask;
    const start = place * KEY_BYTES_MAX;
    return this.#keyEquals(one & this.#placeMask, this.#bytes, start, start + (this.#keyLengths[place] as number));
  }

  /** Whether the key of a valid id has properties. */
  hasProperties(id: number): boolean {
    return (this.#propertiesLengths[id & this.#placeMask] as number) > 0;
  }

  #idOf(place: number): number {
    return ((this.#generations[place] as number) << this.#placeBits) | place;
  }

  #find(hash: number, key: Found): number {
    let place = this.#heads[hash & this.#placeMask] as number;
    while (place !== NONE) {
      if (this.#hashes[place] === hash && this.#equals(place, key)) return place;
      place = this.#nexts[place] as number;
    }
    return NONE;
  }

  #equals(place: number, key: Found): boolean {
    if (!this.#keyEquals(place, key.bytes, key.start, key.end)) return false;
    const { propertiesBytes, propertiesStart } = key;
    const length = key.propertiesEnd - propertiesStart;
    if (this.#propertiesLengths[place] !== length) return false;
    const own = place * KEY_BYTES_MAX + (this.#keyLengths[place] as number);
    for (let i = 0; i < length; i++) if (this.#bytes[own + i] !== propertiesBytes[propertiesStart + i]) return false;
    return true;
  }

  #keyEquals(place: number, bytes: Uint8Array, start: number, end: number): boolean {
    const length = end - start;
    if (this.#keyLengths[place] !== length) return false;
    const own = place * KEY_BYTES_MAX;
    for (let i = 0; i < length; i++) if (this.#bytes[own + i] !== bytes[start + i]) return false;
    return true;
  }

  /** Gives the oldest place to a new key; whoever holds an id of the old one is told by `has`. */
  #take(hash: number, key: Found): number {
    const place = this.#oldest;
    const generation = this.#generations[place] as number;
    // Generation 0 is a place that never had a key: it is in no chain, and no id leads to it.
    if (generation > 0) this.#unlink(place);
    this.#generations[place] = generation === this.#generationMask ? 1 : generation + 1;
    this.#hashes[place] = hash;
    this.#keyLengths[place] = key.end - key.start;
    this.#propertiesLengths[place] = key.propertiesEnd - key.propertiesStart;
    const at = copyBytes(key.bytes, key.start, key.end, this.#bytes, place * KEY_BYTES_MAX);
    copyBytes(key.propertiesBytes, key.propertiesStart, key.propertiesEnd, this.#bytes, at);
    this.#nexts[place] = this.#heads[hash & this.#placeMask] as number;
    this.#heads[hash & this.#placeMask] = place;
    return place;
  }

  #unlink(place: number): void {
    const chain = (this.#hashes[place] as number) & this.#placeMask;
    const next = this.#nexts[place] as number;
    let at = this.#heads[chain] as number;
    if (at === place) {
      this.#heads[chain] = next;
      return;
    }
    while (this.#nexts[at] !== place) at = this.#nexts[at] as number;
    this.#nexts[at] = next;
  }

  /** Makes it the newest of the ring. */
  #touch(place: number): void {
    const newest = this.#older[this.#oldest] as number;
    if (place === newest) return;
    if (place === this.#oldest) {
      // The ring is closed: the oldest becomes the newest by looking at the next one.
      this.#oldest = this.#newer[place] as number;
      return;
    }
    const older = this.#older[place] as number;
    const newer = this.#newer[place] as number;
    this.#newer[older] = newer;
    this.#older[newer] = older;
    this.#newer[newest] = place;
    this.#older[place] = newest;
    this.#newer[place] = this.#oldest;
    this.#older[this.#oldest] = place;
  }
}
