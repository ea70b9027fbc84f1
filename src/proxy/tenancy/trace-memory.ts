// Which key came in under which trace, for the lost-key detector. What callers may rely on: no answer names a key that the
// trace did not come in with; memory is taken once and bounded, whatever peers send; nothing is allocated per request.
//
// A set-associative table as in a processor's cache: the lower half of an id chooses a set of eight entries, and all eight are
// compared. Why not a `Map`: its keys would be strings made per request, and it would have to be swept. The lower half alone
// chooses the set because an id of 64 bits is the same trace as one of 128 bits that ends in it.
import type { Found } from "../../protocol/context/found.ts";
import { type TraceId, traceKinds } from "../../protocol/context/trace-id.ts";
import { KeyPool, NO_KEY_ID } from "./key-pool.ts";

/** What is known of a trace. */
export const traceVerdicts = {
  /** Nothing. */
  none: 0,
  /** It came in with one key, each time. */
  found: 1,
  /** It came in with two keys or more: nobody knows which one a request without a key should have. */
  conflict: 2,
  /** It came in with one key, and also without: another service may have lost it before. */
  mixed: 3,
  /** It came in, and always without a key. */
  keyless: 4,
} as const;

/** One of `traceVerdicts`. */
export type TraceVerdict = (typeof traceVerdicts)[keyof typeof traceVerdicts];

const WAYS = 8;
/** Places of the key pool: 256 KiB. A cluster with more keys in use within one lifetime forgets the oldest. */
const KEY_BITS_MAX = 10;

// One entry, in 32-bit integers: the id, what is known, when it was known last.
const WORDS = 6;
const SET_WORDS = WAYS * WORDS;
const STATE = 4;
const SEEN = 5;

// The state: 0 is an entry never used. The lower 28 bits are the id of a key.
const USED = 1 << 28;
const REQUEST_ID = 1 << 29;
/** It also came in without a key; alone, it never had one. */
const WITHOUT_KEY = 1 << 30;
/** Set for entries that have, or had, more than one key. It is the sign: such a state is negative. */
const CONFLICT = 1 << 31;
const KEY_MASK = USED - 1;
/** In place of a key id, of which none is 0: no key yet. */
const NO_KEY = 0;

/** Remembers traces for `lifetimeMs` after they were seen last. An id of kind `none` is nothing to it. */
export class TraceMemory {
  readonly #table: Int32Array;
  readonly #setMask: number;
  readonly #lifetimeMs: number;
  readonly #keys: KeyPool;
  // Ids come from clients: without it, some could be chosen to push others out of their set.
  readonly #seed = Math.trunc(Math.random() * 0x1_0000_0000) | 0;

  /** `entriesMax` is rounded down to a power of two, and is eight at least. Milliseconds. */
  constructor(entriesMax: number, lifetimeMs: number) {
    const setBits = Math.max(0, Math.floor(Math.log2(Math.max(1, entriesMax / WAYS))));
    this.#table = new Int32Array(SET_WORDS << setBits);
    this.#setMask = (1 << setBits) - 1;
    this.#lifetimeMs = lifetimeMs;
    this.#keys = new KeyPool(Math.min(KEY_BITS_MAX, setBits + 3));
  }

  /**
   * A request of this trace came in with this key. Its properties are remembered with it, those of the last request that had
   * any: not every propagator keeps them. What exceeds KEY_BYTES_MAX cannot be remembered: the trace gets a conflict.
   */
  remember(id: TraceId, key: Found, nowMs: number): void {
    if (id.kind === traceKinds.none) return;
    const keyId = this.#keys.intern(key);
    const table = this.#table;
    const at = this.#entry(id, nowMs, true);
    const state = table[at + STATE] as number;
    const before = state & KEY_MASK;
    const kept = keyId === NO_KEY_ID ? NO_KEY : this.#both(before, keyId);
    const next = kept === NO_KEY ? state | CONFLICT : (state & ~KEY_MASK) | kept;
    table[at + STATE] = next;
    table[at + SEEN] = nowMs;
  }

  /** A request of this trace came in without a key. Never takes the place of a trace with one. */
  noteWithoutKey(id: TraceId, nowMs: number): void {
    if (id.kind === traceKinds.none) return;
    const at = this.#entry(id, nowMs, false);
    if (at < 0) return;
    const table = this.#table;
    table[at + STATE] = (table[at + STATE] as number) | WITHOUT_KEY;
    table[at + SEEN] = nowMs;
  }

