// The field section of a request or response head, scanned once (RFC 9112 §5, RFC 9110 §5 and §7.6.1).
//
// Guarantees after a scan that returned an offset: every line ends with CR LF, every name is a token, no value holds a
// control byte, nothing is folded; the framing fields are understood and unambiguous; `cuts` holds, in order, the ranges
// that must not be forwarded. The bytes themselves are not changed and nothing is allocated but for rare fields.
//
// Limits: the caller's `HeadLimits`. Mechanism: a NUL is written behind the last received byte (the buffer must have room
// for one), which no character class contains; the inner loops therefore need no bounds check.
import {
  COLON,
  COMMA,
  CR,
  DIGIT_0,
  DIGIT_9,
  FIELD_VALUE,
  LF,
  NUL,
  SPACE,
  TAB,
  TOKEN_LOWER,
  eachListElement,
  equalsToken,
  isBlank,
  latin1,
} from "./bytes.ts";
import { faults, type Fault } from "./faults.ts";
import { type FieldTable, fieldIds } from "./field-table.ts";

/** What one head may take; see `limits` in base/limits.ts. */
export interface HeadLimits {
  readonly headBytesMax: number;
  readonly headerCountMax: number;
  readonly uriBytesMax: number;
}

/** Returned in place of an offset: the head is not complete yet. */
export const INCOMPLETE = 0;
/** Returned in place of an offset: `head.fault` says what is wrong. */
export const FAULTY = -1;

/** Cuts and watched fields that fit without growing; a head with more grows the array once. */
const CUTS_INITIAL = 16;

/**
 * What one head said, as offsets into the buffer that was parsed: valid only while that buffer is unchanged. One object
 * is reused for all heads of a process, because a head is parsed and serialised in one go.
 */
export class Head {
  fault: Fault = faults.requestLine;
  /** 0 or 1: HTTP/1.minor. */
  minor = 1;
  fieldsStart = 0;
  /** Behind the last field line, before the empty line. */
  fieldsEnd = 0;
  fieldCount = 0;

  /** -1 when there is no Content-Length. */
  contentLength = -1;
  /** Content-Length stood as a list of equal values: all its lines are cut and one is to be added. */
  contentLengthRewritten = false;
  chunked = false;
  /** Transfer-Encoding lines seen, and where the (only) one stands. */
  codingLines = 0;
  codingLineStart = 0;
  codingLineEnd = 0;

  /** Connection options (RFC 9110 §7.6.1). */
  connectionClose = false;
  connectionKeepAlive = false;
  /** Connection named fields beyond those that are hop-by-hop anyway. */
  nominates = false;
  upgrade = false;
  /** Every upgrade asked for is h2c, which is not forwarded but does not hinder either (RFC 9113 §3.1). */
  upgradeH2cOnly = true;
  teTrailers = false;

  hostStart = -1;
  hostEnd = -1;
  hostLineStart = -1;
  hostLineEnd = -1;
  hostCount = 0;
  expectContinue = false;
  debug = false;
  maxForwards = -1;
  maxForwardsLineStart = -1;
  maxForwardsLineEnd = -1;

  /** Pairs [start, end): not forwarded. In ascending order. */
  cuts: Int32Array = new Int32Array(CUTS_INITIAL * 2);
  cutCount = 0;
  /** Triples (field id, value start, value end) of Via and watched fields, in order. */
  watched: Int32Array = new Int32Array(CUTS_INITIAL * 3);
  watchedCount = 0;

  /** Forgets the previous head. */
  reset(): void {
    this.minor = 1;
    this.fieldCount = 0;
    this.contentLength = -1;
    this.contentLengthRewritten = false;
    this.chunked = false;
    this.codingLines = 0;
    this.connectionClose = false;
    this.connectionKeepAlive = false;
    this.nominates = false;
    this.upgrade = false;
    this.upgradeH2cOnly = true;
    this.teTrailers = false;
    this.hostStart = -1;
    this.hostEnd = -1;
    this.hostCount = 0;
    this.expectContinue = false;
    this.debug = false;
    this.maxForwards = -1;
    this.cutCount = 0;
    this.watchedCount = 0;
  }

  cut(start: number, end: number): void {
    const at = this.cutCount * 2;
    if (at === this.cuts.length) this.cuts = grown(this.cuts);
    this.cuts[at] = start;
    this.cuts[at + 1] = end;
    this.cutCount++;
  }

  watch(id: number, start: number, end: number): void {
    const at = this.watchedCount * 3;
    if (at === this.watched.length) this.watched = grown(this.watched);
    this.watched[at] = id;
    this.watched[at + 1] = start;
    this.watched[at + 2] = end;
    this.watchedCount++;
  }

  fail(fault: Fault): number {
    this.fault = fault;
    return FAULTY;
  }
}

