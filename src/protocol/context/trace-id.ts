// Under which trace a request goes, in any of the notations that services use.
//
// Guarantees: strict (a malformed value is no id, and leaves the answer as it was), each octet looked at a bounded number of
// times, nothing allocated.
import { hexValue } from "./percent.ts";
import { hashRequestId } from "./request-id.ts";
import { isSampled, isTraceparent, PARENT_ID, PARENT_ID_END, TRACE_ID, TRACE_ID_END } from "./traceparent.ts";

/** The notations. `none`: no id was read. */
export const traceKinds = {
  none: 0,
  traceparent: 1,
  b3: 2,
  b3TraceId: 3,
  datadog: 4,
  uber: 5,
  requestId: 6,
} as const;

/** The fields that hold an id, in small letters, in order of preference: the first that can be read counts. */
export const traceFields: readonly { readonly name: string; readonly kind: number }[] = [
  { name: "traceparent", kind: traceKinds.traceparent },
  { name: "b3", kind: traceKinds.b3 },
  { name: "x-b3-traceid", kind: traceKinds.b3TraceId },
  { name: "x-datadog-trace-id", kind: traceKinds.datadog },
  { name: "uber-trace-id", kind: traceKinds.uber },
  { name: "x-request-id", kind: traceKinds.requestId },
];

const NO_BYTES = new Uint8Array(0);

/**
 * The id of a trace. Made once and reused; `bytes` is the input, so it is valid no longer than that stays as it is. The four
 * words are the id itself and stay.
 */
export class TraceId {
  /** 128 bits from high to low as signed 32-bit integers; an id of 64 bits has w0 = w1 = 0, a request id is a hash. */
  w0 = 0;
  w1 = 0;
  w2 = 0;
  w3 = 0;
  bytes: Uint8Array = NO_BYTES;
  /** The id as it was written: bytes[start, end), decimal in Datadog's notation. */
  start = 0;
  end = 0;
  /** The span that sent the request, in the same bytes; an empty range when the value does not hold it. */
  spanStart = 0;
  spanEnd = 0;
  /** The value itself says that the trace is recorded. */
  sampled = false;
  /** One of `traceKinds`. */
  kind = 0;

  /** Back to no id at all. */
  clear(): void {
    this.w0 = 0;
    this.w1 = 0;
    this.w2 = 0;
    this.w3 = 0;
    this.bytes = NO_BYTES;
    this.start = 0;
    this.end = 0;
    this.spanStart = 0;
    this.spanEnd = 0;
    this.sampled = false;
    this.kind = traceKinds.none;
  }
}

/**
 * Whether both name one trace. Notations mix on the way (Datadog and B3 send the low 64 bits of a W3C id, Jaeger drops zeros),
 * so the low halves have to be equal, and the high ones only where both have one. A request id is equal to nothing but a
 * request id.
 */
export function sameTrace(a: TraceId, b: TraceId): boolean {
  if (a.kind === traceKinds.none || b.kind === traceKinds.none) return false;
  if (a.w2 !== b.w2 || a.w3 !== b.w3) return false;
  const sameHigh = a.w0 === b.w0 && a.w1 === b.w1;
  if (a.kind === traceKinds.requestId || b.kind === traceKinds.requestId) return a.kind === b.kind && sameHigh;
  return sameHigh || (a.w0 | a.w1) === 0 || (b.w0 | b.w1) === 0;
}

/**
 * Reads the value of a field of `traceFields`, bytes[start, end) without white space around, into `into`. False: there is no
 * id in it, and `into` stays as it was.
 */
export function readTraceId(kind: number, bytes: Uint8Array, start: number, end: number, into: TraceId): boolean {
  switch (kind) {
    case traceKinds.traceparent:
      return readTraceparent(bytes, start, end, into);
    case traceKinds.b3:
      return readB3(bytes, start, end, into);
    case traceKinds.b3TraceId:
      return readB3TraceId(bytes, start, end, into);
    case traceKinds.datadog:
      return readDatadog(bytes, start, end, into);
    case traceKinds.uber:
      return readUber(bytes, start, end, into);
    case traceKinds.requestId:
      return readRequestId(bytes, start, end, into);
    default:
      return false;
  }
}

