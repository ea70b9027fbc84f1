// W3C Baggage §3.2.2.3, the properties of one member:
//
//   property = key OWS "=" OWS value / key OWS       ; separated by OWS ";" OWS
//
// The same leniency as in baggage.ts, and the same guarantees: names compared at the start of a property and exactly, each
// byte looked at once, nothing allocated while the value holds no '%'.
import type { Found } from "./found.ts";
import { EQUALS, HTAB, PERCENT, SEMICOLON, SP } from "./octets.ts";
import { percentDecode } from "./percent.ts";

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
    const first = bytes[at];
    if (first === SEMICOLON || first === SP || first === HTAB) {
      at++;
      continue;
    }
    let matched = 0;
    while (matched < nameLength && at < end && bytes[at] === name[matched]) {
      matched++;
      at++;
    }
    if (matched === nameLength) {
      while (at < end && (bytes[at] === SP || bytes[at] === HTAB)) at++;
      if (at === end || bytes[at] === SEMICOLON) {
        seen = true;
      } else if (bytes[at] === EQUALS) {
        seen = true;
        at++;
        while (at < end && (bytes[at] === SP || bytes[at] === HTAB)) at++;
        const from = at;
        let to = at;
        let percent = false;
        for (; at < end; at++) {
          const byte = bytes[at];
          if (byte === SEMICOLON) break;
          if (byte === SP || byte === HTAB) continue;
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
    while (at < end && bytes[at] !== SEMICOLON) at++;
  }
  if (!seen) return false;
  if (encoded) percentDecode(bytes, valueStart, valueEnd, found);
  else found.set(bytes, valueStart, valueEnd);
  return true;
}
