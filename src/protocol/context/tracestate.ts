// W3C Trace Context §3.3 (https://www.w3.org/TR/trace-context/), read for one member.
//
//   list        = list-member *( OWS "," OWS list-member )
//   list-member = key "=" value            ; no white space around "="
//   value       = 0*255( chr ) nblk-chr    ; chr = %x20 / nblk-chr, nblk-chr = %x21-2B / %x2D-3C / %x3E-7E
//
// Guarantees as in baggage.ts: the name compared only at the start of a member and exactly, each byte looked at once,
// nothing allocated. Values are opaque: no percent-decoding, no properties.
import type { Found } from "./found.ts";
import { COMMA, EQUALS, HTAB, SP } from "./octets.ts";

const TILDE = 0x7e;
const VALUE_BYTES_MAX = 256;

/**
 * Looks for the member called `name` in one `tracestate` field value, bytes[start, end). Duplicates: the first valid one
 * wins, because members are added on the left and the left-most is the newest (§3.3.1.3).
 *
 * Several fields combine into one list (RFC 9110 §5.3): call this for each in order and stop at the first that returns true.
 * A call that returns false leaves `found` as it was. Members whose value the grammar does not allow are skipped.
 */
export function findTracestateMember(
  bytes: Uint8Array,
  start: number,
  end: number,
  name: Uint8Array,
  found: Found,
): boolean {
  const nameLength = name.length;
  let at = start;
  while (at < end) {
    const first = bytes[at];
    if (first === COMMA || first === SP || first === HTAB) {
      at++;
      continue;
    }
    let matched = 0;
    while (matched < nameLength && at < end && bytes[at] === name[matched]) {
      matched++;
      at++;
    }
    if (matched === nameLength && at < end && bytes[at] === EQUALS) {
      at++;
      const from = at;
      let to = at;
      let valid = true;
      for (; at < end; at++) {
        const byte = bytes[at] ?? 0;
        if (byte === COMMA) break;
        // A tab may only be the white space before the comma, and there a later octet makes it invalid.
        if (byte === SP || byte === HTAB) continue;
        if (byte < SP || byte > TILDE || byte === EQUALS) valid = false;
        to = at + 1;
      }
      if (valid && to > from && to - from <= VALUE_BYTES_MAX && !hasTab(bytes, from, to)) {
        found.set(bytes, from, to);
        return true;
      }
    }
    while (at < end && bytes[at] !== COMMA) at++;
  }
  return false;
}

function hasTab(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] === HTAB) return true;
  return false;
}
