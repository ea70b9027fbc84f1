// Writing W3C Baggage: members taken out, put in, counted. What is not asked for stays byte for byte.
import { copyBytes } from "../bytes.ts";
import { COMMA, EQUALS, HTAB, isBaggageOctet, PERCENT, SEMICOLON, SP } from "./octets.ts";
import { hexValue } from "./percent.ts";
import { contentEnd, contentStart, isName, withoutElements } from "./without-elements.ts";

/** W3C Baggage §3.3.2: everybody has to propagate this many members; whoever adds more may lose some. */
export const BAGGAGE_MEMBERS_MAX = 64;
/** W3C Baggage §3.3.2: and this many bytes of all members together, commas included. */
export const BAGGAGE_BYTES_MAX = 8192;

const PLUS = 0x2b;
const HEX_DIGITS = Uint8Array.from("0123456789ABCDEF", (digit) => digit.charCodeAt(0));

/** What the `baggage` fields of one request hold together: reused, see `measureBaggage`. */
export class BaggageSize {
  members = 0;
  /** Of the one list that the fields make, which joins them with commas. */
  bytes = 0;

  clear(): void {
    this.members = 0;
    this.bytes = 0;
  }

  /** Whether a member of this many bytes still fits into what W3C Baggage promises to propagate. */
  hasRoom(memberBytes: number): boolean {
    const bytes = this.bytes === 0 ? memberBytes : this.bytes + 1 + memberBytes;
    return this.members < BAGGAGE_MEMBERS_MAX && bytes <= BAGGAGE_BYTES_MAX;
  }
}

/** Adds one field value, bytes[start, end), to `size`. Empty members do not count, their commas do. */
export function measureBaggage(bytes: Uint8Array, start: number, end: number, size: BaggageSize): void {
  const from = contentStart(bytes, start, end);
  const to = contentEnd(bytes, from, end);
  if (from === to) return;
  size.bytes += to - from + (size.bytes === 0 ? 0 : 1);
  let inside = false;
  for (let at = from; at < to; at++) {
    const byte = bytes[at];
    if (byte === COMMA) {
      inside = false;
    } else if (!inside && byte !== SP && byte !== HTAB) {
      inside = true;
      size.members++;
    }
  }
}

/** `name=key` with the key, bytes[start, end) of UTF-8, percent-encoded. It is also a cookie's name and value (RFC 6265 §4.1.1). */
export function memberBytes(name: Uint8Array, key: Uint8Array, start: number, end: number): Uint8Array {
  let length = name.length + 1;
  for (let at = start; at < end; at++) length += isBaggageOctet(key[at] ?? 0) ? 1 : 3;
  const member = new Uint8Array(length);
  let to = copyBytes(name, 0, name.length, member, 0);
  member[to++] = EQUALS;
  for (let at = start; at < end; at++) {
    const byte = key[at] ?? 0;
    if (isBaggageOctet(byte)) {
      member[to++] = byte;
    } else {
      member[to++] = PERCENT;
      member[to++] = HEX_DIGITS[byte >> 4] ?? 0;
      member[to++] = HEX_DIGITS[byte & 15] ?? 0;
    }
  }
  return member;
}

/** The field value bytes[start, end) with one member more; white space and commas without a member at its ends are left out. */
export function appendMember(value: Uint8Array, start: number, end: number, member: Uint8Array): Uint8Array {
  let from = start;
  let to = end;
  while (from < to && isFiller(value[from] ?? 0)) from++;
  while (to > from && isFiller(value[to - 1] ?? 0)) to--;
  if (from === to) return member;
  const longer = new Uint8Array(to - from + 1 + member.length);
  const comma = copyBytes(value, from, to, longer, 0);
  longer[comma] = COMMA;
  copyBytes(member, 0, member.length, longer, comma + 1);
  return longer;
}

function isFiller(byte: number): boolean {
  return byte === COMMA || byte === SP || byte === HTAB;
}

/**
 * One `baggage` field value, bytes[start, end), without the members of these names. `undefined`: it has none of them. Empty:
 * it has no others.
 *
 * Wider than `findBaggageMember`, because a member that is meant to be gone must not come back one hop further on: SDKs of
 * OpenTelemetry decode names (`side%6Cane`) and trim more than white space (U+00A0, an encoded space, '+'), and send on
 * what they understood. So a name is compared as it stands, and once more decoded and without such octets around.
 */
export function withoutMembers(
  bytes: Uint8Array,
  start: number,
  end: number,
  names: readonly Uint8Array[],
): Uint8Array | undefined {
  return withoutElements(bytes, start, end, COMMA, names, isMemberOf);
}

function isMemberOf(bytes: Uint8Array, start: number, end: number, name: Uint8Array): boolean {
  let nameEnd = start;
  while (nameEnd < end && bytes[nameEnd] !== EQUALS && bytes[nameEnd] !== SEMICOLON) nameEnd++;
  return isName(bytes, start, contentEnd(bytes, start, nameEnd), name) || readsAs(bytes, start, nameEnd, name);
}

/** Whether some reader takes bytes[start, end) for `name`: percent-decoded, and trimmed of whatever somebody calls a space. */
function readsAs(bytes: Uint8Array, start: number, end: number, name: Uint8Array): boolean {
  let at = start;
  let matched = 0;
  while (at < end) {
    const byte = bytes[at] ?? 0;
    let octet = byte;
    let width = 1;
    if (byte === PERCENT && at + 2 < end) {
      const high = hexValue(bytes[at + 1] ?? 0);
      const low = hexValue(bytes[at + 2] ?? 0);
      if (high >= 0 && low >= 0) {
        octet = high * 16 + low;
        width = 3;
      }
    }
    at += width;
    if (matched < name.length && octet === name[matched]) matched++;
    else if (!(isMargin(octet) && (matched === 0 || matched === name.length))) return false;
  }
  return matched === name.length;
}

/** No letter of a name, or one ('+') that form decoding turns into a space. Above 0x7F stand the spaces of Unicode. */
function isMargin(octet: number): boolean {
  return octet <= SP || octet >= 0x7f || octet === PLUS;
}
