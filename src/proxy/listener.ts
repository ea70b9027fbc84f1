// A listening socket and the connections that it accepted.
//
// Guarantees: no more than `connectionsMax` connections are served in the process; who comes on top is told so and sent away,
// and that costs a bounded number of sockets for a bounded time.
//
//   open -> announcing (answers say `Connection: close`, all are still served) -> closed (idle ones ended, no new ones)
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { coarse } from "../base/clock.ts";
import type { Limits, Timeouts } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import { type FailureReason, reasonInfo } from "../base/reasons.ts";
import type { AddressSet } from "../config/address-set.ts";
import type { ListenerConfig, ProxyConfig } from "../config/proxy-config.ts";
import { latin1 } from "../protocol/bytes.ts";
import { type Detected, detect } from "../protocol/detect.ts";
import type { WatchList } from "../protocol/context/request-view.ts";
import { FieldTable } from "../protocol/field-table.ts";
import { http1Fields } from "../protocol/http1/field-ids.ts";
import { headersOfCarriers } from "../routing/key-finder.ts";
import type { Decision } from "../routing/decide.ts";
import type { AccessLog } from "../telemetry/access-log.ts";
import type { RouteStats, Telemetry } from "../telemetry/metrics.ts";
import type { SpanRecorder } from "../telemetry/spans/recorder.ts";
import { answerBytes } from "./http1/answers.ts";
import type { Connection } from "./connection.ts";
import { Detector } from "./detector.ts";
import { Http1Downstream } from "./http1/downstream.ts";
import type { ListenerContext } from "./http1/listener-context.ts";
import type { Endpoint } from "./endpoints/endpoint.ts";
import { openServers } from "./listening.ts";
import { Http2Downstream } from "./http2/downstream.ts";
import { Http2ListenerContext } from "./http2/listener-context.ts";
import type { Protocol, Route, Router } from "./router.ts";
import type { Tenancy } from "./tenancy/tenancy.ts";
import { Tunnel, type TunnelListener } from "./tcp/tunnel.ts";
import type { HandshakeOwner, ListenerTls } from "./tls/listener-tls.ts";
import { Wire, nobody } from "./wire.ts";

/** Connections that are being told that there is no room; beyond them there is only a reset. */
const TURNED_AWAY_MAX = 256;
/** That telling may take; it is a few hundred bytes. */
const TURNED_AWAY_MS = 1000;
/** Between two log lines about connections that could not be accepted: there are as many as the kernel can count. */
const FAILURE_LOG_MS = 1000;

/** What a listener needs from the process. */
export interface ListenerDeps {
  readonly telemetry: Telemetry;
  readonly accessLog: AccessLog | undefined;
  readonly log: Log;
  readonly tenancy: Tenancy;
  /** Shared by the workers of one sidecar, distinct from every other sidecar: by it loops are recognised. */
  readonly instanceId: string;
  readonly reusePort: boolean;
  /** Open connections of all listeners of the process. */
  readonly connections: { count: number };
}

/** One listener of the config. */
export class Listener implements ListenerContext, TunnelListener, HandshakeOwner {
  readonly config: ListenerConfig;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly router: Router;
  readonly fields: FieldTable;
  readonly via: Uint8Array;
  readonly viaToken: Uint8Array;
  readonly telemetry: Telemetry;
  readonly accessLog: AccessLog | undefined;
  readonly spans: SpanRecorder | undefined;
  readonly watch: WatchList;
  readonly forbiddenTrailers: readonly Uint8Array[];
  readonly namesClients: boolean;
  /** Answers announce that the connection closes. */
  draining = false;
  /** Connections end with their present exchange, whether it announced that or not. */
  ending = false;
  /** What its HTTP/2 connections share. */
  readonly http2: Http2ListenerContext;
  #closed = false;
  readonly #tcpRouter: Router;
  readonly #deps: ListenerDeps;
  /** One per address; none before `listen`. */
  #servers: readonly Server[] = [];
  /** Whom the edge takes at their word; undefined: this is no edge. */
  readonly #callers: AddressSet | undefined;
  /** Undefined: clients come without TLS. */
  readonly #tls: ListenerTls | undefined;
  /** All connections; a connection knows its index, so that removal is a swap with the last. */
  readonly #connections: Connection[] = [];
  /** Connections beyond the limit, and when they began to be told so. */
  readonly #turnedAway = new Map<Socket, number>();
  /** Kept as long as the table: its sandboxes' labels are freed with it. */
  readonly #failureStats = new Map<string, RouteStats>();
  #failureLoggedMs = Number.NEGATIVE_INFINITY;
  #whenEmpty: (() => void) | undefined;

