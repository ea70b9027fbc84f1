// HTTP/2 connections to one endpoint: few, each shared by many exchanges.
//
// Guarantees: a connection is opened only when those that are there have no room, and one at a time unless more wait than it
// can take; no more than `upstreamConnectionsMax`; once that many are there, no more than `upstreamWaitingMax` exchanges wait
// for room, and none longer than `upstreamWaitMs`; who waits for a connection being made hears of its failure within
// `connectMs`.
//
// The first connection with room is used, so that few are busy and the others age and are closed.
import type { FailureReason } from "../../base/reasons.ts";
import { assert } from "../../base/assert.ts";
import { coarse } from "../../base/clock.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { Pool, PoolCounts } from "../endpoints/pool.ts";
import type { UpstreamContext } from "../endpoints/registry.ts";
import type { Resolver } from "../endpoints/resolver.ts";
import type { Http2Exchange } from "./exchange.ts";
import type { SessionContext } from "./session.ts";
import { Http2Upstream } from "./upstream.ts";

/** What HTTP/2 pools need from the process. */
export interface Http2UpstreamContext extends UpstreamContext, SessionContext {
  /** The endpoint accepts extended CONNECT (RFC 8441 §3). */
  noteConnectProtocol(endpoint: Endpoint): void;
}

/** Streams that an endpoint is expected to allow before it has said how many: RFC 9113 §6.5.2 advises no fewer. */
const CAPACITY_EXPECTED = 100;
/** Streams that leave on the first connection before its SETTINGS have come, which servers send at once. */
const EARLY_STREAMS = 16;

/** Connections to one endpoint. */
export class Http2Pool implements Pool {
  readonly endpoint: Endpoint;
  readonly context: Http2UpstreamContext;
  live = false;
  readonly #resolver: Resolver;
  readonly #onLive: (pool: Http2Pool) => void;
  /** Connections that take streams, the longest used first. */
  readonly #sessions: Http2Upstream[] = [];
  /** Connections that only finish what they have. */
  readonly #leaving = new Set<Http2Upstream>();
  readonly #connecting = new Set<Http2Upstream>();
  /** Connections that are over and wait for the endpoint to close its side. */
  readonly #closing = new Set<Http2Upstream>();
  /** Streams that a new connection is expected to take, and that leave before it says how many: what the last one allowed. */
  #expectedCapacity = CAPACITY_EXPECTED;
  earlyStreams = EARLY_STREAMS;
  #waiting: Http2Exchange[] = [];
  /** Connections being made, look-ups of the name included. */
  #pendingConnects = 0;
  #serving = false;
  #closed = false;

  /** @param onLive called when `live` becomes true: `sweep` is due once per tick from now on. */
  constructor(
    endpoint: Endpoint,
    resolver: Resolver,
    context: Http2UpstreamContext,
    onLive: (pool: Http2Pool) => void,
  ) {
    this.endpoint = endpoint;
    this.context = context;
    this.#resolver = resolver;
    this.#onLive = onLive;
  }

  /** A connection with room for the exchange, or undefined. */
  take(exchange: Http2Exchange): Http2Upstream | undefined {
    const sessions = this.#sessions;
    for (let i = 0; i < sessions.length; i++) {
      const session = sessions[i] as Http2Upstream;
      if (session.capacity <= 0) continue;
      // Whether extended CONNECT can be sent is known only from its settings (RFC 8441 §3).
      if (exchange.isTunnel && !session.peer.enableConnectProtocol) continue;
      return session;
    }
    return undefined;
  }

  /** Queues an exchange for the next room; it hears `assign`, or `connectFailed`, perhaps at once. */
  enqueue(exchange: Http2Exchange): void {
    const { limits } = this.context;
    if (this.#size >= limits.upstreamConnectionsMax && this.#waiting.length >= limits.upstreamWaitingMax) {
      exchange.connectFailed("upstream-overloaded", `${limits.upstreamWaitingMax} requests are waiting already`, false);
      return;
    }
    if (exchange.isTunnel && this.#refusesTunnels) {
      exchange.fail("upgrade-unsupported", `${this.endpoint.name} does not accept extended CONNECT (RFC 8441)`);
      return;
    }
    exchange.waitingSinceMs = coarse.nowMs;
    this.#waiting.push(exchange);
    if (!this.live) {
      this.live = true;
      this.#onLive(this);
    }
    this.#connectForWaiting();
  }

