// The head of a request: request line (RFC 9112 §3), fields (§5), and what follows from them: host, body, connection.
import {
  ASTERISK,
  COLON,
  CR,
  DOT,
  HASH,
  HEX,
  LF,
  NOT_A_NUMBER,
  REG_NAME,
  SLASH,
  SPACE,
  TARGET,
  TOKEN_LOWER,
  equalsToken,
  latin1,
  parseDecimal,
} from "../bytes.ts";
import { faults } from "./faults.ts";
import { cutField, cutNominated, sortCuts } from "./cuts.ts";
import type { FieldTable } from "../field-table.ts";
import { fieldIds } from "./field-ids.ts";
import { FAULTY, Head, type HeadLimits, INCOMPLETE } from "./head.ts";
import { putSentinel, scanFields } from "./scan-fields.ts";
import { concludeUpgrade } from "./upgrade.ts";

/** The forms of a request target that are relayed (RFC 9112 §3.2); authority-form belongs to CONNECT, which is refused. */
export type TargetForm = "origin" | "absolute" | "asterisk";

const NO_BYTES = new Uint8Array(0);

/** A parsed request head; see `Head` for how long the offsets are valid. */
export class RequestHead extends Head {
  /** Where the method begins, behind ignored empty lines. */
  start = 0;
  methodEnd = 0;
  targetStart = 0;
  targetEnd = 0;
  form: TargetForm = "origin";
  /** absolute-form: the authority inside the target, which replaces Host (RFC 9112 §3.2.2). */
  authorityStart = -1;
  authorityEnd = -1;
  isHead = false;
  isOptions = false;
  isTrace = false;
  /** Safe to send twice (RFC 9110 §9.2.2). Unknown methods are not. */
  idempotent = false;
  keepAlive = true;
  /** Host without port, for the decision: [hostNameStart, hostNameEnd) and the port number or -1. */
  hostNameStart = -1;
  hostNameEnd = -1;
  hostPort = -1;
  /** What amend-request.ts makes of the head: lines to add, another target, another authority in place of Host. */
  added: Uint8Array = NO_BYTES;
  newTarget: Uint8Array | undefined = undefined;
  newAuthority: Uint8Array | undefined = undefined;

  /** Whether a body follows. */
  get hasBody(): boolean {
    return this.chunked || this.contentLength > 0;
  }
}

/**
 * Parses the request head that begins at `bytes[start]`.
 *
 * @param bytes must have room for one byte at `end`, which is overwritten.
 * @returns the offset behind the head, INCOMPLETE, or FAULTY with `head.fault`.
 */
export function parseRequestHead(
  head: RequestHead,
  bytes: Uint8Array,
  start: number,
  end: number,
  table: FieldTable,
  limits: HeadLimits,
): number {
  head.reset();
  const bounded = end - start > limits.headBytesMax;
  const stop = bounded ? start + limits.headBytesMax : end;
  const saved = bytes[stop] as number;
  putSentinel(bytes, stop);
  let after = parseRequestLine(head, bytes, start, stop, limits.uriBytesMax);
  if (after > 0) after = scanFields(head, bytes, after, stop, table, false, limits.headerCountMax);
  if (bounded) bytes[stop] = saved;
  if (after === INCOMPLETE) return end - start >= limits.headBytesMax ? head.fail(faults.headTooLarge) : INCOMPLETE;
  if (after === FAULTY) return FAULTY;
  return conclude(head, bytes, table, limits.headerCountMax) ? after : FAULTY;
}

