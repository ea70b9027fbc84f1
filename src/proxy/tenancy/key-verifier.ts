// Signed routing keys as requests bring them: the same few tokens again and again. An Ed25519 signature takes about 100 us
// to verify, so a token is verified once and remembered.
//
// Guarantees:
//
// - Only the exact bytes that were verified are found again, and a good token no longer than until it expires.
// - Both memories are bounded, and no number of bad tokens pushes a good one out.
// - A lookup allocates nothing, and takes no longer for tokens that were made up to slow it down: one entry for each hash.

import { randomInt } from "node:crypto";
import { copyBytes } from "../../protocol/bytes.ts";
import { TOKEN_BYTES_MAX } from "../../protocol/signed-key/sign-key.ts";
import type { SigningKey } from "../../protocol/signed-key/signing-key.ts";
import { type Verified, verifyKey } from "../../protocol/signed-key/verify-key.ts";

/** Tokens remembered, good and bad each. */
const REMEMBERED_MAX = 1000;
/** Bytes at the end of a token that its hash is made of: part of the signature, in which two tokens always differ. */
const HASHED_BYTES = 24;

/** One token and what became of it. */
interface Remembered {
  readonly bytes: Uint8Array;
  readonly verified: Verified;
  /** When that holds, seconds since the epoch: from then on, since a clock may be set back, and until its expiry. */
  readonly sinceSeconds: number;
  readonly untilSeconds: number;
}

/** Verifies signed routing keys with the keys of `tenancy.edge.signedBy`. */
export class KeyVerifier {
  #keys: readonly SigningKey[];
  /** By hash; oldest first. */
  readonly #good = new Map<number, Remembered>();
  readonly #bad = new Map<number, Remembered>();
  /** Makes hashes differ from process to process, so that how long an answer takes says nothing about a token. */
  readonly #seed = randomInt(2 ** 31);

  constructor(keys: readonly SigningKey[]) {
    this.#keys = keys;
  }

  /** Other keys from now on: what was found out with the old ones is forgotten. */
  useKeys(keys: readonly SigningKey[]): void {
    this.#keys = keys;
    this.#good.clear();
    this.#bad.clear();
  }

  /** Verifies the token `bytes[start, end)`. `nowMs`: since the epoch, unlike the coarse clock's. */
  verify(bytes: Uint8Array, start: number, end: number, nowMs: number): Verified {
    const nowSeconds = Math.floor(nowMs / 1000);
    const hash = this.#hash(bytes, start, end);
    const known =
      recall(this.#good, hash, bytes, start, end, nowSeconds) ?? recall(this.#bad, hash, bytes, start, end, nowSeconds);
    if (known !== undefined) return known;
    const verified = verifyKey(bytes, start, end, this.#keys, nowSeconds);
    // What is too long costs nothing to refuse.
    if (end - start > TOKEN_BYTES_MAX) return verified;
    const copy = new Uint8Array(end - start);
    copyBytes(bytes, start, end, copy, 0);
    const untilSeconds = verified.ok ? verified.expiresAtSeconds : Number.POSITIVE_INFINITY;
    const entry = { bytes: copy, verified, sinceSeconds: nowSeconds, untilSeconds };
    remember(verified.ok ? this.#good : this.#bad, hash, entry);
    return verified;
  }

  /** FNV-1a of the last bytes, as a small integer, which a `Map` takes without allocating. */
  #hash(bytes: Uint8Array, start: number, end: number): number {
    let hash = this.#seed;
    for (let i = Math.max(start, end - HASHED_BYTES); i < end; i++) {
      hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
    }
    return hash;
  }
}

function recall(
  memory: Map<number, Remembered>,
  hash: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  nowSeconds: number,
): Verified | undefined {
  const found = memory.get(hash);
  if (found === undefined || !equals(found.bytes, bytes, start, end)) return undefined;
  if (nowSeconds >= found.sinceSeconds && nowSeconds < found.untilSeconds) return found.verified;
  memory.delete(hash);
  return undefined;
}

/** Takes as long for a token that is nearly right as for one that is right. */
function equals(known: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (known.length !== end - start) return false;
  let different = 0;
  for (let i = 0; i < known.length; i++) different |= (known[i] as number) ^ (bytes[start + i] as number);
  return different === 0;
}

function remember(memory: Map<number, Remembered>, hash: number, entry: Remembered): void {
  // Deleted first, so that it becomes the newest.
  memory.delete(hash);
  if (memory.size >= REMEMBERED_MAX) {
    for (const oldest of memory.keys()) {
      memory.delete(oldest);
      break;
    }
  }
  memory.set(hash, entry);
}
