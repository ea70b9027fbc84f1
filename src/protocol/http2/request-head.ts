// The head of a request (RFC 9113 §8.1 to §8.3.1, §8.5; RFC 8441): one pass over the decoded fields, then what follows from
// them all. Fields were validated once when they were made (`Field.fault`); what recurs costs a look at its kind.
import { ASTERISK, COLON, NOT_A_NUMBER, SLASH, TARGET, TOKEN_LOWER, latin1 } from "../bytes.ts";
import { fixedId } from "../field-table.ts";
import type { Field, FieldBlock } from "../hpack/field.ts";
import { splitAuthority } from "./authority.ts";
import { type Fault, faultOfField, faults } from "./faults.ts";
import { fieldIds } from "./field-ids.ts";
import { TRAILERS, decimalOf, isGrpcType, isOne, isToken, valueIs } from "./field-value.ts";

/** What a request head may take beyond what the HPACK decoder bounds; see `limits` in base/limits.ts. */
export interface RequestHeadLimits {
  readonly uriBytesMax: number;
}

const NO_BYTES = new Uint8Array(0);

/**
 * A request head that was read. One object is reused for all heads of a process; fields live longer and may be kept. After
 * a fault only `method`, `isHead`, `isGrpc` and `fault` are of use.
 */
export class Http2RequestHead {
  fault: Fault = faults.none;
  method: Field | undefined = undefined;
  scheme: Field | undefined = undefined;
  authority: Field | undefined = undefined;
  path: Field | undefined = undefined;
  /** Extended CONNECT (RFC 8441 §4). */
  protocol: Field | undefined = undefined;
  host: Field | undefined = undefined;

  /** Host without port, of :authority or else Host: `hostBytes[hostNameStart, hostNameEnd)`, and the port or -1. */
  hostBytes: Uint8Array = NO_BYTES;
  hostNameStart = 0;
  hostNameEnd = 0;
  hostPort = -1;

  schemeIsHttps = false;
  isHead = false;
  /** CONNECT without :protocol: always refused (`faults.connect`). */
  isConnect = false;
  isExtendedConnect = false;
  isOptions = false;
  isTrace = false;
  /** Safe to send twice (RFC 9110 §9.2.2). Unknown methods are not. */
  idempotent = false;

  /** -1 when there is no Content-Length. */
  contentLength = -1;
  expectContinue = false;
  /** Content-Type is that of gRPC. */
  isGrpc = false;
  grpcTimeout: Field | undefined = undefined;
  /** -1: none. NOT_A_NUMBER: not one decimal number, which matters to OPTIONS and TRACE only (RFC 9110 §7.6.2). */
  maxForwards = -1;
  debug = false;

  /** Carriers of routing keys, in order; entries behind `watchedCount` are those of earlier heads. */
  readonly watched: Field[] = [];
  watchedCount = 0;
  /** Via fields, in order; entries behind `viaCount` are those of earlier heads. */
  readonly via: Field[] = [];
  viaCount = 0;

  /** Forgets the previous head. */
  reset(): void {
    this.method = undefined;
    this.scheme = undefined;
    this.authority = undefined;
    this.path = undefined;
    this.protocol = undefined;
    this.host = undefined;
    this.schemeIsHttps = false;
    this.isHead = false;
    this.isConnect = false;
    this.isExtendedConnect = false;
    this.isOptions = false;
    this.isTrace = false;
    this.idempotent = false;
    this.contentLength = -1;
    this.expectContinue = false;
    this.isGrpc = false;
    this.grpcTimeout = undefined;
    this.maxForwards = -1;
    this.debug = false;
    this.watchedCount = 0;
    this.viaCount = 0;
  }
}

/** Reads a request head; false when something is wrong with it (`head.fault`). */
export function readRequestHead(head: Http2RequestHead, block: FieldBlock, limits: RequestHeadLimits): boolean {
  head.reset();
  const fields = block.fields;
  const count = block.count;
  // The rule that is broken first is not what ends the pass: an answer needs to know whether the caller speaks gRPC.
  let fault: Fault = faults.none;
  let regular = false;
  for (let i = 0; i < count; i++) {
    // Below `count` there is a field.
    const field = fields[i] as Field;
    let kind = field.kind;
    if (field.fault !== 0 && fault === faults.none) fault = faultOfField(field.fault);
    if (kind >= fieldIds.watched) {
      head.watched[head.watchedCount++] = field;
      kind = fixedId(kind);
    }
    if (kind === fieldIds.plain || kind >= fieldIds.cookie) {
      if (field.bytes[field.nameStart] === COLON) {
        if (fault === faults.none) fault = faults.pseudoUnknown;
      } else regular = true;
      continue;
    }
    if (kind <= fieldIds.status) {
      if (regular && fault === faults.none) fault = faults.pseudoLate;
      if (!notePseudo(head, field, kind) && fault === faults.none) fault = head.fault;
      continue;
    }
    regular = true;
    if (!noteField(head, field, kind) && fault === faults.none) fault = head.fault;
  }
  if (fault !== faults.none) return refuse(head, fault);
  return conclude(head, limits);
}