  constructor(
    config: ListenerConfig,
    proxy: ProxyConfig,
    routers: Readonly<Record<Protocol, Router>>,
    deps: ListenerDeps,
    tls?: ListenerTls,
  ) {
    this.#tls = tls;
    this.config = config;
    this.limits = proxy.limits;
    this.timeouts = proxy.timeouts;
    this.router = routers.http1;
    this.#tcpRouter = routers.tcp;
    this.telemetry = deps.telemetry;
    this.accessLog = deps.accessLog;
    this.#deps = deps;
    const { tenancy } = deps;
    this.spans = tenancy.spans;
    this.watch = tenancy.watch;
    const { carriers, edge } = proxy.tenancy;
    this.forbiddenTrailers = headersOfCarriers([...carriers, ...edge.carriers]).map(latin1);
    this.namesClients = deps.accessLog !== undefined || tenancy.spans !== undefined;
    this.#callers = config.direction === "inbound" && config.edge ? tenancy.callers : undefined;
    this.fields = new FieldTable(this.watch.names, http1Fields);
    // A name that is no plain word is told by its position, in a form that no plain word has.
    const word = /^[A-Za-z0-9-]+$/.test(config.name) ? config.name : `_${proxy.listeners.indexOf(config)}`;
    const token = `sidelane-${deps.instanceId}-${word}`;
    this.viaToken = latin1(token);
    this.http2 = new Http2ListenerContext(this, routers.http2, token);
    this.via = latin1(`via: 1.1 ${token}\r\n`);
  }

