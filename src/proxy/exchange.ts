// What an exchange is in every HTTP version: who is asked, who is asked next when that fails, and what is left behind in
// numbers, log and journal when it is over. How a connection is had and how bytes get there is the version's own.
import { coarse, turnNowMs } from "../base/clock.ts";
import type { FailureReason, Reason } from "../base/reasons.ts";
import type { Timeouts } from "../base/limits.ts";
import type { AccessLog } from "../telemetry/access-log.ts";
import type { ListenerConfig } from "../config/proxy-config.ts";
import type { Decision } from "../routing/decide.ts";
import { NO_GRPC_STATUS } from "../telemetry/journal.ts";
import type { RouteStats, Telemetry } from "../telemetry/metrics.ts";
import type { SpanRecorder } from "../telemetry/spans/recorder.ts";
import type { Span } from "../telemetry/spans/span.ts";
import type { Endpoint } from "./endpoints/endpoint.ts";
import { pickEndpoint } from "./endpoints/endpoint.ts";
import { type LoggedRequest, logExchange } from "./log-exchange.ts";
import type { Protocol, RefusalReason, Route, Router } from "./router.ts";

/** Addresses of one name that are tried for one request. */
const ADDRESS_ATTEMPTS_MAX = 3;
export const NONE_TRIED: readonly Endpoint[] = [];

/** What an exchange needs from its listener. */
export interface ExchangeListener {
  readonly config: ListenerConfig;
  readonly timeouts: Timeouts;
  readonly telemetry: Telemetry;
  readonly accessLog: AccessLog | undefined;
  /** Undefined: there are none. */
  readonly spans: SpanRecorder | undefined;
  failureStats(
    decision: Decision | undefined,
    reason: FailureReason | Decision["reason"],
    protocol: Protocol,
  ): RouteStats;
}

/** One request and its response, as far as the HTTP version does not matter. */
export abstract class ExchangeBase {
  /** Undefined while there is no exchange (HTTP/1.1 uses one object for all of a connection). */
  route: Route | undefined = undefined;
  endpoint: Endpoint | undefined = undefined;
  /** The last byte of the request has been received. */
  requestDone = false;
  /** Coarse time of `requestDone`. */
  requestDoneMs = 0;
  /** The final response head has been sent on. */
  responseStarted = false;
  startedMs = 0;
  waitingSinceMs = 0;
  /** How long the request waited for a connection; -1 when a kept one served at once. */
  waitedMs = -1;
  /** Bytes of the bodies so far, framing not counted. */
  requestBodyBytes = 0;
  responseBodyBytes = 0;
  /** Strings for the access log; only made when it is on. */
  logged: LoggedRequest | undefined = undefined;
  /** As gRPC counts: of the answer's trailers or head, -1 when there is none. */
  grpcStatus = -1;
  /** Its place in the journal; -1: it is not written there. */
  journalAt = -1;
  /** The caller's trace is sampled. */
  span: Span | undefined = undefined;
  /** Set-Cookie for the answer, "" for none. */
  protected setCookie = "";
  protected status = 0;
  protected waiting = false;
  protected waitStartedMs = -1;
  protected tried: readonly Endpoint[] = NONE_TRIED;

  abstract readonly isGrpc: boolean;
  abstract get listener(): ExchangeListener;
  /** Address and port of the client, for the access log. */
  abstract get client(): string;
  protected abstract readonly protocol: Protocol;
  /** Takes a connection that the endpoint has, or waits for one. */
  protected abstract reach(endpoint: Endpoint): void;
  /** Waits for a connection of the endpoint. */
  protected abstract queue(endpoint: Endpoint): void;
  /** Ends the exchange with an answer of our own or, when the response has begun, with a reset. */
  abstract fail(reason: RefusalReason, detail: string): void;

  /** Takes over what the router has begun for the request. */
  protected follow({ tenant, records }: Router): void {
    this.journalAt = records.journalAt;
    this.span = records.span;
    this.setCookie = tenant.setCookie;
  }

  /** The request is complete. */
  noteRequestDone(): void {
    this.requestDone = true;
    this.requestDoneMs = coarse.nowMs;
  }

  /** Chooses an endpoint and a connection; called once the first bytes are there, and again for each further attempt. */
  dispatch(): void {
    const { refusal, endpoints } = this.route as Route;
    if (refusal !== undefined) {
      this.fail(refusal.reason, refusal.detail);
      return;
    }
    const endpoint = pickEndpoint(endpoints, this.tried);
    if (endpoint === undefined) {
      this.#exhausted("the destination has no endpoint");
      return;
    }
    this.#take(endpoint);
    this.reach(endpoint);
  }

