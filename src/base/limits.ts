// Every limit and every deadline of Sidelane, in one place: unit last in the name, default, range, reason. The config
// schema, the environment twins and docs/configuration.md are generated from these tables.

/** One limit: a whole number between min and max. */
export interface LimitInfo {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly doc: string;
}

const limit = (value: number, min: number, max: number, doc: string): LimitInfo => ({ default: value, min, max, doc });

const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;

/** `limits:` of the proxy config. */
export const limitInfos = {
  headBytesMax: limit(
    64 * KIB,
    1 * KIB,
    1 * MIB,
    "bytes of one request or response head, first line included; in HTTP/2 of its field list (RFC 9113 §6.5.2)",
  ),
  headerCountMax: limit(128, 1, 2000, "header fields of one request or response, and of one trailer section"),
  uriBytesMax: limit(16 * KIB, 256, 1 * MIB, "bytes of a request target (RFC 9112 §3 asks for at least 8000)"),
  trailerBytesMax: limit(8 * KIB, 0, 1 * MIB, "bytes of one trailer section"),
  chunkExtensionBytesMax: limit(
    4 * KIB,
    0,
    64 * KIB,
    "bytes of chunk extensions of one whole message; extensions are dropped",
  ),
  connectionsMax: limit(10_000, 1, 1_000_000, "open downstream connections per process"),
  upstreamConnectionsMax: limit(1024, 1, 100_000, "open connections to one endpoint per process"),
  upstreamWaitingMax: limit(1024, 0, 100_000, "requests that wait for a connection to one endpoint"),
  replayBytesMax: limit(
    64 * KIB,
    0,
    1 * MIB,
    "bytes of a request kept for one retry on a fresh connection or, in HTTP/2, by an endpoint that had not acted on it; larger requests are not retried",
  ),
  lingerBytesMax: limit(
    1 * MIB,
    0,
    1024 * MIB,
    "bytes of an unwanted request body read and dropped before the connection is closed (RFC 9112 §9.6)",
  ),
  http2StreamsMax: limit(
    256,
    1,
    100_000,
    "requests at a time on one HTTP/2 connection of a client (RFC 9113 §6.5.2 advises at least 100)",
  ),
  http2UpstreamStreamsMax: limit(
    256,
    1,
    100_000,
    "requests at a time on one HTTP/2 connection to an endpoint; the endpoint's own limit counts when it is lower",
  ),
  http2StreamWindowBytes: limit(
    64 * KIB,
    16 * KIB,
    16 * MIB,
    "bytes that a peer may send on a stream before any was passed on; grows while the other side keeps up",
  ),
  http2StreamWindowBytesMax: limit(
    1 * MIB,
    16 * KIB,
    16 * MIB,
    "bytes to which the window of a stream may grow, which is what one slow reader can make Sidelane hold; never less than http2StreamWindowBytes",
  ),
  http2ConnectionWindowBytes: limit(
    16 * MIB,
    64 * KIB,
    1024 * MIB,
    "bytes that a peer may send on all streams of a connection together; large, so that a slow stream does not hold up the others",
  ),
  http2ResetBurst: limit(
    1000,
    1,
    1_000_000,
    "streams that a peer may reset at once, or make Sidelane reset by its faults (rapid reset)",
  ),
  http2ResetsPerSecond: limit(50, 1, 1_000_000, "such resets that are allowed again each second"),
  http2ContinuationsMax: limit(32, 1, 10_000, "CONTINUATION frames of one field block"),
  http2ControlBurst: limit(
    1000,
    1,
    1_000_000,
    "frames at once that carry no request: SETTINGS, PING, PRIORITY, unknown ones, and needless WINDOW_UPDATE",
  ),
  http2ControlsPerSecond: limit(200, 1, 1_000_000, "such frames that are allowed again each second"),
  http2EmptyFramesBurst: limit(
    100,
    1,
    1_000_000,
    "DATA and CONTINUATION frames at once that neither carry a byte nor end anything",
  ),
  http2EmptyFramesPerSecond: limit(20, 1, 1_000_000, "such frames that are allowed again each second"),
  http2HeldBytesMax: limit(
    64 * MIB,
    1 * MIB,
    64 * 1024 * MIB,
    "bytes that all HTTP/2 streams of the process together may hold for readers which do not keep up; beyond, connections that make it hold more than 256 KiB lose their streams",
  ),
  http2OutgoingBytesMax: limit(
    256 * KIB,
    16 * KIB,
    64 * MIB,
    "bytes that wait for a peer which does not read its socket: beyond, no more is read from a client, and an endpoint gets no more requests",
  ),
  http2OutgoingControlBytesMax: limit(
    64 * KIB,
    4 * KIB,
    16 * MIB,
    "bytes of answers to control frames that wait for a peer that does not read them",
  ),
  sandboxLabelsMax: limit(
    100,
    0,
    10_000,
    "sandboxes that get a metric label of their own; the rest is counted as `other`",
  ),
  grpcMethodLabelsMax: limit(
    200,
    0,
    10_000,
    "gRPC methods that get a metric label of their own; the rest is counted as `other`",
  ),
  tableBytesMax: limit(64 * MIB, 1 * KIB, 1024 * MIB, "bytes of a table file"),
  journalEntriesMax: limit(
    1000,
    0,
    100_000,
    "exchanges with a routing key that `GET /journal` remembers, the last ones; 0 keeps none",
  ),
  tracesRememberedMax: limit(
    16_384,
    0,
    1_000_000,
    "traces of which is remembered with which key they came in (tenancy.repair); beyond, old ones are forgotten; 0 remembers none",
  ),
  lostKeyPeersMax: limit(
    200,
    1,
    10_000,
    "services and paths towards which keys were lost that `GET /lost-keys` tells apart; the rest is counted as `other`",
  ),
  ownerStreamsMax: limit(256, 0, 100_000, "open streams of `GET /owner`; one more is answered with 503"),
  ownerBatchMax: limit(1000, 1, 100_000, "messages that one request to `POST /owner` may ask about"),
  spansQueuedMax: limit(4096, 1, 1_000_000, "spans that wait to be sent; beyond, they are dropped and counted"),
} as const satisfies Record<string, LimitInfo>;