function parseRequestLine(head: RequestHead, bytes: Uint8Array, at: number, end: number, uriBytesMax: number): number {
  let i = at;
  // RFC 9112 §2.2: ignore at least one empty line before the request line. Two, as some clients end a body with CR LF.
  for (let lines = 0; lines < 2 && bytes[i] === CR && bytes[i + 1] === LF && i + 1 < end; lines++) i += 2;
  head.start = i;
  if (bytes[i] === CR && i + 1 >= end) return INCOMPLETE;
  while (TOKEN_LOWER[bytes[i] as number] !== 0) i++;
  head.methodEnd = i;
  if (i >= end) return INCOMPLETE;
  if (bytes[i] !== SPACE || i === head.start) return head.fail(faults.requestLine);
  i++;
  head.targetStart = i;
  while (TARGET[bytes[i] as number] === 1) i++;
  head.targetEnd = i;
  if (i - head.targetStart > uriBytesMax) return head.fail(faults.targetTooLong);
  if (i >= end) return INCOMPLETE;
  if (bytes[i] === HASH) return head.fail(faults.target);
  if (bytes[i] !== SPACE || i === head.targetStart) return head.fail(faults.requestLine);
  i++;
  // "HTTP/1.1" CR LF, all or nothing; only when it differs, find out how.
  if (
    bytes[i] !== 0x48 ||
    bytes[i + 1] !== 0x54 ||
    bytes[i + 2] !== 0x54 ||
    bytes[i + 3] !== 0x50 ||
    bytes[i + 4] !== SLASH ||
    bytes[i + 5] !== 0x31 ||
    bytes[i + 6] !== 0x2e ||
    (bytes[i + 7] !== 0x31 && bytes[i + 7] !== 0x30) ||
    bytes[i + 8] !== CR ||
    bytes[i + 9] !== LF ||
    i + 9 >= end
  ) {
    return failVersion(head, bytes, i, end);
  }
  head.minor = (bytes[i + 7] as number) - 0x30;
  return i + 10;
}

const HTTP_SLASH = latin1("HTTP/");
const PRI = latin1("pri");

function failVersion(head: RequestHead, bytes: Uint8Array, at: number, end: number): number {
  for (let n = 0; n < 5; n++) {
    if (at + n >= end) return INCOMPLETE;
    if (bytes[at + n] !== HTTP_SLASH[n]) return head.fail(faults.requestLine);
  }
  // Looks at a bounded number of bytes, so that the verdict does not depend on how many have arrived.
  const stop = Math.min(end, at + VERSION_BYTES_MAX);
  let i = at + 5;
  while (i < stop && TARGET[bytes[i] as number] === 1) i++;
  if (i >= end) return i < at + VERSION_BYTES_MAX ? INCOMPLETE : head.fail(faults.requestLine);
  if (bytes[i] === LF) return head.fail(faults.bareLineFeed);
  if (bytes[i] !== CR) return head.fail(faults.requestLine);
  if (i + 1 >= end) return INCOMPLETE;
  if (bytes[i + 1] !== LF) return head.fail(faults.bareCarriageReturn);
  return head.fail(equalsToken(bytes, head.start, head.methodEnd, PRI) ? faults.http2Preface : faults.version);
}

/** More than any version ever had. */
const VERSION_BYTES_MAX = 16;

/** Everything that needs the whole head. False when it breaks the rules (`head.fault` is set). */
function conclude(head: RequestHead, bytes: Uint8Array, table: FieldTable, namesMax: number): boolean {
  head.added = NO_BYTES;
  head.newTarget = undefined;
  head.newAuthority = undefined;
  classifyMethod(head, bytes);
  if (!classifyTarget(head, bytes)) return false;
  if (!checkHost(head, bytes)) return false;
  // RFC 9112 §6.1 and §6.3: a request with both lengths is rejected, not repaired.
  if (head.codingLines > 0) {
    if (head.minor === 0) return refuse(head, faults.codingInHttp10);
    if (head.contentLength !== -1) return refuse(head, faults.bothLengths);
  }
  if (head.upgradeLines > 0) {
    concludeUpgrade(head, bytes, table, true);
    if (head.switches && head.hasBody) return refuse(head, faults.upgradeWithBody);
  }
  if (head.maxForwards === NOT_A_NUMBER && (head.isOptions || head.isTrace)) return refuse(head, faults.maxForwards);
  // RFC 9112 §9.3.
  head.keepAlive = !head.connectionClose && (head.minor === 1 || head.connectionKeepAlive);
  if (head.minor === 0 && head.expectContinue) {
    // RFC 9110 §10.1.1: an HTTP/1.0 client does not wait for 100 (Continue), and the request goes on as HTTP/1.1.
    head.expectContinue = false;
    cutField(head, bytes, table, fieldIds.expect);
  }
  if (head.form === "absolute" && head.hostCount === 1) {
    // RFC 9112 §3.2.2: the received Host is ignored; `writeRequestHead` puts the target's authority in its place.
    head.cut(head.hostLineStart, head.hostLineEnd);
    sortCuts(head);
  }
  return !head.nominates || cutNominated(head, bytes, table, namesMax);
}

