// One HTTP/1.1 connection of a client: takes requests apart and feeds them to its exchange, one after the other.
//
// Guarantees: requests are answered in the order in which they came; any split of the bytes into reads gives the same
// result; after a framing error nothing more is read as a request (RFC 9112 §9.3, §9.6); at most one read's worth of
// pipelined bytes is kept; a client that does not read its answers gets no further ones made.
//
//   idle -> head -> exchange -> idle ...          (keep-alive)
//                            -> lingering -> gone (close: the client gets the answer before the reset, RFC 9112 §9.6)
//                            -> switched -> gone  (101: the connection is bytes from here on, switched.ts)
import { coarse, past } from "../../base/clock.ts";
import { type FailureReason, reasonInfo } from "../../base/reasons.ts";
import { RequestView } from "../../protocol/context/request-view.ts";
import { amendRequest } from "../../protocol/http1/amend-request.ts";
import { ChunkScanner } from "../../protocol/http1/chunked.ts";
import { FAULTY, INCOMPLETE } from "../../protocol/http1/head.ts";
import { RequestHead, parseRequestHead } from "../../protocol/http1/request-head.ts";
import { viewRequest } from "../../protocol/http1/view-request.ts";
import type { Connection } from "../connection.ts";
import { describeRequest, logLine } from "../log-exchange.ts";
import type { Wire, WireOwner } from "../wire.ts";
import { answerBytes } from "./answers.ts";
import { type AfterExchange, Exchange } from "./exchange.ts";
import { HeldBytes } from "../held-bytes.ts";
import type { ListenerContext } from "./listener-context.ts";
import { beginsWithHead, viaHolds } from "./recognise.ts";
import { Switched } from "./switched.ts";
import type { Http1Upstream } from "./upstream.ts";

type State = "idle" | "head" | "exchange" | "switched" | "lingering" | "gone";

/** One for all connections: a head is parsed and forwarded in one go. */
const head = new RequestHead();
const view = new RequestView();

/** A client's connection. */
export class Http1Downstream implements WireOwner, Connection {
  readonly listener: ListenerContext;
  readonly wire: Wire;
  /** Position in the listener's array of connections. */
  index = 0;
  readonly peer: string;
  readonly #exchange: Exchange;
  /** The edge takes the client at its word. */
  readonly trusted: boolean;
  #state: State = "idle";
  /** Coarse time of the last change of state. */
  #sinceMs = coarse.nowMs;
  readonly #held = new HeldBytes();
  #consuming = false;
  #bodyRemaining = 0;
  #chunked = false;
  #scanner: ChunkScanner | undefined;
  #switched: Switched | undefined;
  /** The client has closed its sending side: since when, or 0. */
  #halfClosedMs = 0;
  #lingeredBytes = 0;

  /** @param wire becomes this connection's; what was read from it already is given to `onBytes`. */
  constructor(wire: Wire, listener: ListenerContext) {
    this.listener = listener;
    this.peer = listener.namesClients ? wire.peer : "";
    this.trusted = listener.trusts(wire);
    this.#exchange = new Exchange(this);
    this.wire = wire;
    wire.owner = this;
  }

  get idle(): boolean {
    return this.#state === "idle";
  }

