// Cuts that are only known once the whole head is: they walk it a second time, which few messages need.
import { COLON, LF, TOKEN_LOWER, eachListElement, equalsToken, isBlank, latin1 } from "../bytes.ts";
import { faults } from "./faults.ts";
import type { FieldTable } from "../field-table.ts";
import { fieldIds } from "./field-ids.ts";
import type { Head } from "./head.ts";

/**
 * Fields that Connection cannot take away (RFC 9110 §7.6.1: a connection option must not name a field meant for all
 * recipients). A client that names them is not believed, or it could strip its own key, its address or its credentials.
 * `x-forwarded-*` and the watched fields, which carry routing keys, are protected as well.
 */
const endToEnd: readonly Uint8Array[] = [
  "host",
  "content-length",
  "transfer-encoding",
  "content-type",
  "content-encoding",
  "cache-control",
  "authorization",
  "cookie",
  "set-cookie",
  "forwarded",
  "x-real-ip",
  "x-request-id",
  "baggage",
  "traceparent",
  "tracestate",
  "via",
].map(latin1);
const X_FORWARDED = latin1("x-forwarded-");

/**
 * Cuts the fields that Connection names (RFC 9110 §7.6.1), but for end-to-end ones.
 *
 * @param namesMax names looked at: each is compared with each line, so that a list as long as a head would take long.
 * @returns false when there are more; `head.fault` is set.
 */
export function cutNominated(head: Head, bytes: Uint8Array, table: FieldTable, namesMax: number): boolean {
  const nominated: Uint8Array[] = [];
  eachLine(head, bytes, (lineStart, nameEnd, lineEnd) => {
    if (table.find(bytes, lineStart, nameEnd) !== fieldIds.connection) return;
    let valueEnd = lineEnd - 2;
    while (isBlank(bytes[valueEnd - 1] as number)) valueEnd--;
    let valueStart = nameEnd;
    while (bytes[valueStart] !== COLON) valueStart++;
    eachListElement(bytes, valueStart + 1, valueEnd, (from, to) => {
      nominated.push(Uint8Array.from(bytes.subarray(from, to), (byte) => TOKEN_LOWER[byte] as number));
      return nominated.length <= namesMax;
    });
  });
  if (nominated.length > namesMax) {
    head.fault = faults.tooManyNominations;
    return false;
  }
  eachLine(head, bytes, (lineStart, nameEnd, lineEnd) => {
    if (!nominated.some((name) => equalsToken(bytes, lineStart, nameEnd, name))) return;
    if (endToEnd.some((name) => equalsToken(bytes, lineStart, nameEnd, name))) return;
    if (equalsToken(bytes, lineStart, Math.min(nameEnd, lineStart + X_FORWARDED.length), X_FORWARDED)) return;
    const id = table.find(bytes, lineStart, nameEnd);
    // Upgrade is named by every message that uses it, and dealt with in upgrade.ts.
    if (id >= fieldIds.watched || id === fieldIds.upgrade) return;
    head.cut(lineStart, lineEnd);
  });
  sortCuts(head);
  return true;
}

/** Cuts every line of the field with this id. */
export function cutField(head: Head, bytes: Uint8Array, table: FieldTable, id: number): void {
  eachLine(head, bytes, (lineStart, nameEnd, lineEnd) => {
    if (table.find(bytes, lineStart, nameEnd) === id) head.cut(lineStart, lineEnd);
  });
  sortCuts(head);
}

/** Brings cuts that were added out of order into ascending order, and drops those that lie within others. */
export function sortCuts(head: Head): void {
  const pairs: [number, number][] = Array.from({ length: head.cutCount }, (_, c) => [
    head.cuts[c * 2] as number,
    head.cuts[c * 2 + 1] as number,
  ]);
  pairs.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  let covered = -1;
  head.cutCount = 0;
  for (const [start, end] of pairs) {
    // Cuts are whole lines or lie within one: they never overlap in part.
    if (end <= covered) continue;
    head.cut(start, end);
    covered = end;
  }
}

function eachLine(
  head: Head,
  bytes: Uint8Array,
  visit: (lineStart: number, nameEnd: number, lineEnd: number) => void,
): void {
  let i = head.fieldsStart;
  while (i < head.fieldsEnd) {
    const lineStart = i;
    while (TOKEN_LOWER[bytes[i] as number] !== 0) i++;
    const nameEnd = i;
    while (bytes[i] !== LF) i++;
    i++;
    visit(lineStart, nameEnd, i);
  }
}