function refuse(head: RequestHead, fault: Head["fault"]): false {
  head.fault = fault;
  return false;
}

// Methods are case-sensitive (RFC 9110 §9.1); every token is relayed, only CONNECT is refused.
const GET = latin1("GET");
const HEAD = latin1("HEAD");
const OPTIONS = latin1("OPTIONS");
const TRACE = latin1("TRACE");
const PUT = latin1("PUT");
const DELETE = latin1("DELETE");
const CONNECT = latin1("CONNECT");

function classifyMethod(head: RequestHead, bytes: Uint8Array): void {
  const start = head.start;
  const end = head.methodEnd;
  head.isHead = is(bytes, start, end, HEAD);
  head.isOptions = is(bytes, start, end, OPTIONS);
  head.isTrace = is(bytes, start, end, TRACE);
  head.idempotent =
    head.isHead ||
    head.isOptions ||
    head.isTrace ||
    is(bytes, start, end, GET) ||
    is(bytes, start, end, PUT) ||
    is(bytes, start, end, DELETE);
}

function is(bytes: Uint8Array, start: number, end: number, text: Uint8Array): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text[i]) return false;
  return true;
}

function classifyTarget(head: RequestHead, bytes: Uint8Array): boolean {
  const start = head.targetStart;
  const end = head.targetEnd;
  head.authorityStart = -1;
  head.authorityEnd = -1;
  if (is(bytes, head.start, head.methodEnd, CONNECT)) return refuse(head, faults.connect);
  if (bytes[start] === SLASH) {
    head.form = "origin";
    return true;
  }
  if (bytes[start] === ASTERISK && end - start === 1 && head.isOptions) {
    head.form = "asterisk";
    return true;
  }
  // absolute-form: http://authority[/path]. https belongs to another port and another protocol.
  const scheme = start + 7;
  if (end <= scheme || !equalsToken(bytes, start, start + 4, HTTP) || bytes[start + 4] !== COLON) {
    return refuse(head, faults.target);
  }
  if (bytes[start + 5] !== SLASH || bytes[start + 6] !== SLASH) return refuse(head, faults.target);
  let i = scheme;
  while (i < end && bytes[i] !== SLASH && bytes[i] !== 0x3f) i++;
  head.form = "absolute";
  head.authorityStart = scheme;
  head.authorityEnd = i;
  return i > scheme ? true : refuse(head, faults.hostInvalid);
}

const HTTP = latin1("http");

/** RFC 9112 §3.2: exactly one valid Host; with absolute-form the target's authority takes its place. */
function checkHost(head: RequestHead, bytes: Uint8Array): boolean {
  head.hostNameStart = -1;
  head.hostNameEnd = -1;
  head.hostPort = -1;
  if (head.hostCount > 1) return refuse(head, faults.hostRepeated);
  if (head.hostCount === 0 && head.minor === 1) return refuse(head, faults.hostMissing);
  if (head.hostCount === 1 && !splitAuthority(head, bytes, head.hostStart, head.hostEnd)) {
    return refuse(head, faults.hostInvalid);
  }
  if (head.form === "absolute" && !splitAuthority(head, bytes, head.authorityStart, head.authorityEnd)) {
    return refuse(head, faults.hostInvalid);
  }
  return true;
}

/** `host[:port]`; an empty Host is legal (RFC 9110 §7.2) and names no service. */
function splitAuthority(head: RequestHead, bytes: Uint8Array, start: number, end: number): boolean {
  let i = start;
  if (i < end && bytes[i] === 0x5b) {
    // An IPv6 address (RFC 3986 §3.2.2); zones and IPvFuture, which nobody uses, are not forwarded.
    do i++;
    while (i < end && (HEX[bytes[i] as number] !== 255 || bytes[i] === COLON || bytes[i] === DOT));
    if (i >= end || bytes[i] !== 0x5d || i === start + 1) return false;
    i++;
  } else while (i < end && REG_NAME[bytes[i] as number] === 1) i++;
  head.hostNameStart = start;
  head.hostNameEnd = i;
  head.hostPort = -1;
  if (i === end) return true;
  if (bytes[i] !== COLON || i === start || end - i > 6) return false;
  if (i + 1 === end) return true;
  head.hostPort = parseDecimal(bytes, i + 1, end);
  return head.hostPort >= 0 && head.hostPort <= 65535;
}
