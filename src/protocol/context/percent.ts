import type { Found } from "./found.ts";
import { PERCENT, SP } from "./octets.ts";

const PLUS = 0x2b;
/** U+FFFD in UTF-8. */
const REPLACEMENT = [0xef, 0xbf, 0xbd] as const;
/** One octet can become the three of U+FFFD; nothing grows more. */
const GROWTH_MAX = 3;

/**
 * Percent-decodes bytes[start, end) (RFC 3986 §2.1) into the scratch of `found` and sets `found` to the result, which is
 * always valid UTF-8: each maximal part of an ill-formed sequence becomes one U+FFFD, as in `TextDecoder` (W3C Baggage
 * §3.3.1 asks for the replacement). A '%' without two hexadecimal digits behind it is kept as it is (as the URL standard does): it
 * cannot collide with another key, while dropping the member would hide the key altogether.
 */
export function percentDecode(bytes: Uint8Array, start: number, end: number, found: Found): void {
  decode(bytes, start, end, false, found);
}

/** As `percentDecode`, with '+' for a space (https://url.spec.whatwg.org/#urlencoded-parsing). */
export function formDecode(bytes: Uint8Array, start: number, end: number, found: Found): void {
  decode(bytes, start, end, true, found);
}

function decode(bytes: Uint8Array, start: number, end: number, plusIsSpace: boolean, found: Found): void {
  const length = end - start;
  // Decoded octets go to the far third first, so that well-formed UTF-8 can be written from the near end without ever
  // overtaking what is still to be read: after k octets read, at most 3 k are written.
  const room = found.room(length * GROWTH_MAX);
  const from = length * (GROWTH_MAX - 1);
  let to = from;
  for (let at = start; at < end; at++) {
    let byte = bytes[at] ?? 0;
    if (byte === PERCENT && at + 2 < end) {
      const high = hexValue(bytes[at + 1] ?? 0);
      const low = hexValue(bytes[at + 2] ?? 0);
      if (high >= 0 && low >= 0) {
        byte = high * 16 + low;
        at += 2;
      }
    } else if (plusIsSpace && byte === PLUS) {
      byte = SP;
    }
    room[to++] = byte;
  }
  found.set(room, 0, repairUtf8(room, from, to));
}

/** Copies bytes[from, to) to bytes[0...] with ill-formed parts replaced; returns how many were written. */
function repairUtf8(bytes: Uint8Array, from: number, to: number): number {
  let written = 0;
  let at = from;
  while (at < to) {
    const lead = bytes[at] ?? 0;
    if (lead < 0x80) {
      bytes[written++] = lead;
      at++;
      continue;
    }
    const size = sequenceSize(lead);
    let matched = 1;
    while (matched < size && at + matched < to && continues(lead, matched, bytes[at + matched] ?? 0)) matched++;
    if (matched === size) {
      for (let i = 0; i < size; i++) bytes[written++] = bytes[at + i] ?? 0;
    } else {
      for (const byte of REPLACEMENT) bytes[written++] = byte;
    }
    at += matched;
  }
  return written;
}

/** Octets of the sequence that starts with `lead` >= 0x80; 0 for one that starts none (Unicode 16, table 3-7). */
function sequenceSize(lead: number): number {
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) return 3;
  return lead < 0xf5 ? 4 : 0;
}

/** Whether `byte` may stand at `index` behind `lead`: keeps out overlong forms, surrogates and what exceeds U+10FFFF. */
function continues(lead: number, index: number, byte: number): boolean {
  if (index === 1) {
    if (lead === 0xe0) return byte >= 0xa0 && byte <= 0xbf;
    if (lead === 0xed) return byte >= 0x80 && byte <= 0x9f;
    if (lead === 0xf0) return byte >= 0x90 && byte <= 0xbf;
    if (lead === 0xf4) return byte >= 0x80 && byte <= 0x8f;
  }
  return byte >= 0x80 && byte <= 0xbf;
}

/** How many bytes at `at` stand for this octet: 1 as itself, 3 percent-encoded, 0 when it is another. */
export function octetWidth(bytes: Uint8Array, at: number, end: number, octet: number): number {
  const byte = bytes[at];
  if (byte === octet) return 1;
  return byte === PERCENT && isEscapeOf(bytes, at, end, octet) ? 3 : 0;
}

/** Whether the two bytes behind the '%' at `at` are this octet's hexadecimal digits. */
export function isEscapeOf(bytes: Uint8Array, at: number, end: number, octet: number): boolean {
  if (at + 2 >= end || hexValue(bytes[at + 1] ?? 0) !== octet >> 4) return false;
  return hexValue(bytes[at + 2] ?? 0) === (octet & 15);
}

/** By octet. Looked up, because ids are random: a branch for each digit would be guessed wrong half the time. */
const HEX_VALUES = Int8Array.from({ length: 256 }, (_, byte) =>
  "0123456789abcdef".indexOf(String.fromCharCode(byte).toLowerCase()),
);

/** The value of a hexadecimal digit, -1 for every other octet. */
export function hexValue(byte: number): number {
  return HEX_VALUES[byte] as number;
}
