// The closed list of reasons. One table gives the HTTP status, the gRPC status, the metric label, the documentation line
// and the retry verdict, so that a new failure cannot be half known (docs/errors.md is generated from it).

/** Who caused it: decides whom to look at first. */
export type ReasonSource = "decision" | "downstream" | "sidelane" | "upstream";

/** Whether the caller may send the same request again: never, after a change, or as it is. */
export type RetryVerdict = "no" | "yes" | "idempotent";

/** What is known about one reason. */
export interface ReasonInfo {
  readonly source: ReasonSource;
  /** HTTP status of Sidelane's own answer; 0 where Sidelane never answers with this reason. */
  readonly status: number;
  /** gRPC status code of Sidelane's own answer to a gRPC caller (src/protocol/grpc/status.ts has their names). */
  readonly grpcStatus: number;
  readonly retry: RetryVerdict;
  readonly title: string;
  /** What to do about it, one sentence for the person who reads the answer. */
  readonly advice: string;
}

const info = (
  source: ReasonSource,
  status: number,
  grpcStatus: number,
  retry: RetryVerdict,
  title: string,
  advice: string,
): ReasonInfo => ({ source, status, grpcStatus, retry, title, advice });

/** Why a request went where it went (DESIGN §3.4). Only `unknown-key` can also be a refusal. */
export const decisionReasons = {
  "no-key": info("decision", 0, 0, "yes", "no routing key", "the request carries no key, so the baseline answers"),
  self: info(
    "decision",
    0,
    0,
    "yes",
    "a sandbox's own copy",
    "inbound traffic beside a sandbox's copy always goes to the app",
  ),
  sandbox: info("decision", 0, 0, "yes", "claimed by a sandbox", "the sandbox that the key selects has this service"),
  "not-in-sandbox": info(
    "decision",
    0,
    0,
    "yes",
    "not changed by the sandbox",
    "the key's sandbox does not have this service, so the baseline answers",
  ),
  "not-in-table": info(
    "decision",
    0,
    0,
    "yes",
    "not in the table",
    "no service in the table has this host; the request passes through to the authority itself",
  ),
  "unknown-key": info(
    "decision",
    421,
    5,
    "no",
    "unknown routing key",
    "no sandbox or group has this key; create the sandbox or correct the key (tenancy.onUnknownKey decides whether the baseline answers or nobody does)",
  ),
} as const;

