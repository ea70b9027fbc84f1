// One request and its response on their way through. The downstream connection feeds the request in, an upstream
// connection the response; the exchange decides who is asked, what is tried again, and how it ends.
//
//   open -> dispatch -> (assign | connectFailed -> dispatch ...) -> beginResponse -> responseComplete -> finish
//                          upstreamLost -> dispatch once more            fail at any point -> finish
//
// Guarantees: exactly one `finish` per `open`; after it neither side calls in. A request is sent again only if nothing of
// a response has arrived and either the first connection cannot have processed it or the method is idempotent
// (RFC 9110 §9.2.2). A response that breaks off resets the client's connection, so that it never looks complete.
//
// One object serves all requests of a connection, one after the other: HTTP/1.1 answers in order. Long because what may happen
// to an exchange depends on what has, and that is one object's state.
//
// Backpressure. Request: client -> downstream wire -> [requestBytes until a connection is assigned] -> upstream wire; when
// the latter is backlogged the former is paused. Response: upstream wire -> downstream wire; the same the other way round.
import { coarse, turnNowMs } from "../../base/clock.ts";
import type { Reason } from "../../base/reasons.ts";
import { reasonInfo } from "../../base/reasons.ts";
import { copyBytes, joined, latin1 } from "../../protocol/bytes.ts";
import type { RequestHead } from "../../protocol/http1/request-head.ts";
import { type ResponseHead, bodyKinds } from "../../protocol/http1/response-head.ts";
import {
  REQUEST_HEAD_GROWTH,
  RESPONSE_HEAD_GROWTH,
  cutMaxForwards,
  cutTransferEncoding,
  writeRequestHead,
  writeResponseHead,
} from "../../protocol/http1/serialise.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { ExchangeBase, NONE_TRIED } from "../exchange.ts";
import type { RefusalReason, Route, Router } from "../router.ts";
import { type RelayEnd, relayFailures } from "../tcp/relay.ts";
import { outbox } from "../wire.ts";
import { answerBytes } from "./answers.ts";
import type { Http1Downstream } from "./downstream.ts";
import type { ListenerContext } from "./listener-context.ts";
import type { Http1Upstream } from "./upstream.ts";

const REQUEST_BYTES_INITIAL = 1024;
/** A larger request buffer is given back after the exchange. */
const REQUEST_BYTES_KEPT = 8192;
const NONE_OFFERED: readonly Uint8Array[] = [];
const NO_BYTES = new Uint8Array(0);

/** What becomes of the client's connection: the next request, an orderly end, or a reset. */
export type AfterExchange = "keep" | "close" | "abort";

/** The exchange of one downstream connection. */
export class Exchange extends ExchangeBase {
  protected readonly protocol = "http1";
  readonly isGrpc = false;
  readonly #downstream: Http1Downstream;
  upstream: Http1Upstream | undefined;
  isHead = false;
  /** Protocols that the request offers to switch to (RFC 9110 §7.8). */
  offers: readonly Uint8Array[] = NONE_OFFERED;
  #http10 = false;
  #keepAlive = true;
  #idempotent = false;
  #debug = false;
  #retried = false;
  /** The request from its first byte, as forwarded: sent once a connection is there, and again if need be. */
  #requestBytes = new Uint8Array(REQUEST_BYTES_INITIAL);
  #requestLength = 0;
  /** `requestBytes` holds all of the request that has come so far. */
  #replayable = true;

  constructor(downstream: Http1Downstream) {
    super();
    this.#downstream = downstream;
  }

  get listener(): ListenerContext {
    return this.#downstream.listener;
  }

  get client(): string {
    return this.#downstream.peer;
  }