/** `timeouts:` of the proxy config, in milliseconds; 0 switches one off. Accuracy: one tick of the coarse clock. */
export const timeoutInfos = {
  headMs: limit(10 * SECOND, 0, DAY, "from the first byte of a request head to its last"),
  idleMs: limit(
    10 * MINUTE,
    0,
    DAY,
    "a kept-alive downstream connection without a request; longer than the idle time of common clients, so that they close first",
  ),
  bodyMs: limit(60 * SECOND, 0, DAY, "without a byte of a request body that is still owed, until an answer begins"),
  responseHeadMs: limit(
    5 * MINUTE,
    0,
    DAY,
    "from the end of the request to the final response head; the response itself may stream for ever",
  ),
  requestMs: limit(
    0,
    0,
    DAY,
    "a whole exchange, from the end of the request head to the last byte of the response; off by default because of streams",
  ),
  stalledMs: limit(
    5 * MINUTE,
    0,
    DAY,
    "without progress while a client does not read its response or an endpoint its request, a shut HTTP/2 window included",
  ),
  halfClosedMs: limit(MINUTE, 0, DAY, "that an exchange may still take after the client has closed its sending side"),
  tunnelIdleMs: limit(
    60 * MINUTE,
    0,
    DAY,
    "without a byte either way on a connection that is relayed as bytes: plain TCP, or upgraded (WebSocket)",
  ),
  connectMs: limit(2 * SECOND, 1, DAY, "to connect to an endpoint, per attempt"),
  upstreamIdleMs: limit(
    4 * SECOND,
    0,
    DAY,
    "an unused upstream connection is kept; below the 5 s after which common servers close theirs",
  ),
  upstreamWaitMs: limit(3 * SECOND, 1, DAY, "a request waits for a connection when all are busy"),
  lingerMs: limit(
    2 * SECOND,
    0,
    MINUTE,
    "a closing connection goes on reading, so that the client gets the last answer (RFC 9112 §9.6)",
  ),
  drainMs: limit(
    25 * SECOND,
    0,
    DAY,
    "running exchanges get after SIGTERM, 0 ends them at once; below the 30 s grace period of Kubernetes",
  ),
  drainDelayMs: limit(
    0,
    0,
    10 * MINUTE,
    "after SIGTERM the listeners stay open this long, for load balancers that are slow to notice",
  ),
  http2UpstreamIdleMs: limit(
    MINUTE,
    0,
    DAY,
    "an unused HTTP/2 connection to an endpoint is kept; servers that close theirs earlier say so (GOAWAY)",
  ),
  http2PingMs: limit(
    30 * SECOND,
    0,
    DAY,
    "an HTTP/2 connection with requests on it may be silent before it is asked for a sign of life (PING)",
  ),
  http2PingTimeoutMs: limit(10 * SECOND, 100, DAY, "an HTTP/2 connection has to answer that, or it is taken for dead"),
  ejectBaseMs: limit(500, 0, DAY, "first ejection of an endpoint; doubled for each further one"),
  ejectMs: limit(30 * SECOND, 0, DAY, "longest ejection of an endpoint"),
  dnsRefreshMs: limit(5 * SECOND, 100, DAY, "between look-ups of an endpoint's name"),
  tablePollMs: limit(5 * SECOND, 100, DAY, "between looks at the table file in case no file event came"),
  traceRememberedMs: limit(
    5 * MINUTE,
    100,
    DAY,
    "that a trace is remembered with the key with which it came in, since it was last seen (tenancy.repair); longer than an app is at one request before its last call",
  ),
  lostKeyLogMs: limit(MINUTE, 0, DAY, "between two log lines about keys lost towards one service; 0 writes none"),
} as const satisfies Record<string, LimitInfo>;

/** All limits, filled in. */
export type Limits = { readonly [name in keyof typeof limitInfos]: number };
/** All deadlines in milliseconds, filled in; 0 = off. */
export type Timeouts = { readonly [name in keyof typeof timeoutInfos]: number };

function defaults<T extends Record<string, LimitInfo>>(infos: T): { readonly [name in keyof T]: number } {
  return Object.fromEntries(Object.entries(infos).map(([name, info]) => [name, info.default])) as {
    readonly [name in keyof T]: number;
  };
}

/** The default of every limit. */
export const defaultLimits: Limits = defaults(limitInfos);
/** The default of every deadline. */
export const defaultTimeouts: Timeouts = defaults(timeoutInfos);
