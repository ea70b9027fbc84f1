// HTTP/1.1 connections to one endpoint.
//
// Guarantees: an idle connection is handed out at most once; bytes or an end on an idle connection remove it before anyone
// gets it; no more than `upstreamConnectionsMax` connections, no more than `upstreamWaitingMax` exchanges that wait for one
// to become free, none of which waits longer than `upstreamWaitMs`; who waits for a connection being made hears of its
// failure within `connectMs`.
//
// Idle connections are a stack: the one used last is used next, so that a burst's surplus ages at the bottom and is closed
// by `upstreamIdleMs`, before the server's own idle limit makes it a trap. A queue would keep all of them lukewarm.
//
// Every connection is in one of three states, and `size` counts all of them:
//
//   connecting -> active <-> idle -> gone        (`#pendingConnects` counts the first, look-ups of the name included)
import { assert } from "../../base/assert.ts";
import { coarse } from "../../base/clock.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { UpstreamContext } from "../endpoints/registry.ts";
import type { Resolver } from "../endpoints/resolver.ts";
import type { Pool, PoolCounts } from "../endpoints/pool.ts";
import type { Exchange } from "./exchange.ts";
import { Http1Upstream } from "./upstream.ts";

/** Connections to one endpoint. */
export class Http1Pool implements Pool {
  readonly endpoint: Endpoint;
  readonly context: UpstreamContext;
  /** Has, or had at the last sweep, connections or waiting exchanges: somebody has to call `sweep`. */
  live = false;
  /** Idle, active and connecting connections, and look-ups that will become connections. */
  size = 0;
  readonly #resolver: Resolver;
  readonly #onLive: (pool: Http1Pool) => void;
  #idle: Http1Upstream[] = [];
  readonly #connecting = new Set<Http1Upstream>();
  /** Addresses of all connections. */
  readonly #addresses = new Map<Http1Upstream, string>();
  /** Connections to addresses that the endpoint's name has no more. */
  readonly #misplaced = new Set<Http1Upstream>();
  readonly #waiting: Exchange[] = [];
  #pendingConnects = 0;
  #closed = false;

  /** @param onLive called when `live` becomes true: `sweep` is due once per tick from now on. */
  constructor(endpoint: Endpoint, resolver: Resolver, context: UpstreamContext, onLive: (pool: Http1Pool) => void) {
    this.endpoint = endpoint;
    this.context = context;
    this.#resolver = resolver;
    this.#onLive = onLive;
  }

  /** An idle connection that is as fresh as can be known, or undefined. */
  takeIdle(): Http1Upstream | undefined {
    const upstream = this.#idle.pop();
    if (upstream === undefined) return undefined;
    const stats = this.context.telemetry.upstream;
    stats.connectionsIdle--;
    stats.connectionsActive++;
    return upstream;
  }

  /** Queues an exchange for the next connection; it hears `assign` or `connectFailed`, the latter perhaps at once. */
  enqueue(exchange: Exchange): void {
    const { limits } = this.context;
    // Those for whom a connection is being made do not wait for others to finish.
    const queued = this.#waiting.length - this.#pendingConnects;
    if (this.size >= limits.upstreamConnectionsMax && queued >= limits.upstreamWaitingMax) {
      exchange.connectFailed("upstream-overloaded", `${limits.upstreamWaitingMax} requests are waiting already`, false);
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

  /** The exchange wants no connection any more. */
  dequeue(exchange: Exchange): void {
    const at = this.#waiting.indexOf(exchange);
    if (at !== -1) this.#waiting.splice(at, 1);
  }

  /** A connection is free for the next exchange. */
  release(upstream: Http1Upstream): void {
    if (this.#misplaced.size > 0 && this.#misplaced.has(upstream)) {
      upstream.close();
      return;
    }
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next.assign(upstream);
      return;
    }
    if (this.#closed || this.endpoint.retired) {
      upstream.close();
      return;
    }
    const stats = this.context.telemetry.upstream;
    stats.connectionsActive--;
    stats.connectionsIdle++;
    upstream.idleSinceMs = coarse.nowMs;
    this.#idle.push(upstream);
  }

  /** A connection is gone, idle or not. */
  forget(upstream: Http1Upstream): void {
    const stats = this.context.telemetry.upstream;
    const at = this.#idle.lastIndexOf(upstream);
    if (at !== -1) {
      this.#idle.splice(at, 1);
      stats.connectionsIdle--;
    } else stats.connectionsActive--;
    this.#addresses.delete(upstream);
    this.#misplaced.delete(upstream);
    this.size--;
    assert(this.size >= 0, "a connection was forgotten twice");
    this.#connectForWaiting();
  }

  #connectForWaiting(): void {
    while (
      this.#pendingConnects < this.#waiting.length &&
      this.size < this.context.limits.upstreamConnectionsMax &&
      !this.#closed
    ) {
      this.size++;
      this.#pendingConnects++;
      this.context.telemetry.upstream.connectionsConnecting++;
      const address = this.#resolver.ready(this.endpoint) ? this.endpoint.nextAddress() : undefined;
      if (address !== undefined) this.#connect(address);
      else void this.#resolveAndConnect();
    }
  }