function grown(array: Int32Array): Int32Array {
  const larger = new Int32Array(array.length * 4);
  larger.set(array);
  return larger;
}

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
    while (FIELD_VALUE[bytes[i] as number] === 1) i++;
    let valueEnd = i;
    if (bytes[i] !== CR || bytes[i + 1] !== LF || i + 1 >= end) {
      if (i >= end) return INCOMPLETE;
      if (bytes[i] === CR) return i + 1 >= end ? INCOMPLETE : head.fail(faults.bareCarriageReturn);
      return head.fail(bytes[i] === LF ? faults.bareLineFeed : faults.fieldValue);
    }
    i += 2;
    if (++head.fieldCount > headerCountMax) return head.fail(faults.tooManyFields);
    const id = table.find(bytes, lineStart, nameEnd);
    if (id !== 0) {
      while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1] as number)) valueEnd--;
      if (!noteField(head, bytes, id, lineStart, i, valueStart, valueEnd, response)) return FAULTY;
    }
  }
}

/** Takes in one field that matters; false when it breaks the rules (`head.fault` is set). */
function noteField(
  head: Head,
  bytes: Uint8Array,
  id: number,
  lineStart: number,
  lineEnd: number,
  start: number,
  end: number,
  response: boolean,
): boolean {
  switch (id) {
    case fieldIds.host:
      head.hostCount++;
      head.hostStart = start;
      head.hostEnd = end;
      head.hostLineStart = lineStart;
      head.hostLineEnd = lineEnd;
      return true;
    case fieldIds.connection:
      head.cut(lineStart, lineEnd);
      noteConnection(head, bytes, start, end);
      return true;
    case fieldIds.contentLength:
      return noteContentLength(head, bytes, lineStart, lineEnd, start, end);
    case fieldIds.transferEncoding:
      head.codingLineStart = lineStart;
      head.codingLineEnd = lineEnd;
      return noteTransferEncoding(head, bytes, start, end);
    case fieldIds.hopByHop:
      head.cut(lineStart, lineEnd);
      return true;
    case fieldIds.upgrade:
      head.cut(lineStart, lineEnd);
      head.upgrade = true;
      eachListElement(bytes, start, end, (from, to) => {
        if (!equalsToken(bytes, from, to, H2C)) head.upgradeH2cOnly = false;
      });
      return true;
    case fieldIds.te:
      head.cut(lineStart, lineEnd);
      eachListElement(bytes, start, end, (from, to) => {
        if (equalsToken(bytes, from, to, TRAILERS)) head.teTrailers = true;
      });
      return true;
    case fieldIds.expect:
      if (response) return true;
      if (!equalsToken(bytes, start, end, CONTINUE)) {
        head.fault = faults.expectation;
        return false;
      }
      head.expectContinue = true;
      return true;
    case fieldIds.maxForwards:
      return noteMaxForwards(head, bytes, lineStart, lineEnd, start, end);
    case fieldIds.debug:
      head.debug = end - start === 1 && bytes[start] === DIGIT_0 + 1;
      return true;
    default:
      head.watch(id, start, end);
      return true;
  }
}

const H2C = latin1("h2c");
const TRAILERS = latin1("trailers");
const CONTINUE = latin1("100-continue");
const CLOSE = latin1("close");
const KEEP_ALIVE = latin1("keep-alive");
const CHUNKED = latin1("chunked");

/** Options that are dealt with by their own field lines. */
const handledOptions = ["te", "upgrade", "proxy-connection", "http2-settings"].map(latin1);

function noteConnection(head: Head, bytes: Uint8Array, start: number, end: number): void {
  if (equalsToken(bytes, start, end, KEEP_ALIVE)) {
    head.connectionKeepAlive = true;
    return;
  }
  if (equalsToken(bytes, start, end, CLOSE)) {
    head.connectionClose = true;
    return;
  }
  eachListElement(bytes, start, end, (from, to) => {
    if (equalsToken(bytes, from, to, KEEP_ALIVE)) head.connectionKeepAlive = true;
    else if (equalsToken(bytes, from, to, CLOSE)) head.connectionClose = true;
    else if (!handledOptions.some((option) => equalsToken(bytes, from, to, option))) head.nominates = true;
  });
}

/** The number in `bytes[start, end)` made of digits only, below 2^53; -1 otherwise. */
export function parseDecimal(bytes: Uint8Array, start: number, end: number): number {
  if (end <= start || end - start > 16) return -1;
  let value = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte < DIGIT_0 || byte > DIGIT_9) return -1;
    value = value * 10 + (byte - DIGIT_0);
  }
  return value <= Number.MAX_SAFE_INTEGER ? value : -1;
}

/**
 * RFC 9112 §6.3 rule 5: one valid value, or a list or repetition of equal valid values, which is forwarded as one. Every
 * other form (signs, hexadecimal, white space inside, nothing) is a way to smuggle.
 */
