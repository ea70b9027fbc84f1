// A client's connection that is not looked into: all of it goes to the baseline, byte by byte.
//
// Guarantees: the endpoint is connected to at once, whether or not the client has said something, because in many protocols
// the server speaks first; where none can be reached the client's connection is reset, which no client takes for an answer.
// TCP carries no routing key (DESIGN §3.4 step 2), so the decision is always the one for requests without: the baseline.
//
//   dialling -> (connected | connectFailed -> dialling ...) -> relaying -> gone
import { coarse, turnNowMs } from "../../base/clock.ts";
import type { Limits, Timeouts } from "../../base/limits.ts";
import { type FailureReason, type Reason, reasonInfo } from "../../base/reasons.ts";
import type { ListenerConfig } from "../../config/proxy-config.ts";
import type { Decision } from "../../routing/decide.ts";
import type { AccessLog } from "../../telemetry/access-log.ts";
import type { RouteStats } from "../../telemetry/metrics.ts";
import type { Connection } from "../connection.ts";
import { type Endpoint, pickEndpoint } from "../endpoints/endpoint.ts";
import { HeldBytes } from "../held-bytes.ts";
import type { Protocol, Route } from "../router.ts";
import { logLine } from "../log-exchange.ts";
import type { Wire, WireOwner } from "../wire.ts";
import type { Attempt, Dialler } from "./connector.ts";
import { Relay, type RelayEnd, type RelayOwner, relayFailures } from "./relay.ts";

/** Attempts for one client at the addresses of one name. */
const ADDRESS_ATTEMPTS_MAX = 3;
const NONE_TRIED: readonly Endpoint[] = [];
/** There is no status code in TCP. */
const NO_STATUS = 0;

/** What tunnels need of their listener. */
export interface TunnelListener {
  readonly config: ListenerConfig;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly accessLog: AccessLog | undefined;
  /** Where connections go that are not looked into; undefined where only a request can tell. */
  opaqueRoute(): Route | undefined;
  failureStats(decision: Decision | undefined, reason: FailureReason, protocol: Protocol): RouteStats;
  /** No connection to the endpoint could be made, and the protocol has no way to say so. */
  noteUnreachable(endpoint: string, detail: string): void;
  /** The connection is gone. */
  remove(connection: Connection): void;
}

/** A client's connection that is relayed as it is. */
export class Tunnel implements Connection, WireOwner, Dialler, RelayOwner {
  readonly wire: Wire;
  index = 0;
  /** It may be at work without our knowing. */
  readonly idle = false;
  readonly #listener: TunnelListener;
  readonly #secured: boolean;
  readonly #peer: string;
  readonly #startedMs = turnNowMs();
  readonly #route: Route | undefined;
  #endpoint: Endpoint | undefined;
  #tried: readonly Endpoint[] = NONE_TRIED;
  #attempt: Attempt | undefined;
  #connectMs = -1;
  /** What the client has sent before there is anybody to send it to: no more than had been read when it came here. */
  readonly #early = new HeldBytes();
  #earlyEnd = false;
  #relay: Relay | undefined;
  #failure: FailureReason | undefined;

  /** @param secured the client speaks TLS, with the endpoint itself. */
  constructor(wire: Wire, listener: TunnelListener, secured: boolean) {
    this.wire = wire;
    this.#secured = secured;
    this.#listener = listener;
    this.#peer = listener.accessLog === undefined ? "" : wire.peer;
    wire.owner = this;
    // What the client sends meanwhile waits in the kernel.
    wire.pause();
    this.#route = listener.opaqueRoute();
    if (this.#route === undefined) {
      this.#refuse("destination-unknown");
      return;
    }
    this.#route.stats.active++;
    this.#dial();
  }

