// Character classes of HTTP/1.1 as tables indexed by byte. A NUL is in none of them, so that a NUL written behind the
// last received byte ends every scan without a bounds check per byte (scan-fields.ts).

import { Buffer } from "node:buffer";

export const NUL = 0x00;
export const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;
export const HASH = 0x23;
export const COMMA = 0x2c;
export const DOT = 0x2e;
export const SLASH = 0x2f;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;
export const ASTERISK = 0x2a;
export const DELETE = 0x7f;
export const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;

/** `TOKEN_LOWER[byte]`: the byte in lower case when it may stand in a token (RFC 9110 §5.6.2), else 0. */
export const TOKEN_LOWER: Uint8Array = table((byte) =>
  /^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/.test(String.fromCharCode(byte))
    ? String.fromCharCode(byte).toLowerCase().charCodeAt(0)
    : 0,
);

/** 1 where the byte may stand in a field value, reason phrase or chunk extension: HTAB, SP, VCHAR, obs-text (RFC 9110 §5.5). */
export const FIELD_VALUE: Uint8Array = table((byte) => Number(byte === TAB || (byte >= SPACE && byte !== DELETE)));

/**
 * 1 where the byte may stand in a request target. RFC 3986 allows less, but clients send `|`, `"` or UTF-8 as they are
 * and servers accept them; what matters here is that no white space or control byte gets through (RFC 9112 §3.2). A
 * fragment is never sent (RFC 9110 §7.1), and what stands behind a `#` is path to one server and nothing to another.
 */
export const TARGET: Uint8Array = table((byte) => Number(byte > SPACE && byte !== HASH && byte !== DELETE));

/**
 * 1 where the byte may stand in a host that is a name or an IPv4 address (RFC 3986 §3.2.2), but for the comma, which is what
 * a merged pair of Host fields looks like. What has none of these: userinfo (RFC 9110 §4.2.4), paths, ports.
 */
export const REG_NAME: Uint8Array = table((byte) =>
  Number(/^[A-Za-z0-9\-._~%!$&'()*+;=]$/.test(String.fromCharCode(byte))),
);

/** The value of a hexadecimal digit, 255 for every other byte. */
export const HEX: Uint8Array = table((byte) => {
  const value = Number.parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(value) ? 255 : value;
});

function table(classify: (byte: number) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => classify(byte));
}

/** The bytes of an ASCII or Latin-1 text. */
export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Text of bytes, one character per byte: for messages and logs, never for decisions. */
export function textOf(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let at = start; at < end; at += 4096) {
    text += String.fromCharCode(...bytes.subarray(at, Math.min(end, at + 4096)));
  }
  return text;
}

/** Whether `bytes[start, end)` equals `lower` when folded to lower case; `lower` holds token characters only. */
export function equalsToken(bytes: Uint8Array, start: number, end: number, lower: Uint8Array): boolean {
  if (end - start !== lower.length) return false;
  for (let i = 0; i < lower.length; i++) {
    if (TOKEN_LOWER[bytes[start + i] as number] !== lower[i]) return false;
  }
  return true;
}

/** The number in `bytes[start, end)` made of digits only, below 2^53; NOT_A_NUMBER otherwise. */
export function parseDecimal(bytes: Uint8Array, start: number, end: number): number {
  if (end <= start || end - start > 16) return NOT_A_NUMBER;
  let value = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte < DIGIT_0 || byte > DIGIT_9) return NOT_A_NUMBER;
    value = value * 10 + (byte - DIGIT_0);
  }
  return value <= Number.MAX_SAFE_INTEGER ? value : NOT_A_NUMBER;
}

/** What `parseDecimal` returns for anything else. */
export const NOT_A_NUMBER = -2;

/**
 * Calls `visit` for each non-empty element of a comma-separated list (RFC 9110 §5.6.1), trimmed, until it returns false.
 * For rare fields; the request path does not come here.
 */
export function eachListElement(
  bytes: Uint8Array,
  start: number,
  end: number,
  visit: (start: number, end: number) => boolean | void,
): void {
  let at = start;
  while (at < end) {
    let stop = at;
    while (stop < end && bytes[stop] !== COMMA) stop++;
    let from = at;
    let to = stop;
    while (from < to && isBlank(bytes[from] as number)) from++;
    while (to > from && isBlank(bytes[to - 1] as number)) to--;
    if (to > from && visit(from, to) === false) return;
    at = stop + 1;
  }
}

/** Optional white space: SP or HTAB. */
export function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}

/** `Buffer.copy` needs no view of the source: `Uint8Array.set` of a subarray is as fast but allocates 104 bytes each time. */
const copyNatively: (this: Uint8Array, to: Uint8Array, at: number, start: number, end: number) => number =
  Buffer.prototype.copy;
/** Up to here a loop is faster than the call (bench/micro/head.ts). */
const LOOP_BYTES_MAX = 20;

/** Copies `from[start, end)` to `to[at...]` and returns the offset behind the copy. Allocates nothing. */
export function copyBytes(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  const length = end - start;
  if (length > LOOP_BYTES_MAX) copyNatively.call(from, to, at, start, end);
  else for (let i = 0; i < length; i++) to[at + i] = from[start + i] as number;
  return at + length;
}

/** The parts as one array. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) at = copyBytes(part, 0, part.length, whole, at);
  return whole;
}