  #newServer(): Server {
    const server = createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: true, keepAlive: true });
    server.on("connection", (socket) => this.#accept(socket));
    return server;
  }

  #accept(socket: Socket): void {
    const { connections } = this.#deps;
    if (connections.count >= this.limits.connectionsMax || this.#closed) {
      const reason = this.#closed ? "draining" : "connection-limit";
      // An answer would have to be encrypted, and that is the expensive part.
      this.#turnAway(socket, reason, this.#tls === undefined);
      return;
    }
    connections.count++;
    if (this.#tls === undefined) this.#add(Wire.accept(socket, nobody), this.config.protocol);
    else this.#tls.accept(socket, this);
  }

  #add(wire: Wire, protocol: ListenerConfig["protocol"]): void {
    const connection = this.#open(wire, protocol);
    connection.index = this.#connections.length;
    this.#connections.push(connection);
    if (this.ending) void this.#drainSoon(wire);
  }

  /** TLS was settled while the listener was ending: a request may have come along with the end of the handshake. */
  async #drainSoon(wire: Wire): Promise<void> {
    await nextTurn();
    await nextTurn();
    this.#connections.find((connection) => connection.wire === wire)?.drain();
  }

  /** A handshake is over; ALPN has settled what is spoken, if the client asked (RFC 9113 §3.2, RFC 7301). */
  secured(socket: TLSSocket, beneath: Socket): void {
    const { protocol } = this.config;
    const settled = socket.alpnProtocol === "h2" ? "http2" : socket.alpnProtocol === "http/1.1" ? "http1" : "auto";
    this.#add(Wire.acceptPublic(socket, nobody, beneath), protocol === "auto" ? settled : protocol);
  }

  /** A client of a listener with TLS has begun without it. */
  plaintext(socket: Socket, bytes: Uint8Array): void {
    if (this.#tls?.plaintextAllowed === true) {
      this.#add(Wire.acceptPublic(socket, nobody), this.config.protocol);
      return;
    }
    this.#deps.connections.count--;
    // Whoever speaks HTTP/1.1 is told; anything else would not understand.
    const detected = detect(bytes, 0, bytes.length);
    this.#turnAway(socket, "tls-required", detected === "http1" || detected === "undecided");
    this.#noteEmpty();
  }

  /** A handshake came to nothing. */
  failed(): void {
    this.#deps.connections.count--;
    this.#noteEmpty();
  }

  #open(wire: Wire, protocol: ListenerConfig["protocol"]): Connection {
    switch (protocol) {
      case "auto":
        return new Detector(wire, this);
      case "http1":
        return new Http1Downstream(wire, this);
      case "http2":
        return new Http2Downstream(wire, this.http2);
      case "tcp":
        return new Tunnel(wire, this, false);
    }
  }

  /** The first bytes have told what a connection speaks: whoever speaks that takes it over, with these bytes. */
  handOver(from: Connection, protocol: Exclude<Detected, "undecided">, bytes: Uint8Array, end: number): void {
    const next = this.#ownerOf(from.wire, protocol);
    next.index = from.index;
    this.#connections[from.index] = next;
    next.wire.owner.onBytes(bytes, end);
  }

  #ownerOf(wire: Wire, protocol: Exclude<Detected, "undecided">): Connection {
    // At the edge nothing goes on unread: what is no HTTP is refused as what it would have to be.
    if (this.#callers !== undefined && protocol !== "http2") return new Http1Downstream(wire, this);
    return protocol === "tls" ? new Tunnel(wire, this, true) : this.#open(wire, protocol);
  }

  #turnAway(socket: Socket, reason: "draining" | "connection-limit" | "tls-required", tell: boolean): void {
    const { protocol } = this.config;
    this.failureStats(undefined, reason, protocol === "auto" ? "http1" : protocol).record(reasonInfo(reason).status, 0);
    socket.on("error", () => {});
    if (!tell || this.#turnedAway.size >= TURNED_AWAY_MAX) {
      socket.resetAndDestroy();
      return;
    }
    this.#turnedAway.set(socket, coarse.nowMs);
    socket.on("close", () => this.#turnedAway.delete(socket));
    // Whatever comes is read and dropped, so that the client gets the answer instead of a reset (RFC 9112 §9.6).
    socket.on("end", () => socket.destroy());
    socket.resume();
    const context = { detail: "", service: "", destination: "", endpoint: "" };
    socket.end(answerBytes(reason, context, false, "close", undefined));
  }

  /** An endpoint accepts extended CONNECT (RFC 8441 §3): if it is one of ours, clients may send it. */
  noteConnectProtocol(endpoint: Endpoint): void {
    if (this.http2.connectProtocol || !this.http2.router.uses(endpoint)) return;
    this.http2.connectProtocol = true;
    for (const connection of this.#connections) {
      if (connection instanceof Http2Downstream) connection.tellConnectProtocol();
    }
  }

  /** Every caller, where the world does not come in. */
  trusts(wire: Wire): boolean {
    if (this.#callers === undefined) return true;
    return this.#callers.has(wire.socket.remoteAddress ?? "");
  }

  opaqueRoute(): Route | undefined {
    return this.#tcpRouter.opaque();
  }

  remove(connection: Connection): void {
    const { index } = connection;
    const last = this.#connections.pop() as Connection;
    if (last !== connection) {
      last.index = index;
      this.#connections[index] = last;
    }
    this.#deps.connections.count--;
    this.#noteEmpty();
  }

  get #empty(): boolean {
    return this.#connections.length === 0 && (this.#tls === undefined || this.#tls.handshaking === 0);
  }

  #noteEmpty(): void {
    if (this.#empty) this.#whenEmpty?.();
  }

  failureStats(
    decision: Decision | undefined,
    reason: FailureReason | Decision["reason"],
    protocol: Protocol,
  ): RouteStats {
    const service = decision?.service ?? "";
    const destination = decision?.destination ?? "";
    const at = `${protocol} ${service} ${destination} ${reason}`;
    let stats = this.#failureStats.get(at);
    if (stats === undefined) {
      stats = this.telemetry.routeStats(service, this.config.direction, protocol, destination, reason);
      this.#failureStats.set(at, stats);
    }
    return stats;
  }

  noteUnreachable(endpoint: string, detail: string): void {
    if (coarse.nowMs - this.#failureLoggedMs < FAILURE_LOG_MS) return;
    this.#failureLoggedMs = coarse.nowMs;
    this.#deps.log.warn("no connection for a tunnel", { listener: this.config.name, endpoint, why: detail });
  }

  /** Starts to listen; rejects with a sentence that names the listener and the address. */
  async listen(): Promise<void> {
    const { name, address } = this.config;
    const options = { reusePort: this.#deps.reusePort, backlog: 1024 };
    this.#servers = await openServers(address, () => this.#newServer(), options).catch((error: Error) => {
      throw new Error(`listener ${name} cannot listen on ${address}: ${error.message}`, { cause: error });
    });
    for (const server of this.#servers) server.on("error", (error) => this.#noteFailure(error));
  }

  #noteFailure(error: Error): void {
    if (coarse.nowMs - this.#failureLoggedMs < FAILURE_LOG_MS) return;
    this.#failureLoggedMs = coarse.nowMs;
    this.#deps.log.error("listener failed", { listener: this.config.name, error: error.message });
  }

  /** `host:port` that it listens on. */
  get address(): string {
    const [first] = this.#servers;
    if (first === undefined) throw new Error(`listener ${this.config.name} does not listen`);
    const { address, port, family } = first.address() as AddressInfo;
    return family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
  }

  get connectionCount(): number {
    return this.#connections.length + (this.#tls?.handshaking ?? 0);
  }

  get idleCount(): number {
    return this.#connections.reduce((count, connection) => count + Number(connection.idle), 0);
  }

  sweep(nowMs: number): void {
    // Backwards: a connection that ends takes the last one into its place.
    for (let i = this.#connections.length - 1; i >= 0; i--) this.#connections[i]?.sweep(nowMs);
    for (const [socket, sinceMs] of this.#turnedAway) {
      if (nowMs - sinceMs < TURNED_AWAY_MS) break;
      socket.destroy();
    }
  }

  /** There is a new table. */
  noteTable(): void {
    this.#failureStats.clear();
  }

  /** From now on answers announce the end of their connection; all requests are still served. True when a client was told now. */
  announceDrain(): boolean {
    this.draining = true;
    let told = false;
    for (const connection of this.#connections) if (connection.announceDrain()) told = true;
    return told;
  }

  /** Accepts no more connections. */
  stopAccepting(): void {
    this.draining = true;
    this.#closed = true;
    for (const server of this.#servers) server.close();
  }

  /** Ends idle connections now and the others after their exchange. Resolves when all are gone. */
  endConnections(): Promise<void> {
    this.ending = true;
    for (let i = this.#connections.length - 1; i >= 0; i--) this.#connections[i]?.drain();
    this.#tls?.endSilent();
    return new Promise((resolve) => {
      if (this.#empty) resolve();
      else this.#whenEmpty = resolve;
    });
  }

  /** Ends everything at once. */
  close(): void {
    this.stopAccepting();
    for (const connection of [...this.#connections]) connection.wire.reset();
    for (const socket of this.#turnedAway.keys()) socket.destroy();
  }
}
