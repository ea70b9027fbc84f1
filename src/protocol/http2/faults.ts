// Everything that can be wrong with an HTTP/2 message, as a closed list. A malformed message is a stream error of type
// PROTOCOL_ERROR (RFC 9113 §8.1.1): the stream is reset, after an answer where one is possible. The rest is valid HTTP/2 that
// we do not relay, and is answered only.
import type { FailureReason } from "../../base/reasons.ts";
import { type FieldFault, fieldFaults } from "../hpack/field.ts";

/** One way to break HTTP/2. */
export interface Fault {
  readonly name: string;
  /** The reason when a request is like this. */
  readonly request: FailureReason;
  /** The reason when a response is like this. */
  readonly response: FailureReason;
  readonly detail: string;
  /** The message breaks RFC 9113 §8.1.1: its stream is reset with PROTOCOL_ERROR. */
  readonly malformed: boolean;
}

const PROTOCOL = "upstream-protocol-error" as const;

const malformed = (name: string, detail: string, request: FailureReason = "malformed-request"): Fault => ({
  name,
  request,
  response: PROTOCOL,
  detail,
  malformed: true,
});

const refused = (name: string, request: FailureReason, detail: string, response: FailureReason = PROTOCOL): Fault => ({
  name,
  request,
  response,
  detail,
  malformed: false,
});

export const faults = {
  none: malformed("none", "nothing is wrong"),

  fieldNameEmpty: malformed("field-name-empty", "a field has no name (RFC 9113 §8.2.1)"),
  fieldNameCase: malformed("field-name-case", "a field name has an upper case letter (RFC 9113 §8.2.1)"),
  fieldName: malformed("field-name", "a field name holds a byte that is no token character (RFC 9113 §8.2.1)"),
  fieldValue: malformed("field-value", "a field value holds a control byte (RFC 9113 §8.2.1)"),
  fieldBlank: malformed("field-blank", "a field value begins or ends with white space (RFC 9113 §8.2.1)"),
  connectionSpecific: malformed(
    "connection-specific",
    "Connection, Proxy-Connection, Keep-Alive, Transfer-Encoding and Upgrade do not exist in HTTP/2 (RFC 9113 §8.2.2)",
  ),
  te: malformed("te", "TE holds something other than `trailers` (RFC 9113 §8.2.2)"),

  pseudoUnknown: malformed(
    "pseudo-unknown",
    "a pseudo-header field is not one of this kind of message (RFC 9113 §8.3)",
  ),
  pseudoLate: malformed("pseudo-late", "a pseudo-header field stands behind another field (RFC 9113 §8.3)"),
  pseudoRepeated: malformed("pseudo-repeated", "a pseudo-header field is repeated (RFC 9113 §8.3)"),
  pseudoInTrailers: malformed("pseudo-in-trailers", "trailers hold a pseudo-header field (RFC 9113 §8.1)"),
  methodMissing: malformed("method-missing", "there is no :method (RFC 9113 §8.3.1)"),
  method: malformed("method", ":method is not a token (RFC 9110 §9.1)"),
  schemeMissing: malformed("scheme-missing", "there is no :scheme (RFC 9113 §8.3.1)"),
  scheme: malformed("scheme", ":scheme is not a scheme (RFC 3986 §3.1)"),
  pathMissing: malformed("path-missing", "there is no :path (RFC 9113 §8.3.1)"),
  path: malformed("path", ":path is neither an absolute path nor `*` with OPTIONS (RFC 9113 §8.3.1)"),
  pathTooLong: refused("target-too-long", "uri-too-long", ":path is longer than limits.uriBytesMax"),
  authorityMissing: malformed("authority-missing", "there is neither :authority nor Host (RFC 9113 §8.3.1)"),
  authority: malformed("authority", ":authority or Host is not `host[:port]` (RFC 9113 §8.3.1)"),
  authorityConflict: malformed("authority-conflict", ":authority and Host differ (RFC 9113 §8.3.1)"),
  hostRepeated: malformed("host-repeated", "there is more than one Host field (RFC 9110 §7.2)"),
  connectTarget: malformed("connect-target", "CONNECT has :scheme or :path, or no :authority (RFC 9113 §8.5)"),
  protocolWithoutConnect: malformed(
    "protocol-without-connect",
    ":protocol is empty or stands in a request that is not CONNECT (RFC 8441 §4)",
  ),
  connect: refused("connect", "connect-unsupported", "the method is CONNECT (RFC 9110 §9.3.6)"),

  statusMissing: malformed("status-missing", "there is no :status (RFC 9113 §8.3.2)"),
  status: malformed("status", ":status is not three digits (RFC 9110 §15)"),
  switching: malformed("switching", "101 does not exist in HTTP/2 (RFC 9113 §8.6)"),
  interimEnds: malformed("interim-ends", "an interim response ends the stream (RFC 9113 §8.1)"),

  contentLength: malformed(
    "content-length",
    "Content-Length is not one decimal number (RFC 9110 §8.6)",
    "ambiguous-framing",
  ),
  bodyTooShort: malformed(
    "body-too-short",
    "the stream ends before Content-Length is reached (RFC 9113 §8.1.1)",
    "ambiguous-framing",
  ),
  bodyTooLong: malformed(
    "body-too-long",
    "there is more DATA than Content-Length says (RFC 9113 §8.1.1)",
    "ambiguous-framing",
  ),
  trailersGoOn: malformed("trailers-go-on", "trailers do not end the stream (RFC 9113 §8.1)"),
  maxForwards: malformed("max-forwards", "Max-Forwards is not one decimal number (RFC 9110 §7.6.2)"),
  selfDependency: malformed("self-dependency", "the stream depends on itself (RFC 9113 §5.3.2)"),
  expectation: refused(
    "expectation",
    "expectation-unknown",
    "Expect holds something other than 100-continue (RFC 9110 §10.1.1)",
  ),
  headTooLarge: refused(
    "head-too-large",
    "head-too-large",
    "the fields are larger than limits.headBytesMax or more than limits.headerCountMax",
    "upstream-head-too-large",
  ),
} as const satisfies Record<string, Fault>;

/** By `FieldFault`. */
const byFieldFault: Record<FieldFault, Fault> = {
  [fieldFaults.none]: faults.none,
  [fieldFaults.emptyName]: faults.fieldNameEmpty,
  [fieldFaults.upperCaseName]: faults.fieldNameCase,
  [fieldFaults.badName]: faults.fieldName,
  [fieldFaults.badValue]: faults.fieldValue,
  [fieldFaults.blankAroundValue]: faults.fieldBlank,
};

/** The fault of a message that holds a field with this fault. */
export function faultOfField(fault: FieldFault): Fault {
  return byFieldFault[fault];
}
