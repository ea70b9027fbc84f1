// A hash of 128 bits for ids without a form. Who sends one could as well send another's whole id, so a collision gains
// nothing; nobody can prepare ids that crowd one bucket either, as long as whoever keeps them chooses buckets by a seed of its own.

/** Where the hash goes. */
export interface Words {
  w0: number;
  w1: number;
  w2: number;
  w3: number;
}

/** Where the state begins; any numbers with bits in them will do. */
const START = Int32Array.of(0x243f6a88, 0x85a308d3 | 0, 0x13198a2e, 0x03707344);
const FINAL_ROUNDS = 4;

/**
 * Hashes bytes[start, end) into the four words: the rounds of HalfSipHash, two for each four octets and four at the end, over
 * a state that begins with `START`, and all of it the result. No allocation.
 */
export function hashRequestId(bytes: Uint8Array, start: number, end: number, into: Words): void {
  let v0 = START[0] ?? 0;
  let v1 = START[1] ?? 0;
  let v2 = START[2] ?? 0;
  let v3 = START[3] ?? 0;
  const blocks = ((end - start) >>> 2) + 1;
  const rounds = blocks * 2 + FINAL_ROUNDS;
  let block = 0;
  let at = start;
  for (let round = 0; round < rounds; round++) {
    const absorbs = round < blocks * 2;
    if (absorbs && (round & 1) === 0) {
      const last = round === blocks * 2 - 2;
      // The length in the last block keeps "a" and "a\0" apart.
      block = last ? (end - start) << 24 : 0;
      const stop = last ? end : at + 4;
      for (let shift = 0; at < stop; at++, shift += 8) block |= (bytes[at] ?? 0) << shift;
      v3 ^= block;
    }
    if (round === blocks * 2) v2 ^= 0xff;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    if (absorbs && (round & 1) === 1) v0 ^= block;
  }
  into.w0 = v0;
  into.w1 = v1;
  into.w2 = v2;
  into.w3 = v3;
}
