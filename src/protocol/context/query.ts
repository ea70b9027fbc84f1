// Parameters in the query of a request target, as application/x-www-form-urlencoded has them
// (https://url.spec.whatwg.org/#urlencoded-parsing): pairs between '&', percent-encoded, '+' for a space.
//
// Guarantees: names compared decoded and whole, each byte looked at a bounded number of times, nothing allocated while the
// value holds neither '%' nor '+'. What is removed is found by the same comparison.
import { copyBytes } from "../bytes.ts";
import type { Found } from "./found.ts";
import { EQUALS, PERCENT, SP } from "./octets.ts";
import { formDecode, hexValue } from "./percent.ts";

const AMPERSAND = 0x26;
const PLUS = 0x2b;
const QUESTION_MARK = 0x3f;

/**
 * Looks for the parameter called `name` in the query of a request target, bytes[start, end), in origin-form or absolute-form
 * (RFC 9112 §3.2). The first occurrence wins. Sets `found` to its decoded value, which is empty for `?name=` and `?name`.
 * A call that returns false leaves `found` as it was.
 */
export function findQueryParameter(
  bytes: Uint8Array,
  start: number,
  end: number,
  name: Uint8Array,
  found: Found,
): boolean {
  let at = queryStart(bytes, start, end);
  while (at < end) {
    const nameEnd = namedUpTo(bytes, at, end, name);
    if (nameEnd !== -1) {
      setValue(bytes, bytes[nameEnd] === EQUALS && nameEnd < end ? nameEnd + 1 : nameEnd, end, found);
      return true;
    }
    at = pairEnd(bytes, at, end) + 1;
  }
  return false;
}

function setValue(bytes: Uint8Array, start: number, end: number, found: Found): void {
  let encoded = false;
  let stop = start;
  for (; stop < end && bytes[stop] !== AMPERSAND; stop++) {
    if (bytes[stop] === PERCENT || bytes[stop] === PLUS) encoded = true;
  }
  if (encoded) formDecode(bytes, start, stop, found);
  else found.set(bytes, start, stop);
}

/**
 * The request target bytes[start, end) without the parameters of these names, each occurrence; everything else stays byte for
 * byte, and the '?' goes with the last pair. `undefined`: it has none of them.
 */
export function withoutParameters(
  bytes: Uint8Array,
  start: number,
  end: number,
  names: readonly Uint8Array[],
): Uint8Array | undefined {
  const query = queryStart(bytes, start, end);
  let target: Uint8Array | undefined;
  for (let at = query; at < end && target === undefined; at = pairEnd(bytes, at, end) + 1) {
    if (isOneOf(bytes, at, end, names)) target = new Uint8Array(end - start);
  }
  if (target === undefined) return undefined;
  let length = copyBytes(bytes, start, query, target, 0);
  let pairs = 0;
  // Up to and including `end`: behind a last '&' stands an empty pair, and it stays.
  for (let at = query; at <= end;) {
    const stop = pairEnd(bytes, at, end);
    if (!isOneOf(bytes, at, end, names)) {
      if (pairs++ > 0) target[length++] = AMPERSAND;
      length = copyBytes(bytes, at, stop, target, length);
    }
    at = stop + 1;
  }
  return target.subarray(0, pairs === 0 ? query - start - 1 : length);
}

/** Behind the first '?', or `end`. */
function queryStart(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && bytes[at] !== QUESTION_MARK) at++;
  return Math.min(at + 1, end);
}

function pairEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && bytes[at] !== AMPERSAND) at++;
  return at;
}

function isOneOf(bytes: Uint8Array, start: number, end: number, names: readonly Uint8Array[]): boolean {
  for (const name of names) if (namedUpTo(bytes, start, end, name) !== -1) return true;
  return false;
}

/** Where the name of the pair that begins at `start` ends, if it decodes to `name`; -1 otherwise. */
function namedUpTo(bytes: Uint8Array, start: number, end: number, name: Uint8Array): number {
  let at = start;
  for (let i = 0; i < name.length; i++) {
    if (at >= end) return -1;
    let octet = bytes[at] ?? 0;
    let width = 1;
    if (octet === AMPERSAND || octet === EQUALS) return -1;
    if (octet === PLUS) {
      octet = SP;
    } else if (octet === PERCENT && at + 2 < end) {
      const high = hexValue(bytes[at + 1] ?? 0);
      const low = hexValue(bytes[at + 2] ?? 0);
      if (high >= 0 && low >= 0) {
        octet = high * 16 + low;
        width = 3;
      }
    }
    if (octet !== name[i]) return -1;
    at += width;
  }
  return at === end || bytes[at] === AMPERSAND || bytes[at] === EQUALS ? at : -1;
}
