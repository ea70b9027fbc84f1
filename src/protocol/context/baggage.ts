// W3C Baggage (https://www.w3.org/TR/baggage/), read for one member.
//
//   baggage-string = list-member *( OWS "," OWS list-member )
//   list-member    = key OWS "=" OWS value *( OWS ";" OWS property )
//
// Guarantees: a name is compared only at the start of a member and exactly, so that neither another member's name, value
// or property nor a longer or shorter value can be mistaken for the key. Each byte is looked at once. Nothing is allocated
// while the value holds no '%'. There is no limit on members or bytes here: `limits.headBytesMax` bounds both.
//
// An encoded ';' (`%3B`) ends a value like a plain one. OpenTelemetry for Python (1.45 and all before) takes properties for a
// part of the value, and sends on `pr-7;require=checkout` as `pr-7%3Brequire%3Dcheckout`: read as one value, that would be an
// unknown key, and a silent visit to the baseline. The price: no routing key holds a ';' (names.ts).
//
// Lenient where nothing can go wrong by it: a value may hold octets that the grammar forbids (a space within, '"', '\',
// UTF-8 as it is). It is taken as it stands, as the propagators inside the services do; refusing it would turn a
// key that the next hop sees into a silent visit to the baseline. What yields nothing: a member without '=', one without
// a name, one without a value.
import type { Found } from "./found.ts";
import { COMMA, EQUALS, HTAB, PERCENT, SEMICOLON, SP } from "./octets.ts";
import { isEscapeOf, octetWidth, percentDecode } from "./percent.ts";

/**
 * Looks for the member called `name` in one `baggage` field value, bytes[start, end), and sets `found` to its decoded value
 * without surrounding white space, and its properties to what stands behind the value's ';' (read them with `findProperty`
 * of baggage-property.ts). Duplicates: the last one with a value wins, as in OpenTelemetry.
 *
 * Several fields combine into one list (RFC 9110 §5.3): call this for each in order with the same `found`; if any call
 * returned true, `found` holds the answer of the whole list, since a call that returns false does not touch it.
 *
 * Names are case-sensitive tokens and never decoded: `Sidelane` and `side%6Cane` are other members than `sidelane`.
 * Values are percent-decoded, properties stay as they stand, encoded ones too; octets that are not UTF-8 become U+FFFD (as
 * UTF-8). A '%' that no two hexadecimal digits follow stands for itself. Compare the result with the UTF-8 of the wanted key.
 */
export function findBaggageMember(
  bytes: Uint8Array,
  start: number,
  end: number,
  name: Uint8Array,
  found: Found,
): boolean {
  const nameLength = name.length;
  let valueStart = 0;
  let valueEnd = 0;
  let encoded = false;
  let propertiesStart = 0;
  let propertiesEnd = 0;
  let at = start;
  while (at < end) {
    const first = bytes[at];
    // White space before a member, and empty members (RFC 9110 §5.6.1: a recipient has to bear them).
    if (first === COMMA || first === SP || first === HTAB) {
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
      if (at < end && bytes[at] === EQUALS) {
        at++;
        while (at < end && (bytes[at] === SP || bytes[at] === HTAB)) at++;
        const from = at;
        // Behind the last octet of the value that is not white space.
        let to = at;
        let percent = false;
        for (; at < end; at++) {
          const byte = bytes[at];
          if (byte === COMMA || byte === SEMICOLON) break;
          if (byte === SP || byte === HTAB) continue;
          if (byte === PERCENT) {
            if (isEscapeOf(bytes, at, end, SEMICOLON)) break;
            percent = true;
          }
          to = at + 1;
        }
        if (to > from) {
          valueStart = from;
          valueEnd = to;
          encoded = percent;
          propertiesStart = at < end ? at + octetWidth(bytes, at, end, SEMICOLON) : at;
          while (at < end && bytes[at] !== COMMA) at++;
          propertiesEnd = at;
        }
      }
    }
    // The rest of the member: another's name and value, or properties. A loop beats indexOf at these lengths.
    while (at < end && bytes[at] !== COMMA) at++;
  }
  if (valueEnd === valueStart) return false;
  if (encoded) percentDecode(bytes, valueStart, valueEnd, found);
  else found.set(bytes, valueStart, valueEnd);
  if (propertiesEnd > propertiesStart) found.setProperties(bytes, propertiesStart, propertiesEnd);
  return true;
}