function notePseudo(head: Http2RequestHead, field: Field, kind: number): boolean {
  switch (kind) {
    case fieldIds.method:
      if (head.method !== undefined) return refuse(head, faults.pseudoRepeated);
      head.method = field;
      classifyMethod(head, field);
      return true;
    case fieldIds.scheme:
      if (head.scheme !== undefined) return refuse(head, faults.pseudoRepeated);
      head.scheme = field;
      return true;
    case fieldIds.authority:
      if (head.authority !== undefined) return refuse(head, faults.pseudoRepeated);
      head.authority = field;
      return true;
    case fieldIds.path:
      if (head.path !== undefined) return refuse(head, faults.pseudoRepeated);
      head.path = field;
      return true;
    case fieldIds.protocol:
      if (head.protocol !== undefined) return refuse(head, faults.pseudoRepeated);
      head.protocol = field;
      return true;
    default:
      // :status in a request.
      return refuse(head, faults.pseudoUnknown);
  }
}

const CONTINUE = latin1("100-continue");

function noteField(head: Http2RequestHead, field: Field, kind: number): boolean {
  switch (kind) {
    case fieldIds.host:
      if (head.host !== undefined) return refuse(head, faults.hostRepeated);
      head.host = field;
      return true;
    case fieldIds.contentLength: {
      // One number, once: repeats are how two readers are made to disagree.
      const bytes = head.contentLength === -1 ? decimalOf(field) : NOT_A_NUMBER;
      if (bytes === NOT_A_NUMBER) return refuse(head, faults.contentLength);
      head.contentLength = bytes;
      return true;
    }
    case fieldIds.contentType:
      head.isGrpc = isGrpcType(field);
      return true;
    case fieldIds.te:
      return valueIs(field, TRAILERS) || refuse(head, faults.te);
    case fieldIds.connectionSpecific:
      return refuse(head, faults.connectionSpecific);
    case fieldIds.via:
      head.via[head.viaCount++] = field;
      return true;
    case fieldIds.expect:
      if (!valueIs(field, CONTINUE)) return refuse(head, faults.expectation);
      head.expectContinue = true;
      return true;
    case fieldIds.maxForwards:
      head.maxForwards = head.maxForwards === -1 ? decimalOf(field) : NOT_A_NUMBER;
      return true;
    case fieldIds.debug:
      head.debug = isOne(field);
      return true;
    case fieldIds.grpcTimeout:
      head.grpcTimeout ??= field;
      return true;
    default:
      // grpc-status in a request means nothing.
      return true;
  }
}

/** Everything that needs the whole head. */
function conclude(head: Http2RequestHead, limits: RequestHeadLimits): boolean {
  const method = head.method;
  if (method === undefined) return refuse(head, faults.methodMissing);
  if (head.isConnect) {
    if (head.protocol === undefined) return concludeConnect(head);
    // RFC 8441 §4: with :protocol, CONNECT has the target of any other request.
    head.isConnect = false;
    head.isExtendedConnect = true;
  }
  if (head.protocol !== undefined && (!head.isExtendedConnect || !isToken(head.protocol))) {
    return refuse(head, faults.protocolWithoutConnect);
  }
  if (!head.idempotent && !head.isExtendedConnect && !isToken(method)) return refuse(head, faults.method);
  const scheme = head.scheme;
  if (scheme === undefined) return refuse(head, faults.schemeMissing);
  if (!classifyScheme(head, scheme)) return refuse(head, faults.scheme);
  const path = head.path;
  if (path === undefined) return refuse(head, faults.pathMissing);
  if (path.valueEnd - path.valueStart > limits.uriBytesMax) return refuse(head, faults.pathTooLong);
  if (!isPath(head, path)) return refuse(head, faults.path);
  if (!readAuthority(head)) return false;
  if (head.maxForwards === NOT_A_NUMBER && (head.isOptions || head.isTrace)) return refuse(head, faults.maxForwards);
  return true;
}

