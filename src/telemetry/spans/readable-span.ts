// A proxied request as OpenTelemetry sees it: stable semantic conventions for HTTP and RPC spans
// (https://opentelemetry.io/docs/specs/semconv/http/http-spans/, .../rpc/grpc/). Only the exporting process loads this.
import { isIP } from "node:net";
import type { Attributes, HrTime, SpanContext } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-node";
import {
  ATTR_CLIENT_ADDRESS,
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_REQUEST_METHOD_ORIGINAL,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_NETWORK_PEER_ADDRESS,
  ATTR_NETWORK_PEER_PORT,
  ATTR_NETWORK_PROTOCOL_VERSION,
  ATTR_RPC_METHOD,
  ATTR_RPC_METHOD_ORIGINAL,
  ATTR_RPC_STATUS_CODE,
  ATTR_RPC_SYSTEM_NAME,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  ATTR_URL_FULL,
  ATTR_URL_PATH,
  ATTR_URL_SCHEME,
  ATTR_USER_AGENT_ORIGINAL,
} from "@opentelemetry/semantic-conventions";
import type { FinishedSpan, SpanOutcome, SpanRequest } from "./span.ts";

/** Characters of one value, as in the access log. */
const TEXT_MAX = 1024;
/** RFC 9110 §9 and RFC 5789; any other is `_OTHER`, so that nobody makes up values without end. */
const METHODS = new Set(["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]);
const OTHER = "_OTHER";
// The numbers of the protocol (opentelemetry-proto, Span.SpanKind less one); the API's `const` objects would load it for them.
const KIND_SERVER = 1;
const KIND_CLIENT = 2;
const STATUS_UNSET = 0;
const STATUS_ERROR = 2;
const GRPC_STATUSES =
  "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED".split(
    " ",
  );
const UNIMPLEMENTED = 12;
/** Statuses that are the server's fault (semantic conventions for gRPC): the others are an error for the caller alone. */
const SERVER_ERRORS = new Set([2, 4, UNIMPLEMENTED, 13, 14, 15]);
/** Counted where a client went away before it was sent a status; nobody was sent it. */
const CLIENT_CLOSED = 499;

/** The span with everything that an exporter asks for. */
export function readableSpan(span: FinishedSpan, resource: Resource): ReadableSpan {
  const { traceparent, id, request, outcome, startedMs, startedEpochMs } = span;
  const [, traceId = "", parentId = "", flagsText = ""] = traceparent.split("-");
  const flags = Number.parseInt(flagsText, 16);
  const durationMs = Math.max(0, outcome.endedMs - startedMs);
  const context: SpanContext = { traceId, spanId: id, traceFlags: flags };
  const error = errorType(request, outcome);
  return {
    name: nameOf(request, outcome),
    kind: request.direction === "inbound" ? KIND_SERVER : KIND_CLIENT,
    spanContext: () => context,
    parentSpanContext: { traceId, spanId: parentId, traceFlags: flags, isRemote: true },
    startTime: hrTime(startedEpochMs),
    endTime: hrTime(startedEpochMs + durationMs),
    duration: hrTime(durationMs),
    // No description: it would say again what `error.type` and the status code say.
    status: { code: error === "" ? STATUS_UNSET : STATUS_ERROR },
    attributes: { ...attributesOf(request, outcome), ...(error === "" ? {} : { [ATTR_ERROR_TYPE]: error }) },
    links: [],
    events: [],
    ended: true,
    resource,
    instrumentationScope: { name: "sidelane" },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

/** Low in number: methods and gRPC methods, never paths (a sidecar knows no routes of its service). */
function nameOf(request: SpanRequest, outcome: SpanOutcome): string {
  if (request.isGrpc) return isKnownCall(outcome) ? callOf(request) : "grpc";
  return METHODS.has(request.method) ? request.method : "HTTP";
}

function attributesOf(request: SpanRequest, outcome: SpanOutcome): Attributes {
  const { direction, scheme, method, protocolVersion, key, userAgent } = request;
  const path = pathOf(request.target);
  const status = statusOf(outcome);
  const attributes: Attributes = {
    [ATTR_HTTP_REQUEST_METHOD]: METHODS.has(method) ? method : OTHER,
    [ATTR_URL_SCHEME]: scheme,
    [ATTR_URL_PATH]: shortened(path),
    [ATTR_NETWORK_PROTOCOL_VERSION]: protocolVersion,
    "http.request.body.size": outcome.requestBytes,
    "http.response.body.size": outcome.responseBytes,
    "sidelane.service": outcome.service,
    "sidelane.destination": outcome.destination,
    "sidelane.reason": outcome.reason,
    "sidelane.table.version": outcome.tableVersion,
  };
  if (!METHODS.has(method)) attributes[ATTR_HTTP_REQUEST_METHOD_ORIGINAL] = shortened(method);
  if (request.host !== "") {
    attributes[ATTR_SERVER_ADDRESS] = shortened(request.host);
    attributes[ATTR_SERVER_PORT] = request.port === -1 ? (scheme === "https" ? 443 : 80) : request.port;
  }
  if (status !== 0) attributes[ATTR_HTTP_RESPONSE_STATUS_CODE] = status;
  if (key !== "") attributes["sidelane.key"] = shortened(key);
  if (userAgent !== "") attributes[ATTR_USER_AGENT_ORIGINAL] = shortened(userAgent);
  if (outcome.endpoint !== "") attributes["sidelane.endpoint"] = outcome.endpoint;
  if (direction === "outbound" && request.host !== "") attributes[ATTR_URL_FULL] = shortened(urlOf(request, path));
  // The peer of a server is who asks, of a client who is asked; only an address is one, and a name may have several.
  const peer = hostAndPort(direction === "inbound" ? request.client : outcome.endpoint);
  if (peer !== undefined) {
    attributes[ATTR_NETWORK_PEER_ADDRESS] = peer.address;
    attributes[ATTR_NETWORK_PEER_PORT] = peer.port;
    if (direction === "inbound") attributes[ATTR_CLIENT_ADDRESS] = peer.address;
  }
  if (request.isGrpc) addCall(attributes, request, outcome);
  return attributes;
}

function addCall(attributes: Attributes, request: SpanRequest, outcome: SpanOutcome): void {
  attributes[ATTR_RPC_SYSTEM_NAME] = "grpc";
  if (isKnownCall(outcome)) attributes[ATTR_RPC_METHOD] = callOf(request);
  else {
    attributes[ATTR_RPC_METHOD] = OTHER;
    attributes[ATTR_RPC_METHOD_ORIGINAL] = callOf(request);
  }
  const name = GRPC_STATUSES[outcome.grpcStatus];
  if (name !== undefined) attributes[ATTR_RPC_STATUS_CODE] = name;
}

/** Whoever answers UNIMPLEMENTED does not know the method: the client may have made it up. */
function isKnownCall({ grpcStatus }: SpanOutcome): boolean {
  return grpcStatus !== UNIMPLEMENTED;
}

/** `package.Service/Method`. */
function callOf({ target }: SpanRequest): string {
  return shortened(pathOf(target).replace(/^\//, ""));
}

/**
 * What went wrong, "" where nothing did. By kind: a server is not to blame for what its client did (4xx, INVALID_ARGUMENT, a
 * client that went away), whoever calls has not got what it asked for.
 */
function errorType(request: SpanRequest, outcome: SpanOutcome): string {
  const { reason, failed, grpcStatus } = outcome;
  const server = request.direction === "inbound";
  const status = statusOf(outcome);
  if (failed && reason === "client-closed") return server ? "" : reason;
  if (request.isGrpc) {
    if (grpcStatus === 0 && !failed) return "";
    if (server && grpcStatus !== -1 && !SERVER_ERRORS.has(grpcStatus)) return "";
    return failed ? reason : (GRPC_STATUSES[grpcStatus] ?? String(status));
  }
  // A response that broke off has a status that does not tell.
  const bad = status === 0 || status >= (server ? 500 : 400) || reason === "response-aborted";
  if (failed) return bad ? reason : "";
  return bad ? String(status) : "";
}

function statusOf({ status, failed, reason }: SpanOutcome): number {
  return failed && reason === "client-closed" && status === CLIENT_CLOSED ? 0 : status;
}

/** The path of a request target in any of its forms (RFC 9112 §3.2), without the query: that is where tokens and names are. */
function pathOf(target: string): string {
  const query = target.indexOf("?");
  const bare = query === -1 ? target : target.slice(0, query);
  if (bare.startsWith("/") || bare === "*") return bare;
  return /^[a-z][a-z0-9+.-]*:\/\/[^/]*(.*)$/i.exec(bare)?.[1] ?? "";
}

function urlOf({ scheme, host, port }: SpanRequest, path: string): string {
  return `${scheme}://${host}${port === -1 ? "" : `:${port}`}${path === "*" ? "" : path}`;
}

/** The parts of `10.0.0.7:8080` or `[::1]:8080`; undefined for a name. */
function hostAndPort(text: string): { readonly address: string; readonly port: number } | undefined {
  const colon = text.lastIndexOf(":");
  const address = text.slice(0, Math.max(colon, 0)).replace(/^\[(.*)\]$/, "$1");
  return isIP(address) === 0 ? undefined : { address, port: Number(text.slice(colon + 1)) };
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}

function shortened(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}…`;
}
