// The control plane's end of the table feed: gRPC on one address (schema/table-feed.proto). Guarantees:
//
// - Thousands that come at once are accepted as fast as they come; what they are sent is encoded once for each scope.
// - When the server closes, each sidecar is told to come again, at different times.
// - Streams, messages and waiting are limited; a peer that exceeds a limit loses its own stream.

import { createServer, type AddressInfo, type Server as NetServer, type Socket } from "node:net";
import { Server, status } from "@grpc/grpc-js";
import { ServerAddressError } from "../../admin/http-server.ts";
import type { Log } from "../../base/log.ts";
import type { ServerConfig } from "../../config/control-config.ts";
import { FOLLOW_PATH } from "../../feed/messages.ts";
import { formatEndpoint, parseEndpoint } from "../../routing/endpoint-name.ts";
import type { TlsStats } from "../../telemetry/tls-stats.ts";
import type { Authority } from "../auth.ts";
import { Distributor, type Followed } from "./distributor.ts";
import { feedCredentials } from "./feed-credentials.ts";
import { FeedStats } from "./feed-stats.ts";
import type { HistoryLimits } from "./history.ts";
import type { Sidecars } from "./sidecars.ts";
import { type StreamTimes, streamTimes } from "./stream-times.ts";
import { type Call, FeedStream } from "./stream.ts";

const SETTING = "feed.address";
/** The largest that a sidecar sends is an answer with a journal. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
/** A peer whose machine is gone is noticed by these. */
const PING_EVERY_MS = 20_000;
const PONG_WITHIN_MS = 10_000;
/** A connection without a stream. */
const CONNECTION_IDLE_MS = 30_000;
/** Sidecars have one connection each; those that go may overlap with those that come. */
const CONNECTIONS_PER_STREAM = 2;
/** How exact the times of streams are kept. */
const TICKS_PER_S = 4;
/** Sidecars that are sent away come again within this time for each of them: what another replica takes them in. */
const RETURN_SPREAD_MS = 0.5;
const RETURN_SPREAD_MIN_MS = 200;

export interface FeedServerOptions {
  readonly config: ServerConfig;
  readonly state: Followed;
  /** Names the history of the state's revisions: the store's `source`. */
  readonly source: () => string;
  readonly sidecars: Sidecars;
  readonly auth: Authority;
  readonly log: Log;
  /** One more is told to come again. */
  readonly streamsMax: number;
  /** What streams get to end, when the server closes. */
  readonly drainMs: number;
  readonly stats?: FeedStats;
  readonly tlsStats?: TlsStats;
  /** Tests: shorter ones. */
  readonly times?: Partial<StreamTimes>;
  readonly history?: HistoryLimits;
}

export interface FeedServer {
  /** `host:port`. */
  readonly address: string;
  readonly stats: FeedStats;
  /** Distinct scopes, and what is kept for sidecars that come again. */
  status(): { readonly scopes: number; readonly keptRevisions: number; readonly keptBytes: number };
  /** Sends everybody away, waits for them at most `drainMs`, and stops listening. */
  close(): Promise<void>;
}

/** Starts to listen. Rejects with a sentence when the address or the files of TLS cannot be used. */
export async function startFeedServer(options: FeedServerOptions): Promise<FeedServer> {
  const { config, log, tlsStats } = options;
  const tls = await feedCredentials(config.tls, log, tlsStats);
  const streams = new Streams(options);
  const server = new Server({
    "grpc.enable_channelz": 0,
    "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": PING_EVERY_MS,
    "grpc.keepalive_timeout_ms": PONG_WITHIN_MS,
    "grpc.max_connection_idle_ms": CONNECTION_IDLE_MS,
  });
  const asBuffer = (bytes: Buffer): Buffer => bytes;
  const follow = {
    path: FOLLOW_PATH,
    requestStream: true,
    responseStream: true,
    requestSerialize: asBuffer,
    requestDeserialize: asBuffer,
    responseSerialize: asBuffer,
    responseDeserialize: asBuffer,
  } as const;
  server.addService({ follow }, { follow: (call: Call) => streams.accept(call) });
  const injector = server.createConnectionInjector(tls.credentials);
  const listener = createServer({ noDelay: true }, (socket) => {
    streams.connected(socket);
    injector.injectConnection(socket);
  });
  listener.maxConnections = CONNECTIONS_PER_STREAM * options.streamsMax;
  let address: string;
  try {
    address = await listen(listener, config.address);
    listener.on("error", (error) => log.error("the feed server has a problem", { error: error.message }));
  } catch (error) {
    tls.close();
    streams.close();
    server.forceShutdown();
    throw error;
  }
  return {
    address,
    stats: streams.stats,
    status: () => streams.status(),
    async close() {
      listener.close();
      await streams.sendAway(options.drainMs);
      streams.close();
      server.forceShutdown();
      tls.close();
    },
  };
}