/** RFC 9113 §8.5: an authority and nothing else; well-formed or not, it is not relayed. */
function concludeConnect(head: Http2RequestHead): boolean {
  if (head.authority === undefined || head.scheme !== undefined || head.path !== undefined) {
    return refuse(head, faults.connectTarget);
  }
  return refuse(head, readAuthority(head) ? faults.connect : head.fault);
}

/**
 * RFC 9113 §8.3.1: :authority, or Host where a request was HTTP/1.1 once; both must say the same. Bytes are compared but for
 * case: `a` and `a:80` may be one place, but two that read different ones decide differently.
 */
function readAuthority(head: Http2RequestHead): boolean {
  const authority = head.authority;
  const host = head.host;
  const field = authority ?? host;
  if (field === undefined) return refuse(head, faults.authorityMissing);
  if (authority !== undefined && host !== undefined && !sameValue(authority, host)) {
    return refuse(head, faults.authorityConflict);
  }
  head.hostBytes = field.bytes;
  return splitAuthority(head, field.bytes, field.valueStart, field.valueEnd) || refuse(head, faults.authority);
}

function sameValue(a: Field, b: Field): boolean {
  const length = a.valueEnd - a.valueStart;
  if (length !== b.valueEnd - b.valueStart) return false;
  for (let i = 0; i < length; i++) {
    const left = a.bytes[a.valueStart + i] as number;
    const right = b.bytes[b.valueStart + i] as number;
    if (left === right) continue;
    const folded = TOKEN_LOWER[left] as number;
    if (folded === 0 || folded !== TOKEN_LOWER[right]) return false;
  }
  return true;
}

// Methods are case-sensitive (RFC 9110 §9.1); every token is relayed, only plain CONNECT is refused.
const GET = latin1("GET");
const HEAD = latin1("HEAD");
const OPTIONS = latin1("OPTIONS");
const TRACE = latin1("TRACE");
const PUT = latin1("PUT");
const DELETE = latin1("DELETE");
const CONNECT = latin1("CONNECT");

function classifyMethod(head: Http2RequestHead, method: Field): void {
  switch (method.valueEnd - method.valueStart) {
    case 3:
      head.idempotent = holds(method, GET) || holds(method, PUT);
      return;
    case 4:
      head.isHead = holds(method, HEAD);
      head.idempotent = head.isHead;
      return;
    case 5:
      head.isTrace = holds(method, TRACE);
      head.idempotent = head.isTrace;
      return;
    case 6:
      head.idempotent = holds(method, DELETE);
      return;
    case 7:
      head.isOptions = holds(method, OPTIONS);
      head.idempotent = head.isOptions;
      head.isConnect = !head.isOptions && holds(method, CONNECT);
      return;
    default:
      return;
  }
}

/** Whether the value is `text`, which has the same length. */
function holds(field: Field, text: Uint8Array): boolean {
  for (let i = 0; i < text.length; i++) if (field.bytes[field.valueStart + i] !== text[i]) return false;
  return true;
}

/** RFC 3986 §3.1. Others than http and https are relayed: we take no part in what they mean. */
function classifyScheme(head: Http2RequestHead, scheme: Field): boolean {
  const bytes = scheme.bytes;
  const start = scheme.valueStart;
  const length = scheme.valueEnd - start;
  if (length === 4 && holds(scheme, HTTP)) return true;
  if (length === 5 && holds(scheme, HTTPS)) {
    head.schemeIsHttps = true;
    return true;
  }
  if (length === 0) return false;
  for (let i = 0; i < length; i++) {
    const folded = TOKEN_LOWER[bytes[start + i] as number] as number;
    const letter = folded >= 0x61 && folded <= 0x7a;
    const digit = folded >= 0x30 && folded <= 0x39;
    if (!letter && (i === 0 || (!digit && folded !== 0x2b && folded !== 0x2d && folded !== 0x2e))) return false;
  }
  head.schemeIsHttps = valueIs(scheme, HTTPS);
  return true;
}

const HTTP = latin1("http");
const HTTPS = latin1("https");

/** RFC 9113 §8.3.1: never empty, absolute, or `*` of OPTIONS. */
function isPath(head: Http2RequestHead, path: Field): boolean {
  const bytes = path.bytes;
  const start = path.valueStart;
  const end = path.valueEnd;
  if (bytes[start] !== SLASH || start === end) {
    return end - start === 1 && bytes[start] === ASTERISK && head.isOptions;
  }
  for (let i = start + 1; i < end; i++) if (TARGET[bytes[i] as number] === 0) return false;
  return true;
}

function refuse(head: Http2RequestHead, fault: Fault): false {
  head.fault = fault;
  return false;
}
