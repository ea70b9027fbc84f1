// W3C Trace Context §3.2: version "-" trace-id "-" parent-id "-" trace-flags, all lower-case hexadecimal.
import type { Found } from "./found.ts";

const HYPHEN = 0x2d;
const DIGIT_0 = 0x30;
const TRACE_ID = 3;
const PARENT_ID = 36;
const FLAGS = 53;
const LENGTH = 55;

/**
 * Finds the trace id in one `traceparent` field value, bytes[start, end) without surrounding white space. False when the
 * value is not valid: wrong length, upper case, version ff, an id of zeros. Higher versions may go on after the flags (§4).
 */
export function findTraceId(bytes: Uint8Array, start: number, end: number, found: Found): boolean {
  const length = end - start;
  if (length < LENGTH) return false;
  if (!isHex(bytes, start, start + 2) || (bytes[start] === 0x66 && bytes[start + 1] === 0x66)) return false;
  const versionZero = bytes[start] === DIGIT_0 && bytes[start + 1] === DIGIT_0;
  if (length > LENGTH && (versionZero || bytes[start + LENGTH] !== HYPHEN)) return false;
  if (!isId(bytes, start + TRACE_ID, start + PARENT_ID - 1) || !isId(bytes, start + PARENT_ID, start + FLAGS - 1)) {
    return false;
  }
  if (!isHex(bytes, start + FLAGS, start + LENGTH)) return false;
  found.set(bytes, start + TRACE_ID, start + PARENT_ID - 1);
  return true;
}

/** An id between two hyphens that is not all zeros. */
function isId(bytes: Uint8Array, start: number, end: number): boolean {
  if (bytes[start - 1] !== HYPHEN || bytes[end] !== HYPHEN || !isHex(bytes, start, end)) return false;
  for (let at = start; at < end; at++) if (bytes[at] !== DIGIT_0) return true;
  return false;
}

function isHex(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (!((byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66))) return false;
  }
  return true;
}
