// The fields of HTTP/1.1 that the relay has to know.
import { type KnownField, PLAIN, WATCHED } from "../field-table.ts";

/** What a field means to the relay; `plain` fields are passed on without a look. */
export const fieldIds = {
  plain: PLAIN,
  host: 1,
  connection: 2,
  contentLength: 3,
  transferEncoding: 4,
  expect: 5,
  upgrade: 6,
  te: 7,
  /** Keep-Alive, Proxy-Connection, HTTP2-Settings: hop-by-hop whatever Connection says (RFC 9110 §7.6.1). */
  hopByHop: 8,
  via: 9,
  maxForwards: 10,
  debug: 11,
  /** Ids from here on are watched fields. */
  watched: WATCHED,
} as const;

/** The fields of HTTP/1.1 that mean something to a relay, for a `FieldTable`. */
export const http1Fields: readonly KnownField[] = [
  ["host", fieldIds.host],
  ["connection", fieldIds.connection],
  ["content-length", fieldIds.contentLength],
  ["transfer-encoding", fieldIds.transferEncoding],
  ["expect", fieldIds.expect],
  ["upgrade", fieldIds.upgrade],
  ["te", fieldIds.te],
  ["keep-alive", fieldIds.hopByHop],
  ["proxy-connection", fieldIds.hopByHop],
  ["http2-settings", fieldIds.hopByHop],
  ["via", fieldIds.via],
  ["max-forwards", fieldIds.maxForwards],
  ["x-sidelane-debug", fieldIds.debug],
];