  #take(endpoint: Endpoint): void {
    this.endpoint = endpoint;
    endpoint.outstanding++;
    endpoint.lastUsedMs = coarse.nowMs;
  }

  protected wait(endpoint: Endpoint): void {
    this.waiting = true;
    if (this.waitStartedMs < 0) this.waitStartedMs = turnNowMs();
    this.queue(endpoint);
  }

  /** A connection is there. */
  protected noteAssigned(): void {
    if (!this.waiting) return;
    this.waiting = false;
    this.waitedMs = turnNowMs() - this.waitStartedMs;
  }

  /** No connection could be had. `another`: another endpoint, or the same at another address, may be tried. */
  connectFailed(reason: FailureReason, detail: string, another: boolean): void {
    this.waiting = false;
    const endpoint = this.endpoint as Endpoint;
    endpoint.outstanding--;
    this.endpoint = undefined;
    // An endpoint whose name has several addresses is several endpoints in one.
    const attempts = this.tried.filter((tried) => tried === endpoint).length + 1;
    this.tried = [...this.tried, endpoint];
    if (another && attempts < Math.min(endpoint.addresses.length, ADDRESS_ATTEMPTS_MAX)) {
      this.#take(endpoint);
      this.wait(endpoint);
      return;
    }
    if (pickEndpoint((this.route as Route).endpoints, this.tried) !== undefined) {
      this.dispatch();
      return;
    }
    this.endpoint = endpoint;
    endpoint.outstanding++;
    if (reason === "upstream-unavailable") this.#exhausted(`${endpoint.name}: ${detail}`);
    else this.fail(reason, `${endpoint.name}: ${detail}`);
  }

  /** DESIGN §3.4 step 7: nothing of the destination can be reached. */
  #exhausted(detail: string): void {
    const route = this.route as Route;
    const { fallback } = route;
    if (fallback !== undefined) {
      this.dropEndpoint();
      route.stats.active--;
      route.use.active--;
      fallback.stats.active++;
      fallback.use.active++;
      this.route = fallback;
      this.tried = NONE_TRIED;
      this.dispatch();
      return;
    }
    const reason = this.endpoint?.unreachableReason ?? "upstream-unavailable";
    this.fail(route.exhaustedReason ?? reason, detail);
  }

  protected dropEndpoint(): void {
    if (this.endpoint === undefined) return;
    this.endpoint.outstanding--;
    this.endpoint = undefined;
  }

  /**
   * Leaves behind what an exchange leaves: counts, a line in the access log, the end of its entry in the journal.
   *
   * @param failure why it ended otherwise than with the endpoint's answer.
   */
  protected leaveRecord(failure: Reason | undefined): void {
    const route = this.route as Route;
    const { listener, status } = this;
    const durationMs = turnNowMs() - this.startedMs;
    route.stats.active--;
    route.use.active--;
    const stats = failure === undefined ? route.stats : listener.failureStats(route.decision, failure, this.protocol);
    stats.record(status, durationMs);
    if (listener.accessLog?.wants(status, failure !== undefined && failure !== "unknown-key") === true) {
      logExchange(listener, this, route, failure ?? route.reason, status, durationMs);
    }
    if (this.journalAt !== -1) {
      const grpcStatus = this.isGrpc ? this.grpcStatus : NO_GRPC_STATUS;
      const { destination } = route.decision;
      const name = this.endpoint?.name ?? "";
      const reason = failure ?? route.reason;
      listener.telemetry.journal?.end(this.journalAt, status, grpcStatus, reason, destination, name, durationMs);
      this.journalAt = -1;
    }
    if (this.span !== undefined) this.#endSpan(this.span, route, failure);
  }

  #endSpan(span: Span, { decision, reason, tableVersion }: Route, failure: Reason | undefined): void {
    this.span = undefined;
    this.listener.spans?.end(span, {
      status: this.status,
      grpcStatus: this.grpcStatus,
      reason: failure ?? reason,
      failed: failure !== undefined,
      service: decision.service,
      destination: decision.destination,
      tableVersion,
      endpoint: this.endpoint?.name ?? "",
      requestBytes: this.requestBodyBytes,
      responseBytes: this.responseBodyBytes,
      endedMs: turnNowMs(),
    });
  }
}
