// Taking members out of W3C tracestate (https://www.w3.org/TR/trace-context/, §3.3). Nobody but a vendor adds its own.
import { COMMA, EQUALS, SP } from "./octets.ts";
import { isName, withoutElements } from "./without-elements.ts";

/**
 * One `tracestate` field value, bytes[start, end), without the members of these names, valid or not. `undefined`: it has none
 * of them. Empty: it has no others.
 *
 * What stands around a name and is no letter of one does not hide it: OpenTelemetry's reader trims U+00A0 off a member.
 */
export function withoutTracestateMembers(
  bytes: Uint8Array,
  start: number,
  end: number,
  names: readonly Uint8Array[],
): Uint8Array | undefined {
  return withoutElements(bytes, start, end, COMMA, names, isMemberOf);
}

function isMemberOf(bytes: Uint8Array, start: number, end: number, name: Uint8Array): boolean {
  let from = start;
  let to = start;
  while (to < end && bytes[to] !== EQUALS) to++;
  while (from < to && isMargin(bytes[from] ?? 0)) from++;
  while (to > from && isMargin(bytes[to - 1] ?? 0)) to--;
  return isName(bytes, from, to, name);
}

function isMargin(octet: number): boolean {
  return octet <= SP || octet >= 0x7f;
}
