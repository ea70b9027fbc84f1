// What a hop that makes a span of its own does with `traceparent` (W3C Trace Context §3.2, §4.3): the trace stays, the parent
// becomes the hop's span. Only of version 00: a field of a later version would have to go on as 00 (§4), so it is left alone.
import { copyBytes } from "../bytes.ts";
import { PARENT_ID, PARENT_ID_END, TRACEPARENT_BYTES, isSampled, isTraceparent } from "./traceparent.ts";

const DIGIT_0 = 0x30;

/**
 * Whether one `traceparent` value, bytes[start, end) without surrounding white space, is valid, of version 00, and has the flag
 * `sampled` (§3.2.2.5.1). Other flags do not matter.
 */
export function isSampledTraceparent(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== TRACEPARENT_BYTES || !isTraceparent(bytes, start, end)) return false;
  return bytes[start] === DIGIT_0 && bytes[start + 1] === DIGIT_0 && isSampled(bytes, start);
}

/**
 * Writes the value that begins at `start`, and that `isSampledTraceparent` has accepted, to `into[at, at + 55)` with another
 * parent. `into` may be `bytes` and `at` may be `start`: then 16 bytes are changed in place.
 *
 * @param spanId 16 hexadecimal digits in small letters, not all zero.
 */
export function rewriteTraceparent(
  bytes: Uint8Array,
  start: number,
  spanId: string,
  into: Uint8Array,
  at: number,
): void {
  if (into !== bytes || at !== start) copyBytes(bytes, start, start + TRACEPARENT_BYTES, into, at);
  for (let i = 0; i < PARENT_ID_END - PARENT_ID; i++) into[at + PARENT_ID + i] = spanId.charCodeAt(i);
}
