// W3C Trace Context §3.2: version "-" trace-id "-" parent-id "-" trace-flags, all lower-case hexadecimal.
import { hexValue } from "./percent.ts";

const HYPHEN = 0x2d;
const DIGIT_0 = 0x30;
/** Where the ids begin and end. */
export const TRACE_ID = 3;
export const TRACE_ID_END = 35;
export const PARENT_ID = 36;
export const PARENT_ID_END = 52;
const FLAGS = 53;
/** Bytes of one of version 00. */
export const TRACEPARENT_BYTES = 55;

/**
 * Whether bytes[start, end), without surrounding white space, is a valid `traceparent`. It is not when it has a wrong length,
 * capitals, version ff or an id of zeros. Higher versions may go on after the flags (§4).
 */
export function isTraceparent(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (length < TRACEPARENT_BYTES) return false;
  if (!isHex(bytes, start, start + 2) || (bytes[start] === 0x66 && bytes[start + 1] === 0x66)) return false;
  const versionZero = bytes[start] === DIGIT_0 && bytes[start + 1] === DIGIT_0;
  if (length > TRACEPARENT_BYTES && (versionZero || bytes[start + TRACEPARENT_BYTES] !== HYPHEN)) return false;
  if (!isId(bytes, start + TRACE_ID, start + TRACE_ID_END) || !isId(bytes, start + PARENT_ID, start + PARENT_ID_END)) {
    return false;
  }
  return isHex(bytes, start + FLAGS, start + TRACEPARENT_BYTES);
}

/** Whether the flags of a valid one say that the caller may have recorded it (§3.2.2.5.1: the lowest bit). */
export function isSampled(bytes: Uint8Array, start: number): boolean {
  return (hexValue(bytes[start + TRACEPARENT_BYTES - 1] ?? 0) & 1) === 1;
}

/** An id between two hyphens that is not all zeros. */
function isId(bytes: Uint8Array, start: number, end: number): boolean {
  if (bytes[start - 1] !== HYPHEN || bytes[end] !== HYPHEN) return false;
  const bits = hexBits(bytes, start, end);
  return bits > 0 && bits < NO_HEX;
}

function isHex(bytes: Uint8Array, start: number, end: number): boolean {
  return hexBits(bytes, start, end) < NO_HEX;
}

const NO_HEX = 16;
/** The value of each small hexadecimal digit, and `NO_HEX` for everything else. */
const HEX_VALUES = Uint8Array.from({ length: 256 }, (_, byte) => {
  const value = "0123456789abcdef".indexOf(String.fromCharCode(byte));
  return value === -1 ? NO_HEX : value;
});

/**
 * All bits of the digits in bytes[start, end), which lies within the bytes. Ids are random, so that a branch for each digit would
 * be guessed wrong half the time.
 */
function hexBits(bytes: Uint8Array, start: number, end: number): number {
  let bits = 0;
  for (let at = start; at < end; at++) bits |= HEX_VALUES[bytes[at] as number] as number;
  return bits;
}