  /** The endpoint has told its settings, and extended CONNECT is not among them. */
  get #refusesTunnels(): boolean {
    const settled = this.#sessions.filter((session) => session.settingsSeen);
    return settled.length > 0 && settled.every((session) => !session.peer.enableConnectProtocol);
  }

  /** The exchange wants no connection any more. */
  dequeue(exchange: Http2Exchange): void {
    const at = this.#waiting.indexOf(exchange);
    if (at !== -1) this.#waiting.splice(at, 1);
  }

  get #size(): number {
    return this.#sessions.length + this.#leaving.size + this.#pendingConnects;
  }

  /** There may be room where there was none: for a closed stream, by new settings. */
  roomChanged(): void {
    if (this.#waiting.length > 0) this.#serve();
  }

  #serve(): void {
    // An exchange that fails on the spot makes room again.
    if (this.#serving) return;
    this.#serving = true;
    const left: Http2Exchange[] = [];
    const waiting = this.#waiting;
    this.#waiting = left;
    for (const exchange of waiting) {
      if (exchange.isTunnel && this.#refusesTunnels) {
        exchange.fail("upgrade-unsupported", `${this.endpoint.name} does not accept extended CONNECT (RFC 8441)`);
        continue;
      }
      const session = this.take(exchange);
      if (session === undefined) left.push(exchange);
      else exchange.assign(session);
    }
    this.#serving = false;
    this.#connectForWaiting();
  }

  #connectForWaiting(): void {
    const unsettled = this.#sessions.filter((session) => !session.settingsSeen).length;
    // An endpoint that allows no streams at all would allow none on further connections either.
    if (this.#expectedCapacity === 0 && this.#sessions.length + this.#pendingConnects > 0) return;
    while (
      this.#waiting.length > (this.#pendingConnects + unsettled) * Math.max(1, this.#expectedCapacity) &&
      this.#size < this.context.limits.upstreamConnectionsMax &&
      !this.#closed
    ) {
      this.#pendingConnects++;
      this.context.telemetry.upstream.connectionsConnecting++;
      const address = this.#resolver.ready(this.endpoint) ? this.endpoint.nextAddress() : undefined;
      if (address !== undefined) this.#connect(address);
      else void this.#resolveAndConnect();
    }
  }

  async #resolveAndConnect(): Promise<void> {
    await this.#resolver.ensure(this.endpoint);
    const address = this.endpoint.nextAddress();
    // The look-up may have outlasted everybody who wanted it.
    if (this.#closed || this.#waiting.length === 0) this.#endAttempt();
    else if (address === undefined) {
      this.#connectFailed(`the name ${this.endpoint.host} cannot be resolved`, undefined);
    } else this.#connect(address);
  }

  #connect(address: string): void {
    const session = Http2Upstream.connect(this, address);
    this.#connecting.add(session);
  }

  /** A connection is there; called by it, once. */
  connected(session: Http2Upstream): void {
    this.#connecting.delete(session);
    this.#endAttempt();
    const { upstream } = this.context.telemetry;
    upstream.connect.observe(coarse.nowMs - session.idleSinceMs);
    upstream.connectionsIdle++;
    session.idleSinceMs = coarse.nowMs;
    if (this.#closed) {
      this.#leaving.add(session);
      session.leave();
      return;
    }
    this.#sessions.push(session);
    this.#serve();
    // Nobody is left who wanted it, and nobody may come.
    if (this.endpoint.retired) this.#retire(session);
  }

  /** A connection attempt ended without a connection; called by the connection, once. */
  attemptFailed(session: Http2Upstream, detail: string): void {
    // `close` has counted it already.
    if (this.#connecting.delete(session)) this.#connectFailed(detail, session.address);
  }

  #connectFailed(detail: string, address: string | undefined): void {
    this.#endAttempt();
    this.endpoint.noteUnreachable(address, this.context.timeouts);
    // Others may still be served by connections that are there or on their way; then only the first hears of it.
    const others = this.#sessions.length + this.#pendingConnects;
    const failed = this.#waiting.splice(0, others > 0 ? 1 : this.#waiting.length);
    for (const exchange of failed) exchange.connectFailed("upstream-unavailable", detail, true);
    this.#connectForWaiting();
  }

  /** A connection ended before the endpoint had said anything that HTTP/2 is: as good as no connection for those who wait. */
  endedEarly(session: Http2Upstream, reason: FailureReason | undefined, detail: string): void {
    if (reason === undefined) this.endpoint.noteUnreachable(session.address, this.context.timeouts);
    const others = this.#sessions.filter((other) => other !== session && !other.leaving).length + this.#pendingConnects;
    for (const exchange of this.#waiting.splice(0, others > 0 ? 1 : this.#waiting.length)) {
      if (reason === undefined) exchange.connectFailed("upstream-unavailable", detail, true);
      else exchange.upstreamBroke(reason, detail);
    }
  }

  #endAttempt(): void {
    this.#pendingConnects--;
    this.context.telemetry.upstream.connectionsConnecting--;
    assert(this.#pendingConnects >= 0, "a connection attempt ended twice");
  }

  /** The endpoint has told how many streams it allows. */
  noteCapacity(streams: number): void {
    this.#expectedCapacity = Math.min(streams, CAPACITY_EXPECTED);
    this.earlyStreams = this.#expectedCapacity;
  }

  /** The endpoint accepts extended CONNECT: listeners that lead to it can, too. */
  announceConnectProtocol(): void {
    this.context.noteConnectProtocol(this.endpoint);
  }

  /** The connection has its first stream. */
  becomesActive(_session: Http2Upstream): void {
    const { upstream } = this.context.telemetry;
    upstream.connectionsIdle--;
    upstream.connectionsActive++;
  }

  /** The connection's last stream has ended. */
  becomesIdle(session: Http2Upstream): void {
    const { upstream } = this.context.telemetry;
    upstream.connectionsActive--;
    upstream.connectionsIdle++;
    if (this.endpoint.retired) this.#retire(session);
  }

  /** The connection takes no further streams. */
  leaves(session: Http2Upstream): void {
    const at = this.#sessions.indexOf(session);
    if (at === -1) return;
    this.#sessions.splice(at, 1);
    this.#leaving.add(session);
  }

  #retire(session: Http2Upstream): void {
    this.leaves(session);
    session.leave();
  }

  /** A connection is gone. */
  forget(session: Http2Upstream): void {
    this.leaves(session);
    if (!this.#leaving.delete(session)) return;
    const { upstream } = this.context.telemetry;
    if (session.active) upstream.connectionsActive--;
    else upstream.connectionsIdle--;
    session.active = false;
    this.#closing.add(session);
    this.#connectForWaiting();
  }

  /** The connection's socket is gone. */
  closed(session: Http2Upstream): void {
    this.#closing.delete(session);
  }

  retainAddresses(addresses: readonly string[]): void {
    for (const session of [...this.#sessions]) if (!addresses.includes(session.address)) this.#retire(session);
  }

  sweep(nowMs: number): void {
    const { connectMs, http2UpstreamIdleMs } = this.context.timeouts;
    for (const session of this.#connecting) if (nowMs - session.idleSinceMs >= connectMs) session.connectTimedOut();
    for (const session of [...this.#sessions, ...this.#leaving]) {
      const idle = session.streams.size === 0 && !session.leaving;
      if (idle && http2UpstreamIdleMs > 0 && nowMs - session.idleSinceMs >= http2UpstreamIdleMs) this.#retire(session);
      session.sweep(nowMs);
    }
    for (const session of this.#closing) session.sweep(nowMs);
    this.#sweepWaiting(nowMs);
    this.live = this.#size > 0 || this.#closing.size > 0 || this.#waiting.length > 0;
  }

  #sweepWaiting(nowMs: number): void {
    const { timeouts } = this.context;
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0] as Http2Exchange;
      const waitedMs = nowMs - first.waitingSinceMs;
      if (waitedMs < timeouts.upstreamWaitMs) return;
      const busy = this.#sessions.some((session) => session.settingsSeen);
      if (!busy && waitedMs < timeouts.connectMs) return;
      this.#waiting.shift();
      if (busy) {
        const detail = `no stream became free within ${timeouts.upstreamWaitMs} ms`;
        first.connectFailed("upstream-overloaded", detail, false);
      } else {
        first.connectFailed("upstream-unavailable", `no connection could be made within ${waitedMs} ms`, false);
      }
    }
  }

  describe(): PoolCounts {
    const all = [...this.#sessions, ...this.#leaving];
    const idle = all.filter((session) => session.streams.size === 0).length;
    return {
      idle,
      connecting: this.#pendingConnects,
      active: all.length - idle,
      waiting: this.#waiting.length,
    };
  }

  closeIdle(): void {
    for (const session of [...this.#sessions]) if (session.streams.size === 0) this.#retire(session);
  }

  close(): void {
    this.#closed = true;
    for (const session of [...this.#sessions]) this.#retire(session);
    // Nobody looks after them from now on: neither the rest of a request that nobody waits for nor a peer that does not close
    // its side is a reason for the process to stay.
    for (const session of [...this.#leaving, ...this.#closing]) {
      if (session.streams.size > 0) session.abort();
      else session.wire.unref();
    }
    for (const session of this.#connecting) {
      this.#connecting.delete(session);
      this.#endAttempt();
      session.abort();
    }
  }
}