function noteContentLength(
  head: Head,
  bytes: Uint8Array,
  lineStart: number,
  lineEnd: number,
  start: number,
  end: number,
): boolean {
  const single = parseDecimal(bytes, start, end);
  if (single >= 0 && head.contentLength === -1) {
    head.contentLength = single;
    return true;
  }
  let fault: Fault | undefined;
  let at = start;
  for (;;) {
    let stop = at;
    while (stop < end && bytes[stop] !== COMMA) stop++;
    let from = at;
    let to = stop;
    while (from < to && isBlank(bytes[from] as number)) from++;
    while (to > from && isBlank(bytes[to - 1] as number)) to--;
    const value = parseDecimal(bytes, from, to);
    if (value < 0) fault = faults.contentLength;
    else if (head.contentLength === -1) {
      head.contentLength = value;
      head.contentLengthRewritten = true;
    } else if (head.contentLength !== value) fault ??= faults.contentLengthConflict;
    if (stop >= end) break;
    at = stop + 1;
  }
  if (fault !== undefined) {
    head.fault = fault;
    return false;
  }
  head.cut(lineStart, lineEnd);
  return true;
}

/** RFC 9112 §6.1: `chunked`, once, and nothing else. */
function noteTransferEncoding(head: Head, bytes: Uint8Array, start: number, end: number): boolean {
  head.codingLines++;
  if (head.codingLines === 1 && equalsToken(bytes, start, end, CHUNKED)) {
    head.chunked = true;
    return true;
  }
  let codings = 0;
  let chunkedCodings = 0;
  let lastIsChunked = false;
  eachListElement(bytes, start, end, (from, to) => {
    codings++;
    lastIsChunked = equalsToken(bytes, from, to, CHUNKED);
    if (lastIsChunked) chunkedCodings++;
  });
  // An unknown coding before one final `chunked` is valid HTTP that is not supported; all the rest is ambiguous.
  const understandable = head.codingLines === 1 && codings > 1 && chunkedCodings === 1 && lastIsChunked;
  const onlyUnknown = head.codingLines === 1 && codings > 0 && chunkedCodings === 0 && bytes[start] !== COMMA;
  head.fault = understandable || onlyUnknown ? faults.codingUnknown : faults.codingList;
  return false;
}

function noteMaxForwards(
  head: Head,
  bytes: Uint8Array,
  lineStart: number,
  lineEnd: number,
  start: number,
  end: number,
): boolean {
  if (head.maxForwards !== -1 || (head.maxForwards = parseDecimal(bytes, start, end)) === -1) {
    head.fault = faults.maxForwards;
    return false;
  }
  head.maxForwardsLineStart = lineStart;
  head.maxForwardsLineEnd = lineEnd;
  return true;
}

/**
 * Fields that Connection cannot take away (RFC 9110 §7.6.1: a connection option must not name a field meant for all
 * recipients). A client that names them is not believed, or it could strip its own key, its address or its credentials.
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
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-real-ip",
  "x-request-id",
  "baggage",
  "traceparent",
  "tracestate",
  "via",
].map(latin1);

/** Cuts the fields that Connection names, but for end-to-end ones. Walks the head a second time; rarely needed. */
export function cutNominated(head: Head, bytes: Uint8Array, table: FieldTable): void {
  const nominated: Uint8Array[] = [];
  eachLine(head, bytes, (lineStart, nameEnd, lineEnd) => {
    if (table.find(bytes, lineStart, nameEnd) !== fieldIds.connection) return;
    let valueEnd = lineEnd - 2;
    while (isBlank(bytes[valueEnd - 1] as number)) valueEnd--;
    let valueStart = nameEnd;
    while (bytes[valueStart] !== COLON) valueStart++;
    eachListElement(bytes, valueStart + 1, valueEnd, (from, to) => {
      nominated.push(bytes.slice(from, to).map((byte) => TOKEN_LOWER[byte] as number));
    });
  });
  const before = head.cutCount;
  eachLine(head, bytes, (lineStart, nameEnd, lineEnd) => {
    if (!nominated.some((name) => equalsToken(bytes, lineStart, nameEnd, name))) return;
    if (endToEnd.some((name) => equalsToken(bytes, lineStart, nameEnd, name))) return;
    if (table.find(bytes, lineStart, nameEnd) >= fieldIds.watched) return;
    for (let c = 0; c < before; c++) if (head.cuts[c * 2] === lineStart) return;
    head.cut(lineStart, lineEnd);
  });
  sortCuts(head);
}

/** Brings cuts that were added out of order into ascending order. */
export function sortCuts(head: Head): void {
  const pairs = Array.from({ length: head.cutCount }, (_, c) => [
    head.cuts[c * 2] as number,
    head.cuts[c * 2 + 1] as number,
  ]);
  pairs.sort((a, b) => (a[0] as number) - (b[0] as number));
  let covered = -1;
  head.cutCount = 0;
  for (const [start, end] of pairs as [number, number][]) {
    // A cut inside another one (white space before the colon of a line that goes as a whole) would disturb the copying.
    if (end <= covered) continue;
    head.cut(Math.max(start, covered), end);
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

/** Puts the sentinel that `scanFields` relies on; see the head of this file. */
export function putSentinel(bytes: Uint8Array, end: number): void {
  bytes[end] = NUL;
}
