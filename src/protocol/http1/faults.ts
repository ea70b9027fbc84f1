// Everything that can be wrong with an HTTP/1.1 message, as a closed list: one line says which reason it is answered
// with and what to tell the sender. Requests use `request`, responses of an endpoint `response`.
import type { FailureReason } from "../../base/reasons.ts";

/** One way to break HTTP/1.1. */
export interface Fault {
  readonly name: string;
  readonly request: FailureReason;
  readonly response: FailureReason;
  readonly detail: string;
}

const PROTOCOL = "upstream-protocol-error" as const;

const fault = (name: string, request: FailureReason, detail: string, response: FailureReason = PROTOCOL): Fault => ({
  name,
  request,
  response,
  detail,
});

export const faults = {
  requestLine: fault(
    "request-line",
    "malformed-request",
    "the request line is not `method SP target SP HTTP/1.1` (RFC 9112 §3)",
  ),
  statusLine: fault(
    "status-line",
    "malformed-request",
    "the status line is not `HTTP/1.1 SP status SP reason` (RFC 9112 §4)",
  ),
  version: fault("version", "version-unsupported", "the version is neither HTTP/1.1 nor HTTP/1.0 (RFC 9112 §2.3)"),
  http2Preface: fault(
    "http2-preface",
    "version-unsupported",
    "this is the preface of an HTTP/2 connection (RFC 9113 §3.4)",
  ),
  target: fault("target", "malformed-request", "the request target has none of the four forms (RFC 9112 §3.2)"),
  targetTooLong: fault("target-too-long", "uri-too-long", "the request target is longer than limits.uriBytesMax"),
  bareLineFeed: fault(
    "bare-line-feed",
    "malformed-request",
    "a line ends with LF alone instead of CR LF (RFC 9112 §2.2)",
  ),
  bareCarriageReturn: fault("bare-carriage-return", "malformed-request", "a CR stands without LF (RFC 9112 §2.2)"),
  fieldName: fault(
    "field-name",
    "malformed-request",
    "a field name is empty or holds a byte that is no token character (RFC 9110 §5.1)",
  ),
  spaceBeforeColon: fault(
    "space-before-colon",
    "malformed-request",
    "white space stands between a field name and its colon (RFC 9112 §5.1)",
  ),
  foldedLine: fault(
    "folded-line",
    "malformed-request",
    "a field line is folded or the first one starts with white space (RFC 9112 §5.2)",
  ),
  fieldValue: fault("field-value", "malformed-request", "a field value holds a control byte (RFC 9110 §5.5)"),
  headTooLarge: fault(
    "head-too-large",
    "head-too-large",
    "the head is longer than limits.headBytesMax",
    "upstream-head-too-large",
  ),
  tooManyFields: fault(
    "too-many-fields",
    "head-too-large",
    "the head has more fields than limits.headerCountMax",
    "upstream-head-too-large",
  ),
  tooManyNominations: fault(
    "too-many-nominations",
    "head-too-large",
    "Connection names more fields than limits.headerCountMax",
    "upstream-head-too-large",
  ),
  hostMissing: fault("host-missing", "malformed-request", "an HTTP/1.1 request needs a Host field (RFC 9112 §3.2)"),
  hostRepeated: fault("host-repeated", "malformed-request", "there is more than one Host field (RFC 9112 §3.2)"),
  hostInvalid: fault(
    "host-invalid",
    "malformed-request",
    "the Host field or the authority is not `host[:port]` (RFC 9112 §3.2)",
  ),
  contentLength: fault(
    "content-length",
    "ambiguous-framing",
    "Content-Length is not one decimal number (RFC 9112 §6.3)",
  ),
  contentLengthConflict: fault(
    "content-length-conflict",
    "ambiguous-framing",
    "Content-Length values differ (RFC 9112 §6.3)",
  ),
  bothLengths: fault(
    "both-lengths",
    "ambiguous-framing",
    "both Content-Length and Transfer-Encoding are given (RFC 9112 §6.1)",
  ),
  codingUnknown: fault(
    "coding-unknown",
    "transfer-coding-unsupported",
    "a transfer coding other than `chunked` is used (RFC 9112 §6.1)",
  ),
  codingList: fault(
    "coding-list",
    "ambiguous-framing",
    "Transfer-Encoding is empty, repeated, or `chunked` is not its one and last coding (RFC 9112 §6.1)",
  ),
  codingInHttp10: fault(
    "coding-in-http10",
    "ambiguous-framing",
    "an HTTP/1.0 message uses Transfer-Encoding (RFC 9112 §6.1)",
  ),
  codingWithoutBody: fault(
    "coding-without-body",
    "malformed-request",
    "a response that has no body announces Transfer-Encoding (RFC 9112 §6.1)",
  ),
  expectation: fault(
    "expectation",
    "expectation-unknown",
    "Expect holds something other than 100-continue (RFC 9110 §10.1.1)",
  ),
  upgrade: fault("upgrade", "malformed-request", "Upgrade is not a list of at most 16 protocols (RFC 9110 §7.8)"),
  upgradeWithBody: fault(
    "upgrade-with-body",
    "ambiguous-framing",
    "a request that asks to switch protocols has a body, and readers differ on where the new protocol begins (RFC 9110 §7.8)",
  ),
  connect: fault("connect", "connect-unsupported", "the method is CONNECT (RFC 9110 §9.3.6)"),
  chunkSize: fault(
    "chunk-size",
    "ambiguous-framing",
    "a chunk size is not a plain hexadecimal number below 2^53 (RFC 9112 §7.1)",
  ),
  chunkLine: fault("chunk-line", "ambiguous-framing", "a chunk line or chunk does not end with CR LF (RFC 9112 §7.1)"),
  chunkExtension: fault(
    "chunk-extension",
    "ambiguous-framing",
    "a chunk extension is malformed or all are longer than limits.chunkExtensionBytesMax (RFC 9112 §7.1.1)",
  ),
  trailer: fault("trailer", "malformed-request", "the trailer section is malformed (RFC 9112 §7.1.2)"),
  trailerTooLarge: fault(
    "trailer-too-large",
    "head-too-large",
    "the trailer section is larger than limits.trailerBytesMax or has too many fields",
  ),
  switching: fault(
    "switching",
    "malformed-request",
    "101 Switching Protocols was not asked for, or names a protocol that was not offered (RFC 9110 §7.8)",
  ),
  maxForwards: fault("max-forwards", "malformed-request", "Max-Forwards is not one decimal number (RFC 9110 §7.6.2)"),
} as const satisfies Record<string, Fault>;