  /**
   * What is known of a trace. With `found` and `mixed`, `into` gets its key, valid until the next call of `remember`;
   * otherwise `into` is left as it was.
   */
  find(id: TraceId, nowMs: number, into: Found): TraceVerdict {
    if (id.kind === traceKinds.none) return traceVerdicts.none;
    const table = this.#table;
    const { w0, w1, w2, w3 } = id;
    const set = this.#set(w2, w3);
    const requestId = id.kind === traceKinds.requestId ? REQUEST_ID : 0;
    // As `sameTrace` has it: request ids are equal as a whole, other ids also where one has no upper half.
    const halfOnly = requestId === 0 && w0 === 0 && w1 === 0;
    let key = NO_KEY;
    let withoutKey = false;
    // Several entries may be of one trace: with the upper half of its id, without it, and others that differ in it.
    for (let at = set; at < set + SET_WORDS; at += WORDS) {
      if (table[at + 3] !== w3 || table[at + 2] !== w2) continue;
      const sameHigh = table[at] === w0 && table[at + 1] === w1;
      if (!sameHigh && !halfOnly && (requestId !== 0 || table[at] !== 0 || table[at + 1] !== 0)) continue;
      const state = table[at + STATE] as number;
      if (state === 0 || (state & REQUEST_ID) !== requestId || this.#expired(at, nowMs)) continue;
      // A trace that is asked for is in use: the app may be at one request for longer than anything lives here.
      table[at + SEEN] = nowMs;
      if (state < 0) return traceVerdicts.conflict;
      if ((state & WITHOUT_KEY) !== 0) withoutKey = true;
      const its = state & KEY_MASK;
      if (its === NO_KEY) continue;
      key = this.#both(key, its);
      if (key === NO_KEY) return traceVerdicts.conflict;
    }
    if (key === NO_KEY) return withoutKey ? traceVerdicts.keyless : traceVerdicts.none;
    if (!this.#keys.has(key)) return traceVerdicts.none;
    this.#keys.read(key, into);
    return withoutKey ? traceVerdicts.mixed : traceVerdicts.found;
  }

  /** The one key that both ids are of, NO_KEY when they are of two. `before` may be NO_KEY; `key` counts where both have properties. */
  #both(before: number, key: number): number {
    const keys = this.#keys;
    if (before === NO_KEY || before === key) return key;
    // A key that the pool has forgotten may have been this one or another.
    if (!keys.has(before) || !keys.has(key) || !keys.sameKey(before, key)) return NO_KEY;
    return keys.hasProperties(key) ? key : before;
  }

  /**
   * The entry of exactly this id, or a fresh one in its set: unused, expired, never had a key, seen longest ago, in this
   * order. Without `keyed`, none with a key is given away, and -1 is returned when there are only those.
   */
  #entry(id: TraceId, nowMs: number, keyed: boolean): number {
    const table = this.#table;
    const requestId = id.kind === traceKinds.requestId ? REQUEST_ID : 0;
    const { w0, w1, w2, w3 } = id;
    const set = this.#set(w2, w3);
    let victim = -1;
    let victimRank = -1;
    for (let at = set; at < set + SET_WORDS; at += WORDS) {
      const state = table[at + STATE] as number;
      const expired = state === 0 || this.#expired(at, nowMs);
      if (
        table[at + 3] === w3 &&
        table[at + 2] === w2 &&
        table[at + 1] === w1 &&
        table[at] === w0 &&
        !expired &&
        (state & REQUEST_ID) === requestId
      ) {
        return at;
      }
      const rank = this.#rank(at, state, expired, nowMs);
      if (rank > victimRank) {
        victim = at;
        victimRank = rank;
      }
    }
    if (!keyed && victimRank < RANK_WITHOUT_KEY) return -1;
    table[victim] = w0;
    table[victim + 1] = w1;
    table[victim + 2] = w2;
    table[victim + 3] = w3;
    table[victim + STATE] = USED | requestId;
    return victim;
  }

  /** How gladly an entry is given away: the greater, the sooner. */
  #rank(at: number, state: number, expired: boolean, nowMs: number): number {
    if (expired) return RANK_EXPIRED;
    const age = (nowMs - (this.#table[at + SEEN] as number)) >>> 0;
    return state > 0 && (state & KEY_MASK) === NO_KEY ? RANK_WITHOUT_KEY + age : age;
  }

  /** Ages are differences modulo 2^32 ms: an entry that nothing replaced in 49.7 days would look fresh for one lifetime. */
  #expired(at: number, nowMs: number): boolean {
    return (nowMs - (this.#table[at + SEEN] as number)) >>> 0 >= this.#lifetimeMs;
  }

  #set(w2: number, w3: number): number {
    let hash = Math.imul(w3 ^ this.#seed, 0x9e3779b1) ^ w2;
    hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
    return ((hash ^ (hash >>> 13)) & this.#setMask) * SET_WORDS;
  }
}

const RANK_WITHOUT_KEY = 0x1_0000_0000;
const RANK_EXPIRED = 2 * RANK_WITHOUT_KEY;