function readTraceparent(bytes: Uint8Array, start: number, end: number, into: TraceId): boolean {
  if (!isTraceparent(bytes, start, end)) return false;
  setHex(into, traceKinds.traceparent, bytes, start + TRACE_ID, start + TRACE_ID_END);
  into.spanStart = start + PARENT_ID;
  into.spanEnd = start + PARENT_ID_END;
  into.sampled = isSampled(bytes, start);
  return true;
}

const HYPHEN = 0x2d;
const DIGIT_0 = 0x30;
const DIGIT_1 = 0x31;
const DIGIT_9 = 0x39;
const DEBUG = 0x64;
/** Digits of an id of 64 bits and of one of 128. */
const SHORT = 16;
const LONG = 32;

/**
 * B3 in one field (https://github.com/openzipkin/b3-propagation): trace id "-" span id [ "-" sampling [ "-" parent span id ] ],
 * ids in small hexadecimal letters, sampling `1`, `0` or `d`. Or the sampling alone, which is no id.
 */
function readB3(bytes: Uint8Array, start: number, end: number, into: TraceId): boolean {
  const idEnd = bytes[start + SHORT] === HYPHEN ? start + SHORT : start + LONG;
  const spanStart = idEnd + 1;
  const spanEnd = spanStart + SHORT;
  if (spanEnd > end || bytes[idEnd] !== HYPHEN) return false;
  if (!isId(bytes, start, idEnd, false) || !isId(bytes, spanStart, spanEnd, false)) return false;
  let sampled = false;
  if (spanEnd < end) {
    const state = bytes[spanEnd + 1];
    const stateEnd = spanEnd + 2;
    if (stateEnd > end || bytes[spanEnd] !== HYPHEN) return false;
    if (state !== DIGIT_0 && state !== DIGIT_1 && state !== DEBUG) return false;
    sampled = state !== DIGIT_0;
    if (stateEnd < end) {
      if (end - stateEnd !== 1 + SHORT || bytes[stateEnd] !== HYPHEN) return false;
      if (!isId(bytes, stateEnd + 1, end, false)) return false;
    }
  }
  setHex(into, traceKinds.b3, bytes, start, idEnd);
  into.spanStart = spanStart;
  into.spanEnd = spanEnd;
  into.sampled = sampled;
  return true;
}

/** B3 in several fields: 16 or 32 digits. Span and sampling stand in fields of their own. */
function readB3TraceId(bytes: Uint8Array, start: number, end: number, into: TraceId): boolean {
  if (end - start !== SHORT && end - start !== LONG) return false;
  if (!isId(bytes, start, end, false)) return false;
  setHex(into, traceKinds.b3TraceId, bytes, start, end);
  return true;
}

/** 2^64 - 1 has as many digits. */
const DECIMAL_DIGITS_MAX = 20;
const WORD = 0x1_0000_0000;
/** As many as keep a word times their scale below 2^53: divisions are what this costs. */
const DIGITS_AT_ONCE = 6;

/** Datadog: 64 bits as a decimal number. Of a longer id it is the low half; the high one travels in `x-datadog-tags`. */
function readDatadog(bytes: Uint8Array, start: number, end: number, into: TraceId): boolean {
  if (end <= start || end - start > DECIMAL_DIGITS_MAX) return false;
  let high = 0;
  let low = 0;
  for (let at = start; at < end;) {
    const stop = Math.min(end, at + DIGITS_AT_ONCE);
    let scale = 1;
    let digits = 0;
    for (; at < stop; at++) {
      const byte = bytes[at] ?? 0;
      if (byte < DIGIT_0 || byte > DIGIT_9) return false;
      digits = digits * 10 + (byte - DIGIT_0);
      scale *= 10;
    }
    const sum = low * scale + digits;
    const carry = Math.floor(sum / WORD);
    low = sum - carry * WORD;
    high = high * scale + carry;
  }
  if (high >= WORD || (high === 0 && low === 0)) return false;
  into.clear();
  into.kind = traceKinds.datadog;
  into.bytes = bytes;
  into.start = start;
  into.end = end;
  into.w2 = high | 0;
  into.w3 = low | 0;
  return true;
}