  #enter(state: State): void {
    this.#state = state;
    this.#sinceMs = coarse.nowMs;
  }

  onBytes(received: Uint8Array, end: number): void {
    if (this.#state === "lingering") {
      this.#lingeredBytes += end;
      if (this.#lingeredBytes > this.listener.limits.lingerBytesMax) this.wire.destroy();
      return;
    }
    if (this.#held.length === 0) {
      this.#take(received, end);
      return;
    }
    const before = this.#held.length;
    this.#held.append(received, 0, end);
    if (this.#state === "head" && !this.#held.worthParsing(before, this.listener.limits.headBytesMax)) return;
    this.#take(this.#held.bytes, this.#held.length);
  }

  /** Uses up what can be used of bytes[0, end) and holds the rest. */
  #take(bytes: Uint8Array, end: number): void {
    this.#consuming = true;
    const at = this.#consume(bytes, end);
    this.#consuming = false;
    if (this.wire.gone) return;
    this.#held.keep(bytes, at, end);
    // Pipelined requests wait in the kernel, not here.
    if (this.#held.length > 0 && (this.#state === "exchange" || this.wire.backlogged)) this.wire.pause();
  }

  /** Goes on with what the client has sent meanwhile. */
  #proceed(): void {
    // First of all, because what follows may have a reason to pause.
    this.wire.resume();
    if (this.#held.length > 0) this.#take(this.#held.bytes, this.#held.length);
    // Everything that the client had sent before it closed its side is answered.
    if (this.#halfClosedMs !== 0 && this.#betweenExchanges && !this.wire.backlogged) this.#linger();
  }

  get #betweenExchanges(): boolean {
    return this.#state === "idle" || this.#state === "head";
  }

  /** Returns the offset of the first byte that cannot be used yet. */
  #consume(bytes: Uint8Array, end: number): number {
    const { listener } = this;
    let at = 0;
    while (at < end) {
      if (this.#state === "exchange") {
        if (this.#exchange.requestDone) return at;
        at = this.#takeBody(bytes, at, end);
      } else if (this.#state === "idle" || this.#state === "head") {
        if (this.wire.backlogged) return at;
        const after = parseRequestHead(head, bytes, at, end, listener.fields, listener.limits);
        if (after === INCOMPLETE) {
          if (this.#state === "idle") this.#enter("head");
          return at;
        }
        if (after === FAULTY) {
          this.#refuse(head.fault.request, head.fault.detail, beginsWithHead(bytes, head.start, end));
          return end;
        }
        if (!this.#admit(bytes)) return end;
        at = this.#open(bytes, after, end);
      } else return end;
    }
    return at;
  }

  /** What is refused before anything is decided: loops (DESIGN §3.4 step 8) and questions to the sidecar itself. */
  #admit(bytes: Uint8Array): boolean {
    if (head.watchedCount > 0 && viaHolds(head, bytes, this.listener.viaToken)) {
      const token = new TextDecoder().decode(this.listener.viaToken);
      this.#refuse("loop", `this request carries ${token} in Via`, head.isHead);
      return false;
    }
    if (head.maxForwards === 0 && head.isOptions) {
      this.#refuse("final-recipient", "", false);
      return false;
    }
    if (head.maxForwards === 0 && head.isTrace) {
      this.#refuse("trace-unsupported", "", false);
      return false;
    }
    return true;
  }

  /** Begins the exchange for the parsed head and takes what is there of the body. */
  #open(bytes: Uint8Array, after: number, end: number): number {
    const { listener } = this;
    const exchange = this.#exchange;
    const { router } = listener;
    viewRequest(head, bytes, view);
    const route = router.route(view, this.peer, this.trusted);
    const { amendment } = router.tenant;
    if (amendment.any) amendRequest(head, bytes, view, amendment);
    this.#enter("exchange");
    exchange.open(head, bytes, after, route, router);
    if (listener.accessLog !== undefined) exchange.logged = describeRequest(view, listener.watch, router.tenant);
    let at = after;
    this.#chunked = head.chunked;
    if (head.hasBody) {
      this.#bodyRemaining = head.contentLength;
      if (head.chunked) {
        this.#scanner ??= new ChunkScanner(listener.limits, listener.forbiddenTrailers);
        this.#scanner.reset(true);
      }
      at = this.#takeBody(bytes, after, end);
      if (this.#state !== "exchange") return at;
    } else exchange.noteRequestDone();
    exchange.dispatch();
    return at;
  }

  #takeBody(bytes: Uint8Array, start: number, end: number): number {
    const exchange = this.#exchange;
    if (!this.#chunked) {
      const stop = Math.min(end, start + this.#bodyRemaining);
      this.#bodyRemaining -= stop - start;
      exchange.requestBodyBytes += stop - start;
      if (this.#bodyRemaining === 0) exchange.noteRequestDone();
      if (stop > start) exchange.sendRequestBody(bytes, start, stop);
      return stop;
    }
    const scanner = this.#scanner as ChunkScanner;
    const after = scanner.scan(bytes, start, end);
    if (after === FAULTY) {
      const fault = scanner.fault;
      exchange.fail(fault?.request ?? "malformed-request", fault?.detail ?? "");
      return end;
    }
    exchange.requestBodyBytes = scanner.payloadBytes;
    if (scanner.done) exchange.noteRequestDone();
    const { segments } = scanner;
    for (let s = 0; s < segments.length; s += 2) {
      exchange.sendRequestBody(bytes, segments[s] as number, segments[s + 1] as number);
    }
    if (scanner.done && scanner.trailer.length > 0) {
      exchange.sendRequestBody(scanner.trailer, 0, scanner.trailer.length);
    }
    return after;
  }

  /** The endpoint's answer is 101: its connection is joined with this one; bytes[start, end) came behind the answer. */
  switchProtocols(upstream: Http1Upstream, bytes: Uint8Array, start: number, end: number): void {
    this.#enter("switched");
    this.#switched = new Switched(this, this.#exchange, upstream);
    const { relay } = this.#switched;
    relay.upstream.take(bytes, start, end);
    relay.downstream.take(this.#held.bytes, 0, this.#held.length);
    this.#held.clear();
    relay.begin();
    if (this.#halfClosedMs !== 0) relay.downstream.onEnd();
  }

  /** The exchange is over; called by it exactly once. */
  exchangeDone(next: AfterExchange): void {
    if (this.wire.gone) {
      // `onClose` follows, and must not find an exchange that is over.
      this.#enter("gone");
      return;
    }
    if (next === "abort") {
      this.#enter("gone");
      this.wire.reset();
      return;
    }
    if (next === "close" || this.listener.ending || (this.#halfClosedMs !== 0 && this.#held.length === 0)) {
      this.#linger();
      return;
    }
    this.#enter("idle");
    // Within #consume the loop goes on with the next pipelined request by itself.
    if (!this.#consuming) this.#proceed();
  }

  /**
   * Answers a request that never became an exchange, and closes: what follows cannot be trusted.
   *
   * @param toHead the request was HEAD.
   */
  #refuse(reason: FailureReason, detail: string, toHead: boolean): void {
    const { listener } = this;
    const { status } = reasonInfo(reason);
    listener.failureStats(undefined, reason, "http1").record(status, 0);
    if (listener.accessLog?.wants(status, true) === true) logLine(listener, { client: this.peer, reason, status });
    const context = { detail, service: "", destination: "", endpoint: "" };
    const bytes = answerBytes(reason, context, toHead, "close", undefined);
    this.wire.send(bytes, 0, bytes.length);
    this.#linger();
  }

  /** Closes our side and reads on for a while, so that the client gets the answer instead of a reset (RFC 9112 §9.6). */
  #linger(): void {
    this.#enter("lingering");
    this.#held.clear();
    this.wire.end();
    if (this.#halfClosedMs !== 0) return;
    this.wire.resume();
  }

  onEnd(): void {
    switch (this.#state) {
      case "idle":
      case "head":
        // A request that is cut off is nobody's to answer.
        this.#linger();
        this.#halfClosedMs = coarse.nowMs;
        return;
      case "exchange":
        if (this.#exchange.requestDone) this.#halfClosedMs = coarse.nowMs;
        else this.#exchange.fail("client-closed", "the client closed the connection within the request");
        return;
      case "switched":
      case "lingering":
      case "gone":
        this.#halfClosedMs = coarse.nowMs;
    }
  }

  onClose(): void {
    if (this.#state === "exchange") this.#exchange.fail("client-closed", "the client closed the connection");
    this.#state = "gone";
    this.listener.remove(this);
  }

  onBacklog(): void {
    this.#exchange.downstreamBacklogged();
  }

  onDrain(): void {
    if (this.#betweenExchanges) this.#proceed();
    else if (this.#state === "exchange") this.#exchange.downstreamDrained();
    // The client has just begun to read the last answer: now the time to take the rest of it counts.
    else this.#sinceMs = coarse.nowMs;
  }

  /** The next answer says it: `listener.draining`. */
  announceDrain(): boolean {
    return false;
  }

  /** Ends an idle connection; the others end after their exchange (`listener.ending`). */
  drain(): void {
    if (this.#state === "idle") this.#linger();
  }

  /** Deadlines; once per tick of the coarse clock. */
  sweep(nowMs: number): void {
    const { timeouts } = this.listener;
    switch (this.#state) {
      case "idle":
        if (this.wire.backlogged) this.#sweepStalled(nowMs);
        else if (past(this.#sinceMs, timeouts.idleMs, nowMs)) this.#linger();
        return;
      case "head":
        if (this.wire.backlogged) this.#sweepStalled(nowMs);
        else if (past(this.#sinceMs, timeouts.headMs, nowMs)) {
          // Nobody has asked anything: an answer would be taken for the one to the next request.
          if (this.#held.blank) {
            this.#linger();
            return;
          }
          const toHead = beginsWithHead(this.#held.bytes, 0, this.#held.length);
          this.#refuse("request-timeout", `the request head did not arrive within ${timeouts.headMs} ms`, toHead);
        }
        return;
      case "exchange":
        this.#sweepExchange(nowMs);
        return;
      case "switched":
        this.#switched?.relay.sweep(nowMs, timeouts.tunnelIdleMs);
        return;
      case "lingering":
        // An answer that the client is still reading may take as long as it makes progress.
        if (this.wire.backlogged) this.#sweepStalled(nowMs);
        else if (past(this.#sinceMs, Math.max(timeouts.lingerMs, 1), nowMs)) this.wire.destroy();
        return;
      case "gone":
        return;
    }
  }

  /** The client does not read the rest of an answer, and no exchange runs. */
  #sweepStalled(nowMs: number): void {
    if (past(this.wire.lastProgressMs, this.listener.timeouts.stalledMs, nowMs)) this.wire.reset();
  }

  #sweepExchange(nowMs: number): void {
    const { timeouts } = this.listener;
    const exchange = this.#exchange;
    const { upstream } = exchange;
    if (past(this.#sinceMs, timeouts.requestMs, nowMs)) {
      exchange.fail("upstream-timeout", `the exchange took longer than ${timeouts.requestMs} ms`);
    } else if (this.wire.backlogged && past(this.wire.lastProgressMs, timeouts.stalledMs, nowMs)) {
      exchange.fail("client-closed", `the client read nothing for ${timeouts.stalledMs} ms`);
    } else if (upstream !== undefined && upstream.wire.backlogged) {
      if (past(upstream.wire.lastProgressMs, timeouts.stalledMs, nowMs)) {
        exchange.fail("upstream-timeout", `the endpoint read nothing of the request for ${timeouts.stalledMs} ms`);
      }
    } else if (!exchange.requestDone && !exchange.responseStarted) {
      // Once an answer has begun, the rest of the body may never come, and need not (RFC 9110 §10.1.1).
      if (upstream !== undefined && past(this.wire.lastProgressMs, timeouts.bodyMs, nowMs)) {
        exchange.fail("request-timeout", `no byte of the request body came for ${timeouts.bodyMs} ms`);
      }
    } else if (!exchange.responseStarted && past(exchange.requestDoneMs, timeouts.responseHeadMs, nowMs)) {
      exchange.fail("upstream-timeout", `no response head came within ${timeouts.responseHeadMs} ms`);
    } else if (this.#halfClosedMs !== 0 && past(this.#halfClosedMs, timeouts.halfClosedMs, nowMs)) {
      exchange.fail("client-closed", `the client closed its side more than ${timeouts.halfClosedMs} ms ago`);
    }
  }
}