/** Why a request was refused or failed. */
export const failureReasons = {
  loop: info(
    "downstream",
    508,
    9,
    "no",
    "loop detected",
    "the request came back to the listener that already forwarded it; check that the listener's target is the app and not a sidecar",
  ),
  "destination-unknown": info(
    "downstream",
    421,
    5,
    "no",
    "destination unknown",
    "the connection is not HTTP, so it names no service, and this listener has no target; send HTTP, or give what stands behind it an inbound listener with protocol tcp",
  ),
  "sandbox-unavailable": info(
    "upstream",
    503,
    14,
    "idempotent",
    "sandbox unavailable",
    "the sandbox claims the request but none of its endpoints can be reached; check that it runs, or set tenancy.onUnavailable to baseline",
  ),
  "upstream-unavailable": info(
    "upstream",
    503,
    14,
    "yes",
    "upstream unavailable",
    "no endpoint of the destination can be reached; check that it runs and listens on the port in the table or config",
  ),
  "upstream-overloaded": info(
    "sidelane",
    503,
    14,
    "yes",
    "upstream overloaded",
    "every connection to the endpoint is busy and the queue is full or waited too long; see limits.upstreamConnectionsMax and limits.upstreamWaitingMax",
  ),
  "upstream-closed": info(
    "upstream",
    502,
    14,
    "idempotent",
    "upstream closed the connection",
    "the endpoint closed the connection before it answered; look at its log",
  ),
  "upstream-refused": info(
    "upstream",
    503,
    14,
    "yes",
    "upstream refused the request",
    "the endpoint refused the request unprocessed (REFUSED_STREAM) or was going away (GOAWAY), and so did every attempt to send it again; check whether the endpoint is being restarted or is overloaded",
  ),
  "upstream-reset": info(
    "upstream",
    502,
    14,
    "idempotent",
    "upstream reset the stream",
    "the endpoint gave the request up before it answered, and the client's stream was reset with the same code (or answered, where the code says nothing); look at the endpoint's log",
  ),
  "upstream-tls-failed": info(
    "upstream",
    502,
    14,
    "no",
    "TLS with the upstream failed",
    "no TLS connection to the endpoint could be made; the detail says whether the certificate, the name or the protocol is at fault, see `upstreamTls` in the config",
  ),
  "upstream-version-unsupported": info(
    "upstream",
    502,
    13,
    "no",
    "upstream does not speak this HTTP version",
    "the endpoint does not speak the HTTP version of the request, and one version is never translated into another; call the service with the version it speaks, or set `protocol: http1` on a TLS listener before an app without HTTP/2",
  ),
  "upstream-protocol-error": info(
    "upstream",
    502,
    13,
    "no",
    "upstream broke the protocol",
    "the endpoint sent something that is not valid HTTP; the detail says what",
  ),
  "upstream-head-too-large": info(
    "upstream",
    502,
    13,
    "no",
    "upstream head too large",
    "the endpoint's response head exceeds limits.headBytesMax or limits.headerCountMax",
  ),
  "upstream-timeout": info(
    "upstream",
    504,
    4,
    "idempotent",
    "upstream timed out",
    "the endpoint did not answer or read in time; see timeouts.responseHeadMs, timeouts.stalledMs and timeouts.requestMs",
  ),
  "deadline-exceeded": info(
    "upstream",
    504,
    4,
    "idempotent",
    "deadline exceeded",
    "the time that the caller gave the call in grpc-timeout has passed; look for what was slow at the endpoint, or give the call more time",
  ),
  "malformed-request": info(
    "downstream",
    400,
    13,
    "no",
    "malformed request",
    "the request is not valid HTTP and nothing of it was forwarded; correct whoever sent it",
  ),
  "ambiguous-framing": info(
    "downstream",
    400,
    13,
    "no",
    "ambiguous message framing",
    "the length of the body cannot be told with certainty, which is how requests are smuggled; correct whoever sent it",
  ),
  "transfer-coding-unsupported": info(
    "downstream",
    501,
    12,
    "no",
    "transfer coding not supported",
    "only the transfer coding 'chunked' is supported",
  ),
  "head-too-large": info(
    "downstream",
    431,
    8,
    "no",
    "request head too large",
    "shorten the header fields or raise limits.headBytesMax or limits.headerCountMax",
  ),
  "uri-too-long": info(
    "downstream",
    414,
    8,
    "no",
    "request target too long",
    "shorten the URI or raise limits.uriBytesMax",
  ),
  "version-unsupported": info(
    "downstream",
    505,
    12,
    "no",
    "HTTP version not supported",
    "the listener does not speak this version of HTTP; see listeners[].protocol for those it does",
  ),
  "expectation-unknown": info(
    "downstream",
    417,
    12,
    "no",
    "unknown expectation",
    "the only expectation of HTTP is 100-continue",
  ),
  "upgrade-unsupported": info(
    "upstream",
    501,
    12,
    "no",
    "upgrade not supported",
    "the endpoint does not offer the protocol that the request wants to switch to; over HTTP/2 it has to announce extended CONNECT (RFC 8441)",
  ),
  "tls-required": info(
    "downstream",
    400,
    9,
    "no",
    "TLS required",
    "the request came in plain text to a listener that wants TLS; use https, or another listener",
  ),
  "trace-unsupported": info(
    "downstream",
    405,
    12,
    "no",
    "TRACE not answered",
    "the request asked the sidecar itself for a trace (Max-Forwards: 0), which would show credentials; ask the service",
  ),
  "final-recipient": info(
    "downstream",
    200,
    0,
    "yes",
    "answered by the sidecar",
    "an OPTIONS request with Max-Forwards: 0 asks about the sidecar itself",
  ),
  "connect-unsupported": info(
    "downstream",
    501,
    12,
    "no",
    "CONNECT not supported",
    "Sidelane is no forward proxy for tunnels; connect to the service itself",
  ),
  "key-rejected": info(
    "downstream",
    403,
    7,
    "no",
    "routing key rejected",
    "the signed key is expired, malformed or not signed by one of tenancy.edge.signedBy; the detail says which, and `sidelane key sign` makes a new one",
  ),
  "expectation-failed": info(
    "sidelane",
    424,
    9,
    "no",
    "expectation failed",
    "the request requires that a sandbox answers for this service (`require` of the key, or `strict` of the sandbox), but the baseline would have; add the service to the sandbox, start what should serve it, or correct the key",
  ),
  "request-timeout": info(
    "downstream",
    408,
    4,
    "yes",
    "request timed out",
    "the request did not arrive in time; see timeouts.headMs and timeouts.bodyMs",
  ),
  "connection-limit": info(
    "sidelane",
    503,
    14,
    "yes",
    "too many connections",
    "the sidecar has limits.connectionsMax open connections",
  ),
  "stream-limit": info(
    "downstream",
    503,
    14,
    "yes",
    "too many streams",
    "the client opened more streams on its connection than limits.http2StreamsMax, which it had been told; the stream was refused unprocessed (REFUSED_STREAM)",
  ),
  "enhance-your-calm": info(
    "downstream",
    429,
    8,
    "no",
    "client floods the connection",
    "the connection that carried the request exceeded one of the limits.http2* against floods and was closed with ENHANCE_YOUR_CALM; sidelane_http2_abuse_total and the detail in GOAWAY say which",
  ),
  "client-protocol-error": info(
    "downstream",
    400,
    13,
    "no",
    "client broke the protocol",
    "the client broke HTTP/2 on the stream of the request, which was reset, or on its connection, which was closed; RST_STREAM or GOAWAY say what was wrong",
  ),
  "client-closed": info(
    "downstream",
    499,
    1,
    "no",
    "client went away",
    "the client closed the connection or cancelled the request before the exchange was complete",
  ),
  "response-aborted": info(
    "upstream",
    502,
    14,
    "no",
    "response cut off",
    "the response broke off in the middle or exceeded timeouts.requestMs, so the client's connection (in HTTP/2 its stream) was reset; look at the endpoint's log",
  ),
  draining: info(
    "sidelane",
    503,
    14,
    "yes",
    "draining",
    "the sidecar is shutting down and takes nothing new; send the request again, to another instance",
  ),
} as const;

/** A reason of a decision. */
export type DecisionReason = keyof typeof decisionReasons;
/** A reason of a refusal or failure. */
export type FailureReason = keyof typeof failureReasons;
/** Any reason: the value of the metric label, the log field and the problem member. */
export type Reason = DecisionReason | FailureReason;

/** Looks a reason up. */
export function reasonInfo(reason: Reason): ReasonInfo {
  return reason in decisionReasons
    ? decisionReasons[reason as DecisionReason]
    : failureReasons[reason as FailureReason];
}

/** The `type` of a problem (RFC 9457 §3.1.1): a stable name, not an address; docs/errors.md has a section for each. */
export function problemType(reason: Reason): string {
  return `urn:sidelane:error:${reason}`;
}