  async #resolveAndConnect(): Promise<void> {
    await this.#resolver.ensure(this.endpoint);
    if (this.#closed) {
      this.#endAttempt();
      return;
    }
    // The look-up may have outlasted everybody who wanted it.
    const wanted = this.#waiting.length >= this.#pendingConnects;
    const address = this.endpoint.nextAddress();
    if (!wanted) this.#endAttempt();
    else if (address === undefined) {
      this.#connectFailed(`the name ${this.endpoint.host} cannot be resolved`, undefined);
    } else this.#connect(address);
  }

  #connect(address: string): void {
    const startedMs = performance.now();
    const upstream: Http1Upstream = new Http1Upstream(this, address, () => {
      const { telemetry } = this.context;
      this.#connecting.delete(upstream);
      this.#endAttempt();
      this.size++;
      telemetry.upstream.connectionsActive++;
      telemetry.upstream.connect.observe(performance.now() - startedMs);
      this.release(upstream);
    });
    this.#connecting.add(upstream);
    this.#addresses.set(upstream, address);
  }

  /** A connection attempt ended without a connection; called by the connection, once. */
  attemptFailed(upstream: Http1Upstream, detail: string): void {
    const address = this.#addresses.get(upstream);
    // `close` has counted it already.
    if (!this.#connecting.delete(upstream)) return;
    this.#addresses.delete(upstream);
    this.#misplaced.delete(upstream);
    this.#connectFailed(detail, address);
  }

  #connectFailed(detail: string, address: string | undefined): void {
    this.#endAttempt();
    this.endpoint.noteUnreachable(address, this.context.timeouts);
    // Whoever waits longest pays for the failed attempt; the others have attempts of their own.
    this.#waiting.shift()?.connectFailed("upstream-unavailable", detail, true);
    this.#connectForWaiting();
  }

  #endAttempt(): void {
    this.size--;
    this.#pendingConnects--;
    this.context.telemetry.upstream.connectionsConnecting--;
    assert(this.#pendingConnects >= 0, "a connection attempt ended twice");
  }

  /** The endpoint's name has changed its addresses: connections to others are of no more use once they are free. */
  retainAddresses(addresses: readonly string[]): void {
    for (const [upstream, address] of this.#addresses) {
      if (addresses.includes(address)) this.#misplaced.delete(upstream);
      else this.#misplaced.add(upstream);
    }
    if (this.#misplaced.size > 0) this.#closeIdle((upstream) => this.#misplaced.has(upstream));
  }

  /** Deadlines; once per tick. */
  sweep(nowMs: number): void {
    const { connectMs, upstreamIdleMs } = this.context.timeouts;
    if (upstreamIdleMs > 0) {
      // The bottom of the stack is the oldest.
      const oldest = this.#idle[0];
      if (oldest !== undefined && nowMs - oldest.idleSinceMs >= upstreamIdleMs) {
        this.#closeIdle((upstream) => nowMs - upstream.idleSinceMs >= upstreamIdleMs);
      }
    }
    for (const upstream of this.#connecting) {
      if (nowMs - upstream.idleSinceMs >= connectMs) upstream.connectTimedOut();
    }
    this.#sweepWaiting(nowMs);
    this.live = this.size > 0 || this.#waiting.length > 0;
  }

  #sweepWaiting(nowMs: number): void {
    const { limits, timeouts } = this.context;
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0] as Exchange;
      const waitedMs = nowMs - first.waitingSinceMs;
      if (waitedMs < timeouts.upstreamWaitMs) return;
      // Busy: every connection that may be opened is there, and at work.
      const busy = this.size >= limits.upstreamConnectionsMax && this.size > this.#pendingConnects;
      if (!busy && waitedMs < timeouts.connectMs) return;
      this.#waiting.shift();
      if (busy) {
        const detail = `no connection became free within ${timeouts.upstreamWaitMs} ms`;
        first.connectFailed("upstream-overloaded", detail, false);
      } else {
        first.connectFailed("upstream-unavailable", `no connection could be made within ${waitedMs} ms`, false);
      }
    }
  }

  /** For `GET /connections`. */
  describe(): PoolCounts {
    return {
      idle: this.#idle.length,
      connecting: this.#pendingConnects,
      active: this.size - this.#idle.length - this.#pendingConnects,
      waiting: this.#waiting.length,
    };
  }

  /** Closes the connections that nobody uses now. */
  closeIdle(): void {
    this.#closeIdle(() => true);
  }

  #closeIdle(which: (upstream: Http1Upstream) => boolean): void {
    const closing = this.#idle.filter(which);
    if (closing.length === 0) return;
    // In one go: taken out one by one, a thousand of them would be a million steps.
    this.#idle = this.#idle.filter((upstream) => !which(upstream));
    const stats = this.context.telemetry.upstream;
    stats.connectionsIdle -= closing.length;
    stats.connectionsActive += closing.length;
    for (const upstream of closing) upstream.close();
  }

  /** Closes what nobody uses and makes no more connections; those in use end with their exchange. */
  close(): void {
    this.#closed = true;
    this.closeIdle();
    for (const upstream of this.#connecting) {
      this.#connecting.delete(upstream);
      this.#addresses.delete(upstream);
      this.#endAttempt();
      upstream.close();
    }
  }
}