  #dial(): void {
    const endpoint = pickEndpoint((this.#route as Route).endpoints, this.#tried);
    if (endpoint === undefined) this.#refuse("upstream-unavailable");
    else this.#dialAt(endpoint);
  }

  #dialAt(endpoint: Endpoint): void {
    this.#endpoint = endpoint;
    endpoint.outstanding++;
    endpoint.lastUsedMs = coarse.nowMs;
    const attempt = endpoint.tcp.dial(this, this.#secured);
    // None: that has been dealt with, perhaps by another one.
    if (attempt !== undefined) this.#attempt = attempt;
  }

  connectFailed(reason: FailureReason, detail: string, another: boolean): void {
    this.#attempt = undefined;
    const endpoint = this.#endpoint as Endpoint;
    endpoint.outstanding--;
    this.#tried = [...this.#tried, endpoint];
    const attempts = this.#tried.filter((tried) => tried === endpoint).length;
    if (another && attempts < Math.min(endpoint.addresses.length, ADDRESS_ATTEMPTS_MAX)) this.#dialAt(endpoint);
    else if (pickEndpoint((this.#route as Route).endpoints, this.#tried) !== undefined) this.#dial();
    else {
      // Counted again until the end, which says who was asked last.
      endpoint.outstanding++;
      // The client sees a reset and no word: whoever runs the sidecar has to be told why.
      this.#listener.noteUnreachable(endpoint.name, detail);
      this.#refuse(reason === "upstream-unavailable" ? endpoint.unreachableReason : reason);
    }
  }

  connected(upstream: Wire): void {
    this.#attempt = undefined;
    this.#connectMs = turnNowMs() - this.#startedMs;
    const relay = new Relay(this.wire, upstream, this);
    this.#relay = relay;
    const early = this.#early;
    if (early.length > 0) relay.downstream.take(early.bytes, 0, early.length);
    early.clear();
    relay.begin();
    if (this.#earlyEnd) relay.downstream.onEnd();
  }

  #refuse(reason: FailureReason): void {
    this.#failure = reason;
    this.wire.reset();
  }

  onBytes(bytes: Uint8Array, end: number): void {
    this.#early.append(bytes, 0, end);
  }

  onEnd(): void {
    this.#earlyEnd = true;
  }

  onBacklog(): void {}
  onDrain(): void {}

  onClose(): void {
    this.#attempt?.cancel();
    this.#finish(this.#failure ?? "client-closed");
  }

  relayEnded(end: RelayEnd): void {
    this.#endpoint?.tcp.release();
    this.#finish(relayFailures[end]);
  }

  #finish(failure: FailureReason | undefined): void {
    const listener = this.#listener;
    const route = this.#route;
    const durationMs = turnNowMs() - this.#startedMs;
    const status = failure === undefined ? NO_STATUS : reasonInfo(failure).status;
    const stats =
      failure === undefined && route !== undefined
        ? route.stats
        : listener.failureStats(route?.decision, failure as FailureReason, "tcp");
    if (route !== undefined) route.stats.active--;
    stats.record(status, durationMs);
    if (listener.accessLog?.wants(status, failure !== undefined) === true) {
      this.#log(failure ?? (route as Route).reason, status, durationMs);
    }
    if (this.#endpoint !== undefined) this.#endpoint.outstanding--;
    listener.remove(this);
  }

  #log(reason: Reason, status: number, durationMs: number): void {
    const decision = this.#route?.decision;
    const relay = this.#relay;
    logLine(this.#listener, {
      client: this.#peer,
      protocol: "TCP",
      service: decision?.service ?? "",
      destination: decision?.destination ?? "",
      reason,
      status,
      endpoint: this.#endpoint?.name ?? "",
      requestBytes: relay?.downstream.bytes ?? 0,
      responseBytes: relay?.upstream.bytes ?? 0,
      durationMs,
      ...(this.#connectMs < 0 ? {} : { connectMs: this.#connectMs }),
    });
  }

  sweep(nowMs: number): void {
    this.#relay?.sweep(nowMs, this.#listener.timeouts.tunnelIdleMs);
  }

  announceDrain(): boolean {
    return false;
  }

  /** Nobody can tell it to come to an end: it lives until it does, or until the deadline of the drain. */
  drain(): void {}
}