const COLON = 0x3a;
const PERCENT = 0x25;

/**
 * Jaeger (https://www.jaegertracing.io/docs/1.75/client-libraries/): trace id ":" span id ":" parent span id ":" flags, all
 * hexadecimal with leading zeros left out or not, capitals allowed, the colons percent-encoded by some clients.
 */
function readUber(bytes: Uint8Array, start: number, end: number, into: TraceId): boolean {
  const idEnd = hexEnd(bytes, start, end);
  const spanStart = behindColon(bytes, idEnd, end);
  const spanEnd = hexEnd(bytes, spanStart, end);
  const parentStart = behindColon(bytes, spanEnd, end);
  const parentEnd = hexEnd(bytes, parentStart, end);
  const flagsStart = behindColon(bytes, parentEnd, end);
  if (spanStart === idEnd || parentStart === spanEnd || flagsStart === parentEnd) return false;
  if (idEnd - start > LONG || spanEnd - spanStart > SHORT || parentEnd - parentStart > SHORT) return false;
  if (!isId(bytes, start, idEnd, true) || !isId(bytes, spanStart, spanEnd, true) || parentEnd === parentStart)
    return false;
  if (flagsStart === end || end - flagsStart > 2 || hexEnd(bytes, flagsStart, end) !== end) return false;
  setHex(into, traceKinds.uber, bytes, start, idEnd);
  into.spanStart = spanStart;
  into.spanEnd = spanEnd;
  into.sampled = (hexValue(bytes[end - 1] ?? 0) & 1) === 1;
  return true;
}

/** Behind the digits of hexadecimal that bytes[start, end) begins with; never looks at more than an id can have and one. */
function hexEnd(bytes: Uint8Array, start: number, end: number): number {
  const stop = Math.min(end, start + LONG + 1);
  let at = start;
  while (at < stop && hexValue(bytes[at] ?? 0) >= 0) at++;
  return at;
}

/** Behind the colon at `at`, or `at` when none stands there. */
function behindColon(bytes: Uint8Array, at: number, end: number): number {
  if (at < end && bytes[at] === COLON) return at + 1;
  const encoded =
    at + 2 < end && bytes[at] === PERCENT && bytes[at + 1] === 0x33 && ((bytes[at + 2] ?? 0) | 0x20) === 0x61;
  return encoded ? at + 3 : at;
}

const REQUEST_ID_BYTES_MAX = 200;

/** Whatever a proxy or service made up: 1 to 200 visible octets, told apart by a hash, because it has no form. */
function readRequestId(bytes: Uint8Array, start: number, end: number, into: TraceId): boolean {
  if (end <= start || end - start > REQUEST_ID_BYTES_MAX) return false;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte <= 0x20 || byte >= 0x7f) return false;
  }
  into.clear();
  into.kind = traceKinds.requestId;
  into.bytes = bytes;
  into.start = start;
  into.end = end;
  hashRequestId(bytes, start, end, into);
  return true;
}

/** Whether bytes[start, end) holds digits of hexadecimal and not only zeros. Capitals only with `capitals`. */
function isId(bytes: Uint8Array, start: number, end: number, capitals: boolean): boolean {
  let some = false;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (hexValue(byte) < 0 || (!capitals && byte >= 0x41 && byte <= 0x46)) return false;
    if (byte !== DIGIT_0) some = true;
  }
  return some;
}

/** Sets `into` to an id of at most 32 valid digits, without span and not sampled. */
function setHex(into: TraceId, kind: number, bytes: Uint8Array, start: number, end: number): void {
  into.clear();
  into.kind = kind;
  into.bytes = bytes;
  into.start = start;
  into.end = end;
  into.w3 = word(bytes, start, end);
  into.w2 = word(bytes, start, end - 8);
  into.w1 = word(bytes, start, end - 16);
  into.w0 = word(bytes, start, end - 24);
}

/** The 32 bits of the last 8 digits of bytes[start, end). */
function word(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let at = Math.max(start, end - 8); at < end; at++) value = (value << 4) | hexValue(bytes[at] ?? 0);
  return value;
}
