// The field section of a request or response head, or of a trailer section, scanned once (RFC 9112 §5).
//
// Guarantees after a scan that returned an offset: every line ends with CR LF, every name is a token, no value holds a
// control byte, nothing is folded; the framing fields are understood; `cuts` holds, in order, the ranges that must not be
// forwarded. The bytes themselves are not changed and nothing is allocated but for rare fields.
//
// Limits: the caller's. Mechanism: a NUL is written behind the last byte that may be looked at (`putSentinel`), which no
// character class contains; the inner loops therefore need no bounds check.
import { assert } from "../../base/assert.ts";
import { COLON, CR, DELETE, LF, NUL, SPACE, TAB, TOKEN_LOWER, isBlank } from "../bytes.ts";
import { faults } from "./faults.ts";
import type { FieldTable } from "../field-table.ts";
import { FAULTY, type Head, INCOMPLETE } from "./head.ts";
import { noteField } from "./note-field.ts";

/**
 * Scans field lines from `at` up to and including the empty line.
 *
 * @param end behind the last received byte, already bounded by `headBytesMax`; `bytes[end]` is NUL.
 * @returns the offset behind the head, INCOMPLETE or FAULTY.
 */
export function scanFields(
  head: Head,
  bytes: Uint8Array,
  at: number,
  end: number,
  table: FieldTable,
  response: boolean,
  headerCountMax: number,
): number {
  head.fieldsStart = at;
  let fieldCount = 0;
  let i = at;
  for (;;) {
    const lineStart = i;
    const first = bytes[i] as number;
    if (TOKEN_LOWER[first] === 0) {
      if (first === CR) {
        if (bytes[i + 1] === LF && i + 1 < end) {
          head.fieldsEnd = lineStart;
          return i + 2;
        }
        return i + 1 >= end ? INCOMPLETE : head.fail(faults.bareCarriageReturn);
      }
      if (i >= end) return INCOMPLETE;
      if (first === LF) return head.fail(faults.bareLineFeed);
      // RFC 9112 §5.2 for folded lines, §2.2 for white space before the first field.
      return head.fail(isBlank(first) ? faults.foldedLine : faults.fieldName);
    }
    do i++;
    while (TOKEN_LOWER[bytes[i] as number] !== 0);
    const nameEnd = i;
    if (bytes[i] !== COLON) {
      if (i >= end) return INCOMPLETE;
      if (!isBlank(bytes[i] as number)) return head.fail(faults.fieldName);
      // RFC 9112 §5.1: a server rejects it, a proxy removes it from a response.
      if (!response) return head.fail(faults.spaceBeforeColon);
      while (isBlank(bytes[i] as number)) i++;
      if (i >= end) return INCOMPLETE;
      if (bytes[i] !== COLON) return head.fail(faults.fieldName);
      head.cut(nameEnd, i);
    }
    i++;
    while (bytes[i] === SPACE || bytes[i] === TAB) i++;
    const valueStart = i;
    // Comparing is faster here than a table like those of bytes.ts: a sixth of a whole parse (bench/micro/head.ts).
    for (;;) {
      let byte = bytes[i] as number;
      while (byte >= SPACE && byte !== DELETE) byte = bytes[++i] as number;
      if (byte !== TAB) break;
      i++;
    }
    let valueEnd = i;
    if (bytes[i] !== CR || bytes[i + 1] !== LF || i + 1 >= end) {
      if (i >= end) return INCOMPLETE;
      if (bytes[i] === CR) return i + 1 >= end ? INCOMPLETE : head.fail(faults.bareCarriageReturn);
      return head.fail(bytes[i] === LF ? faults.bareLineFeed : faults.fieldValue);
    }
    i += 2;
    if (++fieldCount > headerCountMax) return head.fail(faults.tooManyFields);
    const id = table.find(bytes, lineStart, nameEnd);
    if (id !== 0) {
      while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1] as number)) valueEnd--;
      if (!noteField(head, bytes, id, lineStart, i, valueStart, valueEnd, response)) return FAULTY;
    }
  }
}

/** Writes the NUL that `scanFields` relies on; the buffer must have room for it. */
export function putSentinel(bytes: Uint8Array, end: number): void {
  assert(end < bytes.length, "no room for the sentinel behind the received bytes");
  bytes[end] = NUL;
}
