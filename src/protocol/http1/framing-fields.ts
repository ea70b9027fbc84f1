// Content-Length and Transfer-Encoding (RFC 9112 §6): where two parsers that disagree make a smuggled request. What is not
// plain is refused; what is legal but unusual is forwarded in plain form, so that nobody behind us reads it otherwise.
import { COLON, COMMA, SPACE, eachListElement, equalsToken, isBlank, latin1, parseDecimal } from "../bytes.ts";
import { type Fault, faults } from "./faults.ts";
import type { Head } from "./head.ts";

const CHUNKED = latin1("chunked");

/**
 * RFC 9112 §6.3 rule 5: one valid value, or a list or repetition of equal valid values, which is forwarded as one. Every
 * other form (signs, hexadecimal, white space inside, nothing) is a way to smuggle.
 */
export function noteContentLength(
  head: Head,
  bytes: Uint8Array,
  lineStart: number,
  lineEnd: number,
  start: number,
  end: number,
): boolean {
  if (head.contentLength === -1 && isPlain(bytes, lineEnd, start, end)) {
    const single = parseDecimal(bytes, start, end);
    if (single >= 0) {
      head.contentLength = single;
      return true;
    }
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
  head.cutLine(lineStart, lineEnd);
  return true;
}

/** RFC 9112 §6.1: `chunked`, once, and nothing else. */
export function noteTransferEncoding(
  head: Head,
  bytes: Uint8Array,
  lineStart: number,
  lineEnd: number,
  start: number,
  end: number,
): boolean {
  head.codingLines++;
  head.codingLineStart = lineStart;
  head.codingLineEnd = lineEnd;
  if (head.codingLines === 1 && equalsToken(bytes, start, end, CHUNKED)) {
    head.chunked = true;
    if (!isPlain(bytes, lineEnd, start, end)) {
      head.codingRewritten = true;
      head.cutLine(lineStart, lineEnd);
    }
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

/**
 * Whether at most one space stands before the value and nothing behind it. Tabs and trailing blanks are legal (RFC 9112
 * §5) and known from attacks: a server that does not trim them overlooks `Transfer-Encoding: \tchunked`.
 */
function isPlain(bytes: Uint8Array, lineEnd: number, start: number, end: number): boolean {
  if (end !== lineEnd - 2) return false;
  const before = bytes[start - 1];
  return before === COLON || (before === SPACE && bytes[start - 2] === COLON);
}
