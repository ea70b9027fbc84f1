// The fields of HTTP/2 that the relay has to know. Pseudo-header fields are fields like any other to HPACK; what makes them
// different is checked where a head is read (RFC 9113 §8.3).
import { type KnownField, PLAIN, WATCHED } from "../field-table.ts";

/** What a field means to the relay; `plain` fields are passed on without a look. */
export const fieldIds = {
  plain: PLAIN,
  method: 1,
  scheme: 2,
  authority: 3,
  path: 4,
  protocol: 5,
  status: 6,
  host: 7,
  contentLength: 8,
  contentType: 9,
  te: 10,
  /** Connection-specific fields, which make a message malformed (RFC 9113 §8.2.2). */
  connectionSpecific: 11,
  via: 12,
  expect: 13,
  maxForwards: 14,
  debug: 15,
  grpcTimeout: 16,
  grpcStatus: 17,
  cookie: 18,
  /** Secrets: never put into a dynamic table that others share (RFC 7541 §7.1). */
  authorization: 19,
  /** Differs from message to message, so that indexing it would only push out what recurs. */
  volatile: 20,
  /** Ids from here on are watched fields. */
  watched: WATCHED,
} as const;

/** The fields of HTTP/2 that mean something to a relay, for a `FieldTable`. */
export const http2Fields: readonly KnownField[] = [
  [":method", fieldIds.method],
  [":scheme", fieldIds.scheme],
  [":authority", fieldIds.authority],
  [":path", fieldIds.path],
  [":protocol", fieldIds.protocol],
  [":status", fieldIds.status],
  ["host", fieldIds.host],
  ["content-length", fieldIds.contentLength],
  ["content-type", fieldIds.contentType],
  ["te", fieldIds.te],
  ["connection", fieldIds.connectionSpecific],
  ["proxy-connection", fieldIds.connectionSpecific],
  ["keep-alive", fieldIds.connectionSpecific],
  ["transfer-encoding", fieldIds.connectionSpecific],
  ["upgrade", fieldIds.connectionSpecific],
  ["via", fieldIds.via],
  ["expect", fieldIds.expect],
  ["max-forwards", fieldIds.maxForwards],
  ["x-sidelane-debug", fieldIds.debug],
  ["grpc-timeout", fieldIds.grpcTimeout],
  ["grpc-status", fieldIds.grpcStatus],
  ["cookie", fieldIds.cookie],
  ["authorization", fieldIds.authorization],
  ["proxy-authorization", fieldIds.authorization],
  ["traceparent", fieldIds.volatile],
  ["b3", fieldIds.volatile],
  ["x-b3-traceid", fieldIds.volatile],
  ["x-b3-spanid", fieldIds.volatile],
  ["x-datadog-trace-id", fieldIds.volatile],
  ["uber-trace-id", fieldIds.volatile],
  ["x-request-id", fieldIds.volatile],
  ["grpc-message", fieldIds.volatile],
  ["grpc-trace-bin", fieldIds.volatile],
  ["date", fieldIds.volatile],
  ["etag", fieldIds.volatile],
];
