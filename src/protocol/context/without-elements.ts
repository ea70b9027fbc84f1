import { copyBytes, isBlank } from "../bytes.ts";

/** Whether the element bytes[start, end), without white space around and not empty, is one of `name`. */
export type IsNamed = (bytes: Uint8Array, start: number, end: number, name: Uint8Array) => boolean;

const NOTHING = new Uint8Array(0);

/**
 * A field value that is a list, without the elements of these names. Those that stay, stay byte for byte with the white
 * space between them; elements without content are not written again (RFC 9110 §5.6.1.1), and no white space is left at
 * either end, which HTTP/2 would refuse (RFC 9113 §8.2.1).
 *
 * `undefined`: there is nothing to remove, which allocates nothing. Empty: nothing is left, so the field has to go.
 */
export function withoutElements(
  bytes: Uint8Array,
  start: number,
  end: number,
  separator: number,
  names: readonly Uint8Array[],
  isNamed: IsNamed,
): Uint8Array | undefined {
  let kept: Uint8Array | undefined;
  for (let at = start; at < end && kept === undefined;) {
    const stop = elementEnd(bytes, at, end, separator);
    if (isOneOf(bytes, at, stop, names, isNamed)) kept = new Uint8Array(end - start);
    at = stop + 1;
  }
  if (kept === undefined) return undefined;
  let length = 0;
  for (let at = start; at < end;) {
    const stop = elementEnd(bytes, at, end, separator);
    const from = contentStart(bytes, at, stop);
    if (from < stop && !isOneOf(bytes, from, stop, names, isNamed)) {
      if (length > 0) kept[length++] = separator;
      length = copyBytes(bytes, length > 0 ? at : from, stop, kept, length);
    }
    at = stop + 1;
  }
  length = contentEnd(kept, 0, length);
  return length === 0 ? NOTHING : kept.subarray(0, length);
}

function elementEnd(bytes: Uint8Array, start: number, end: number, separator: number): number {
  let at = start;
  while (at < end && bytes[at] !== separator) at++;
  return at;
}

function isOneOf(
  bytes: Uint8Array,
  start: number,
  end: number,
  names: readonly Uint8Array[],
  isNamed: IsNamed,
): boolean {
  const from = contentStart(bytes, start, end);
  const to = contentEnd(bytes, from, end);
  if (from === to) return false;
  for (const name of names) if (isNamed(bytes, from, to, name)) return true;
  return false;
}

/** Where bytes[start, end) begins behind its white space. */
export function contentStart(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && isBlank(bytes[at] ?? 0)) at++;
  return at;
}

/** Where bytes[start, end) ends before its white space. */
export function contentEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = end;
  while (at > start && isBlank(bytes[at - 1] ?? 0)) at--;
  return at;
}

/** Whether bytes[start, end) is `name`, octet for octet. */
export function isName(bytes: Uint8Array, start: number, end: number, name: Uint8Array): boolean {
  if (end - start !== name.length) return false;
  for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name[i]) return false;
  return true;
}