  /** Begins with a parsed request head, which is copied in its forwarded form. */
  open(head: RequestHead, bytes: Uint8Array, after: number, route: Route, router: Router): void {
    this.route = route;
    this.follow(router);
    this.requestDone = false;
    this.responseStarted = false;
    this.isHead = head.isHead;
    this.offers = head.switches ? head.upgradeOffers : NONE_OFFERED;
    this.startedMs = turnNowMs();
    this.requestBodyBytes = 0;
    this.responseBodyBytes = 0;
    this.#http10 = head.minor === 0;
    this.#keepAlive = head.keepAlive;
    this.#idempotent = head.idempotent;
    this.#debug = head.debug && this.#downstream.trusted;
    this.#retried = false;
    this.waitedMs = -1;
    this.waitStartedMs = -1;
    this.tried = NONE_TRIED;
    this.#replayable = true;
    this.status = 0;
    route.stats.active++;
    route.use.active++;
    const { via } = this.#downstream.listener;
    const authority = route.endpoints[0]?.authority ?? NO_BYTES;
    const needed = after - head.start + REQUEST_HEAD_GROWTH + via.length + authority.length + head.added.length;
    if (needed > this.#requestBytes.length) this.#requestBytes = new Uint8Array(needed * 2);
    if (head.maxForwards > 0 && (head.isOptions || head.isTrace)) cutMaxForwards(head);
    this.#requestLength = writeRequestHead(head, bytes, after, this.#requestBytes, 0, via, authority);
  }

  /** Takes bytes of the request body, framing included. */
  sendRequestBody(bytes: Uint8Array, start: number, end: number): void {
    const { upstream } = this;
    if (upstream !== undefined) {
      // What was sent will not be sent again. A write that still waits in a large buffer keeps it alive by itself.
      if (this.#replayable && this.#requestBytes.length > REQUEST_BYTES_KEPT) this.#requestBytes = NO_BYTES;
      this.#replayable = false;
      upstream.wire.send(bytes, start, end);
      return;
    }
    const length = this.#requestLength + (end - start);
    if (length > this.#requestBytes.length) {
      const larger = new Uint8Array(length * 2);
      larger.set(this.#requestBytes.subarray(0, this.#requestLength));
      this.#requestBytes = larger;
    }
    copyBytes(bytes, start, end, this.#requestBytes, this.#requestLength);
    this.#requestLength = length;
  }

  protected reach(endpoint: Endpoint): void {
    const upstream = endpoint.http1.takeIdle();
    if (upstream !== undefined) this.assign(upstream);
    else this.wait(endpoint);
  }

  protected queue(endpoint: Endpoint): void {
    // More of the body than one read is not kept in memory while nobody takes it.
    if (!this.requestDone) this.#downstream.wire.pause();
    endpoint.http1.enqueue(this);
  }

  /** A connection is there: the request leaves. */
  assign(upstream: Http1Upstream): void {
    this.noteAssigned();
    this.upstream = upstream;
    upstream.start(this);
    outbox.push(upstream.wire, this.#requestBytes, 0, this.#requestLength);
    this.#resumeRequest();
    // Backlog is told when it begins. One that began before this connection and this exchange met has told nobody here.
    if (this.#downstream.wire.backlogged) upstream.wire.pause();
    if (upstream.wire.backlogged) this.upstreamBacklogged();
  }

  /** Reads on where the client still owes some of the body. */
  #resumeRequest(): void {
    if (this.requestDone) return;
    const { wire } = this.#downstream;
    // While it was paused the client could not make progress: `bodyMs` counts from now.
    wire.lastProgressMs = coarse.nowMs;
    wire.resume();
  }

  /**
   * The connection was lost before a byte of the response.
   *
   * @param reused it had served before, so the server may just have closed it for idleness (RFC 9112 §9.3.1).
   * @param untouched the request never left.
   */
  upstreamLost(reused: boolean, untouched: boolean, detail: string): void {
    const endpoint = this.endpoint as Endpoint;
    const { replayBytesMax } = this.#downstream.listener.limits;
    // Nothing was tried yet. It cannot go on for ever: each time takes a used connection out of the pool.
    if (untouched && reused && this.#replayable) {
      this.wait(endpoint);
      return;
    }
    const whole = this.#replayable && this.#requestLength <= replayBytesMax;
    if (!this.#retried && whole && (untouched || (reused && this.#idempotent))) {
      this.#retried = true;
      this.#downstream.listener.telemetry.retries++;
      this.wait(endpoint);
      return;
    }
    if (!untouched) endpoint.noteFailure(false, this.#downstream.listener.timeouts);
    this.fail("upstream-closed", detail);
  }

  /** Sends a 1xx response on (RFC 9110 §15.2): to HTTP/1.0 clients there is none. */
  relayInterim(head: ResponseHead, bytes: Uint8Array, after: number): void {
    if (this.#http10) return;
    this.#writeHead(head, bytes, after, "none", undefined);
  }

  /** Sends a 101 on; the exchange lasts as long as the two connections, which are joined now. */
  switchProtocols(head: ResponseHead, bytes: Uint8Array, after: number, end: number, upstream: Http1Upstream): void {
    this.responseStarted = true;
    this.status = head.status;
    this.#writeHead(head, bytes, after, "none", this.#debug ? (this.route as Route).debugLine : undefined);
    this.#downstream.switchProtocols(upstream, bytes, after, end);
  }

  /** What came of the switch of protocols has ended. */
  switchedEnded(end: RelayEnd): void {
    this.#finish(relayFailures[end], "close");
  }

  /** Sends the final response head on. */
  beginResponse(head: ResponseHead, bytes: Uint8Array, after: number, upstream: Http1Upstream): void {
    this.responseStarted = true;
    this.status = head.status;
    let close = !this.#keepAlive || this.#downstream.listener.draining || head.body === bodyKinds.close;
    // An answer before the end of the request: the rest of the body is not waited for (RFC 9112 §9.6).
    if (!this.requestDone) close = true;
    if (this.#http10 && head.chunked) {
      // RFC 9112 §6.1: to an HTTP/1.0 client never, not even where it only describes what GET would have got.
      cutTransferEncoding(head);
      if (head.body === bodyKinds.chunked) {
        upstream.unchunk = true;
        close = true;
      }
    }
    this.#keepAlive = !close;
    const word = close ? "close" : this.#http10 ? "keep-alive" : "none";
    this.#writeHead(head, bytes, after, word, this.#addedLines());
  }

  /** What we add to the final answer, the endpoint's or our own. */
  #addedLines(): Uint8Array | undefined {
    const debug = this.#debug ? (this.route as Route).debugLine : undefined;
    if (this.setCookie === "") return debug;
    const line = latin1(`set-cookie: ${this.setCookie}\r\n`);
    return debug === undefined ? line : joined([line, debug]);
  }

  #writeHead(
    head: ResponseHead,
    bytes: Uint8Array,
    after: number,
    word: "none" | "close" | "keep-alive",
    extra: Uint8Array | undefined,
  ): void {
    const at = outbox.reserve(after - head.start + RESPONSE_HEAD_GROWTH + (extra?.length ?? 0));
    const end = writeResponseHead(head, bytes, after, outbox.arena, at, word, extra);
    outbox.commit(this.#downstream.wire, at, end);
  }

  /** Sends bytes of the response body on, framing included; `responseBodyBytes` is counted by the upstream side. */
  relayResponseBody(bytes: Uint8Array, start: number, end: number): void {
    this.#downstream.wire.send(bytes, start, end);
  }

  /** The response has been sent on as a whole. */
  responseComplete(): void {
    this.#finish(undefined, this.#keepAlive && this.requestDone ? "keep" : "close");
  }

  upstreamBacklogged(): void {
    if (!this.requestDone) this.#downstream.wire.pause();
  }

  upstreamDrained(): void {
    this.#resumeRequest();
  }

  downstreamBacklogged(): void {
    this.upstream?.wire.pause();
  }

  downstreamDrained(): void {
    this.upstream?.wire.resume();
  }

  /** Ends the exchange with an answer of our own or, when the response has begun, with a reset. */
  fail(reason: RefusalReason, detail: string): void {
    // An endpoint that accepts and then says nothing is as ill as one that breaks off.
    if (reason === "upstream-timeout" && !this.responseStarted) {
      this.endpoint?.noteFailure(false, this.#downstream.listener.timeouts);
    }
    this.#detach();
    if (this.responseStarted) {
      this.#finish(reasonInfo(reason).source === "downstream" ? reason : "response-aborted", "abort");
      return;
    }
    const route = this.route as Route;
    const { decision } = route;
    this.status = reasonInfo(reason).status;
    if (reason === "client-closed") {
      this.#finish(reason, "abort");
      return;
    }
    const keepAlive = this.#keepAlive && this.requestDone && !this.#downstream.listener.draining;
    const bytes = answerBytes(
      reason,
      { detail, service: decision.service, destination: decision.destination, endpoint: this.endpoint?.name ?? "" },
      this.isHead,
      keepAlive ? (this.#http10 ? "keep-alive" : "") : "close",
      this.#addedLines(),
    );
    this.#downstream.wire.send(bytes, 0, bytes.length);
    this.#finish(reason, keepAlive ? "keep" : "close");
  }

  /** Leaves the upstream side: a connection in use cannot be used again, a place in the queue is given up. */
  #detach(): void {
    const { upstream } = this;
    if (this.waiting) {
      this.waiting = false;
      this.endpoint?.http1.dequeue(this);
    }
    if (upstream === undefined) return;
    this.upstream = undefined;
    upstream.exchange = undefined;
    upstream.close();
  }

  #finish(failure: Reason | undefined, next: AfterExchange): void {
    this.leaveRecord(failure);
    this.dropEndpoint();
    this.route = undefined;
    this.logged = undefined;
    // A write may still be waiting in this buffer (an answer that came before the request was read), or it grew large.
    if (next === "keep" && (failure !== undefined || this.#requestBytes.length > REQUEST_BYTES_KEPT)) {
      this.#requestBytes = new Uint8Array(REQUEST_BYTES_INITIAL);
    }
    this.#downstream.exchangeDone(next);
  }
}
