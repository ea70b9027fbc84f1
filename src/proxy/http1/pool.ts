// HTTP/1.1 connections to one endpoint.
//
// Guarantees: an idle connection is handed out at most once; bytes or an end on an idle connection remove it before anyone
// gets it; no more than `upstreamConnectionsMax` connections, no more than `upstreamWaitingMax` waiting exchanges, none of
// which waits longer than `upstreamWaitMs`.
//
// Idle connections are a stack: the one used last is used next, so that a burst's surplus ages at the bottom and is closed
// by `upstreamIdleMs`, before the server's own idle limit makes it a trap. A queue would keep all of them lukewarm.
import { coarse } from "../../base/clock.ts";
import type { FailureReason } from "../../base/reasons.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { UpstreamContext } from "../endpoints/registry.ts";
import type { Resolver } from "../endpoints/resolver.ts";
import type { Exchange } from "./exchange.ts";
import { Http1Upstream } from "./upstream.ts";

/** Connections to one endpoint. */
export class Http1Pool {
  readonly endpoint: Endpoint;
  readonly context: UpstreamContext;
  readonly #resolver: Resolver;
  readonly #idle: Http1Upstream[] = [];
  readonly #connecting = new Set<Http1Upstream>();
  readonly #waiting: Exchange[] = [];
  /** Idle, active and connecting connections, and look-ups that will become connections. */
  size = 0;

  constructor(endpoint: Endpoint, resolver: Resolver, context: UpstreamContext) {
    this.endpoint = endpoint;
    this.context = context;
    this.#resolver = resolver;
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

  /** Queues an exchange for the next connection; it hears `assign` or `connectFailed`. */
  enqueue(exchange: Exchange): void {
    const { limits } = this.context;
    if (this.size >= limits.upstreamConnectionsMax && this.#waiting.length >= limits.upstreamWaitingMax) {
      exchange.connectFailed("upstream-overloaded", `${limits.upstreamWaitingMax} requests are waiting already`, false);
      return;
    }
    exchange.waitingSinceMs = coarse.nowMs;
    this.#waiting.push(exchange);
    this.#connectForWaiting();
  }

  /** The exchange wants no connection any more. */
  dequeue(exchange: Exchange): void {
    const at = this.#waiting.indexOf(exchange);
    if (at !== -1) this.#waiting.splice(at, 1);
  }

  /** A connection is free for the next exchange. */
  release(upstream: Http1Upstream): void {
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next.assign(upstream);
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
    this.size--;
    this.#connectForWaiting();
  }

  #connectForWaiting(): void {
    while (this.#pendingConnects < this.#waiting.length && this.size < this.context.limits.upstreamConnectionsMax) {
      this.size++;
      this.#pendingConnects++;
      this.context.telemetry.upstream.connectionsConnecting++;
      const address = this.endpoint.nextAddress();
      if (address !== undefined) this.#connect(address);
      else void this.#resolveAndConnect();
    }
  }
  #pendingConnects = 0;

  async #resolveAndConnect(): Promise<void> {
    await this.#resolver.ensure(this.endpoint);
    const address = this.endpoint.nextAddress();
    if (address === undefined) this.#connectFailed(`the name ${this.endpoint.host} cannot be resolved`);
    else this.#connect(address);
  }

  #connect(address: string): void {
    const startedMs = performance.now();
    const upstream = new Http1Upstream(this, address, () => {
      const stats = this.context.telemetry.upstream;
      this.#connecting.delete(upstream);
      this.#pendingConnects--;
      stats.connectionsConnecting--;
      stats.connectionsActive++;
      stats.connect.observe(performance.now() - startedMs);
      this.release(upstream);
    });
    this.#connecting.add(upstream);
  }

  /** A connection attempt ended without a connection. */
  attemptFailed(upstream: Http1Upstream, detail: string): void {
    this.#connecting.delete(upstream);
    this.#connectFailed(detail);
  }

  #connectFailed(detail: string): void {
    this.size--;
    this.#pendingConnects--;
    this.context.telemetry.upstream.connectionsConnecting--;
    this.endpoint.noteFailure(true, this.context.timeouts);
    // Whoever waits longest pays for the failed attempt; the others have attempts of their own.
    this.#waiting.shift()?.connectFailed("upstream-unavailable", detail, true);
    this.#connectForWaiting();
  }

  /** Deadlines; once per tick. */
  sweep(nowMs: number): void {
    const { timeouts } = this.context;
    if (timeouts.upstreamIdleMs > 0) {
      // The bottom of the stack is the oldest.
      while (this.#idle.length > 0) {
        const oldest = this.#idle[0] as Http1Upstream;
        if (nowMs - oldest.idleSinceMs < timeouts.upstreamIdleMs) break;
        oldest.close();
      }
    }
    for (const upstream of this.#connecting) {
      if (nowMs - upstream.idleSinceMs >= timeouts.connectMs) upstream.connectTimedOut();
    }
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0] as Exchange;
      if (nowMs - first.waitingSinceMs < timeouts.upstreamWaitMs) break;
      this.#waiting.shift();
      const reason: FailureReason = this.#pendingConnects > 0 ? "upstream-unavailable" : "upstream-overloaded";
      first.connectFailed(reason, `no connection became free within ${timeouts.upstreamWaitMs} ms`, false);
    }
  }

  describe(): object {
    return {
      idle: this.#idle.length,
      connecting: this.#pendingConnects,
      active: this.size - this.#idle.length - this.#pendingConnects,
      waiting: this.#waiting.length,
    };
  }

  closeIdle(): void {
    while (this.#idle.length > 0) (this.#idle[this.#idle.length - 1] as Http1Upstream).close();
  }

  close(): void {
    this.closeIdle();
    for (const upstream of this.#connecting) upstream.close();
  }
}
