// W3C Baggage §3.2.2.3, the properties of one member:
//
//   property = key OWS "=" OWS value / key OWS       ; separated by OWS ";" OWS
//
// ';' and '=' may be percent-encoded: OpenTelemetry's agent for Java up to 2.31 writes `;require%3Dcheckout`, and Python encodes
// the ';' as well (see baggage.ts). The same leniency as there, and the same guarantees: names compared at the start of a
// property and exactly, each byte looked at once, nothing allocated while the value holds no '%'.
import type { Found } from "./found.ts";
import { EQUALS, HTAB, PERCENT, SEMICOLON, SP } from "./octets.ts";
import { octetWidth, percentDecode } from "./percent.ts";

/**
 * Looks for the property called `name` among those of a member, bytes[start, end) as `Found.propertiesBytes` has them, and
 * sets `found` to its percent-decoded value ('+' stays '+'). True with an empty range for a property without a value.
 *
 * W3C gives duplicates no meaning; the last one with a value wins, as it does among members. `found` must not be the object
 * that holds the member's own value, as long as that is still wanted. A call that returns false leaves it as it was.
 */
export function findProperty(bytes: Uint8Array, start: number, end: number, name: Uint8Array, found: Found): boolean {
  const nameLength = name.length;
  let seen = false;
  let valueStart = end;
  let valueEnd = end;
  let encoded = false;
  let at = start;
  while (at < end) {
    const filler = bytes[at] === SP || bytes[at] === HTAB ? 1 : octetWidth(bytes, at, end, SEMICOLON);
    if (filler > 0) {
      at += filler;
      continue;
    }
    let matched = 0;
    while (matched < nameLength && at < end && bytes[at] === name[matched]) {
      matched++;
      at++;
    }
    if (matched === nameLength) {
      while (at < end && (bytes[at] === SP || bytes[at] === HTAB)) at++;
      const equals = at < end ? octetWidth(bytes, at, end, EQUALS) : 0;
      if (at === end || octetWidth(bytes, at, end, SEMICOLON) > 0) {
        seen = true;
      } else if (equals > 0) {
        seen = true;
        at += equals;
        while (at < end && (bytes[at] === SP || bytes[at] === HTAB)) at++;
        const from = at;
        let to = at;
        let percent = false;
        for (; at < end; at++) {
          const byte = bytes[at];
          if (byte === SP || byte === HTAB) continue;
          if (octetWidth(bytes, at, end, SEMICOLON) > 0) break;
          if (byte === PERCENT) percent = true;
          to = at + 1;
        }
        if (to > from) {
          valueStart = from;
          valueEnd = to;
          encoded = percent;
        }
      }
    }
    while (at < end && octetWidth(bytes, at, end, SEMICOLON) === 0) at++;
  }
  if (!seen) return false;
  if (encoded) percentDecode(bytes, valueStart, valueEnd, found);
  else found.set(bytes, valueStart, valueEnd);
  return true;
}