/** The streams of one server, and the connections they came by. */
class Streams {
  readonly stats: FeedStats;
  readonly #options: FeedServerOptions;
  readonly #times: StreamTimes;
  readonly #distributor: Distributor;
  readonly #streams = new Set<FeedStream>();
  /** By the peer's `host:port`: what a call tells of its connection. */
  readonly #sockets = new Map<string, Socket>();
  readonly #timer: NodeJS.Timeout;
  #ticks = 0;
  #closing = false;
  #emptied: (() => void) | undefined;

  constructor(options: FeedServerOptions) {
    const { state, source, sidecars, history } = options;
    this.#options = options;
    this.stats = options.stats ?? new FeedStats();
    this.#times = { ...streamTimes, ...options.times };
    this.#distributor = new Distributor({
      state,
      source,
      onConcerned: () => sidecars.fellBehind(),
      revisionMs: this.#times.revisionMs,
      history,
    });
    this.#timer = setInterval(() => this.#tick(), 1000 / TICKS_PER_S);
    this.#timer.unref();
  }

  status() {
    const { scopes, kept } = this.#distributor;
    return { scopes, keptRevisions: kept.revisions, keptBytes: kept.bytes };
  }

  connected(socket: Socket): void {
    const { remoteAddress = "", remotePort = 0 } = socket;
    const peer = `${remoteAddress}:${remotePort}`;
    this.#sockets.set(peer, socket);
    socket.once("close", () => {
      if (this.#sockets.get(peer) === socket) this.#sockets.delete(peer);
    });
    // What breaks is told by the stream.
    socket.on("error", () => {});
  }

  accept(call: Call): void {
    const { stats } = this;
    const { sidecars, auth, log, streamsMax } = this.#options;
    if (this.#closing || this.#streams.size >= streamsMax) {
      const details = this.#closing
        ? "this replica of the control plane ends"
        : `this replica has ${streamsMax} streams already (limits.streamsMax)`;
      if (!this.#closing) log.warn("a sidecar's stream is refused", { peer: call.getPeer(), why: details });
      call.on("error", () => {});
      call.emit("error", { code: status.UNAVAILABLE, details });
      return;
    }
    stats.streamsTotal++;
    const stream: FeedStream = new FeedStream(call, {
      distributor: this.#distributor,
      sidecars,
      auth,
      stats,
      log,
      times: this.#times,
      destroy: (peer) => this.#sockets.get(peer)?.destroy(),
      gone: (one) => this.#gone(one),
    });
    this.#streams.add(stream);
    stats.streams = this.#streams.size;
  }

  /** Resolves when all are gone, or the time is up. */
  async sendAway(withinMs: number): Promise<void> {
    this.#closing = true;
    const spread = Math.max(RETURN_SPREAD_MIN_MS, this.#streams.size * RETURN_SPREAD_MS);
    for (const stream of this.#streams) stream.sendAway(Math.floor(Math.random() * spread));
    if (this.#streams.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, withinMs);
    this.#emptied = resolve;
    await promise;
    clearTimeout(timer);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#distributor.close();
    for (const stream of this.#streams) stream.destroy();
    for (const socket of this.#sockets.values()) socket.destroy();
  }

  #gone(stream: FeedStream): void {
    this.#streams.delete(stream);
    this.stats.streams = this.#streams.size;
    if (this.#streams.size === 0) this.#emptied?.();
  }

  #tick(): void {
    const now = performance.now();
    for (const stream of this.#streams) stream.tick(now);
    if (++this.#ticks % TICKS_PER_S === 0) for (const stream of this.#streams) stream.newSecond();
  }
}

function listen(listener: NetServer, address: string): Promise<string> {
  const endpoint = parseEndpoint(address, true);
  if ("problem" in endpoint) {
    throw new ServerAddressError(SETTING, address, "EINVAL", `${endpoint.problem}, ${endpoint.hint}`);
  }
  return new Promise((resolve, reject) => {
    listener.once("error", (error: NodeJS.ErrnoException) => {
      const { code = "UNKNOWN", message } = error;
      const problem = code === "EADDRINUSE" ? `another process has it; choose another in ${SETTING}` : message;
      reject(new ServerAddressError(SETTING, address, code, problem));
    });
    // Of thousands that come at once, those beyond the backlog would wait for a second and try again; the system's own
    // limit (net.core.somaxconn) applies as well.
    listener.listen({ host: endpoint.host, port: endpoint.port, backlog: 4096 }, () => {
      listener.removeAllListeners("error");
      const { address: host, port } = listener.address() as AddressInfo; // not a pipe, and listening
      resolve(formatEndpoint({ host, port }));
    });
  });
}
