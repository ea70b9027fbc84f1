// Cookies (RFC 6265 §4.2.1: cookie-string = cookie-pair *( ";" SP cookie-pair )), read as servers read them: white space
// around names and values is no part of either, and a pair of double quotes around a value is not part of it.
//
// Guarantees as in baggage.ts: a name compared only at the start of a pair and exactly (§4.1.1 leaves no room for other
// spellings), each byte looked at a bounded number of times, nothing allocated while the value holds no '%'.
import type { Found } from "./found.ts";
import { EQUALS, PERCENT, SEMICOLON } from "./octets.ts";
import { percentDecode } from "./percent.ts";
import { contentEnd, contentStart, isName, withoutElements } from "./without-elements.ts";

const QUOTE = 0x22;

/**
 * Looks for a cookie in one `cookie` field value, bytes[start, end), and sets `found` to its value, percent-decoded. True with
 * an empty range when the value is empty; a pair without '=' is no cookie of that name.
 *
 * Duplicates: the first wins, since user agents send the one with the longest path first (§5.4). HTTP/2 may split a
 * cookie-string into several fields (RFC 9113 §8.2.3): call this for each in order and stop at the first that returns true.
 * A call that returns false leaves `found` as it was.
 */
export function findCookie(bytes: Uint8Array, start: number, end: number, name: Uint8Array, found: Found): boolean {
  const nameLength = name.length;
  let at = start;
  while (at < end) {
    at = contentStart(bytes, at, end);
    let matched = 0;
    while (matched < nameLength && at < end && bytes[at] === name[matched]) {
      matched++;
      at++;
    }
    if (matched === nameLength) {
      at = contentStart(bytes, at, end);
      if (at < end && bytes[at] === EQUALS) {
        setValue(bytes, at + 1, end, found);
        return true;
      }
    }
    while (at < end && bytes[at] !== SEMICOLON) at++;
    at++;
  }
  return false;
}

function setValue(bytes: Uint8Array, start: number, end: number, found: Found): void {
  let stop = start;
  let encoded = false;
  while (stop < end && bytes[stop] !== SEMICOLON) {
    if (bytes[stop] === PERCENT) encoded = true;
    stop++;
  }
  let from = contentStart(bytes, start, stop);
  let to = contentEnd(bytes, from, stop);
  if (to - from >= 2 && bytes[from] === QUOTE && bytes[to - 1] === QUOTE) {
    from++;
    to--;
  }
  if (encoded) percentDecode(bytes, from, to, found);
  else found.set(bytes, from, to);
}

/**
 * One `cookie` field value, bytes[start, end), without the cookies of these names; the others stay byte for byte.
 * `undefined`: it has none of them. Empty: it has no others.
 */
export function withoutCookies(
  bytes: Uint8Array,
  start: number,
  end: number,
  names: readonly Uint8Array[],
): Uint8Array | undefined {
  return withoutElements(bytes, start, end, SEMICOLON, names, isCookieOf);
}

function isCookieOf(bytes: Uint8Array, start: number, end: number, name: Uint8Array): boolean {
  let stop = start;
  while (stop < end && bytes[stop] !== EQUALS) stop++;
  return isName(bytes, start, contentEnd(bytes, start, stop), name);
}
