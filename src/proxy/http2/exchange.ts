// One request and its response on their way through, from a client's stream (`down`) to an endpoint's (`up`) and back. The
// exchange decides who is asked, what is tried again, and how it ends.
//
//   open -> dispatch -> (assign | connectFailed -> dispatch ...) -> beginResponse -> sideClosed -> finish
//                          upstreamLost -> dispatch once more         fail at any point -> finish
//
// Guarantees: exactly one `finish` per exchange. A request is sent again only if nothing of a response has arrived and either
// it cannot have been processed (REFUSED_STREAM, an id above the last of a GOAWAY: RFC 9113 §8.7) or the method is idempotent.
// A response that breaks off resets the client's stream, so that it never looks complete.
//
// Backpressure: see stream.ts. While no connection is there, the body waits in `#body`, at most one window of it; what was
// sent stays there for another attempt as long as it is small and no response has begun.
//
// Long because the steps above share one state, and any of them may be the last: apart, each would have to ask the others
// whether the exchange still lives.
import { coarse, past, turnNowMs } from "../../base/clock.ts";
import type { FailureReason, Reason } from "../../base/reasons.ts";
import { reasonInfo } from "../../base/reasons.ts";
import { statusOfField, statusOfHttp, statusOfReset } from "../../protocol/grpc/status.ts";
import { parseGrpcTimeout, writeGrpcTimeout } from "../../protocol/grpc/timeout.ts";
import { fixedId } from "../../protocol/field-table.ts";
import { hashOf, type Field, type FieldBlock } from "../../protocol/hpack/field.ts";
import { errorCodes, errorName } from "../../protocol/http2/error-codes.ts";
import { fieldIds } from "../../protocol/http2/field-ids.ts";
import { ownField } from "../../protocol/http2/own-field.ts";
import type { Http2RequestHead } from "../../protocol/http2/request-head.ts";
import type { Http2ResponseHead } from "../../protocol/http2/response-head.ts";
import { HEAD_RECEIVED, LOCAL_ENDED, REMOTE_ENDED } from "../../protocol/http2/stream-state.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { ExchangeBase } from "../exchange.ts";
import type { RefusalReason, Route, Router } from "../router.ts";
import { answerOf } from "./answers.ts";
import type { Http2Downstream, Http2Listener } from "./downstream.ts";
import { listBytesOf } from "./send-queue.ts";
import { type Piece, appendTo } from "./pieces.ts";
import { Http2Stream, heldByAll } from "./stream.ts";
import type { Http2Upstream } from "./upstream.ts";

/** How often an endpoint may refuse one request before that is the answer; each time says that nothing was done. */
export const REFUSALS_MAX = 3;
/** How often a request may meet a connection that is just ending, but has served others. */
const DEPARTURES_MAX = 100;
/** How often it may be refused by an endpoint that had not yet told its settings. */
const EARLY_REFUSALS_MAX = 5;
/** After the caller's deadline the endpoint may have an answer on its way; ours comes a little later. */
const DEADLINE_GRACE_MS = 200;
/** What one connection may make us hold however much all of them do. */
const HELD_SHARE_BYTES = 256 * 1024;
/** Lists of fields that exchanges have given back: growing one for each request would be a sixth of what it allocates. */
const spareLists: Field[][] = [];
const SPARE_LISTS_MAX = 256;
const NO_FIELD = ownField("x", "");

/** One request and its response. */
export class Http2Exchange extends ExchangeBase {
  protected readonly protocol = "http2";
  readonly downstream: Http2Downstream;
  readonly down: Http2Stream;
  up: Http2Stream | undefined = undefined;
  declare route: Route;
  readonly isHead: boolean;
  readonly isGrpc: boolean;
  /** Extended CONNECT (RFC 8441): a tunnel once the endpoint agrees. */
  readonly isTunnel: boolean;
  readonly openedMs = coarse.nowMs;

  /** The request head as it is forwarded. */
  readonly #fields: Field[];
  #fieldCount = 0;
  #listBytes = 0;
  readonly #path: Field | undefined;
  /** -1: not known. */
  readonly #contentLength: number;
  readonly #idempotent: boolean;
  readonly #debug: boolean;
  /** Coarse time when the caller's grpc-timeout has passed; 0: it gave none. */
  #deadlineMs = 0;
  #timeoutMs = 0;
  #timeoutAt = -1;
  /** Bytes of the body that no endpoint has, or that may have to be sent again. */
  #body: Piece[] | undefined = undefined;
  #bodyBytes = 0;
  #trailers: Field[] | undefined = undefined;
  /** `#body` holds all of the body that has come so far. */
  #replayable = true;
  /** Bytes of `#body` for which the client has had its credit. */
  #credited = 0;
  #interims = 0;
  /** The response is complete and the endpoint does not want the rest of the request. */
  #unwanted = false;
  #retried = false;
  #refusals = 0;
  #finished = false;

  /** Begins with a request head that was read and the block that it came in. */
  constructor(
    downstream: Http2Downstream,
    id: number,
    head: Http2RequestHead,
    block: FieldBlock,
    route: Route,
    router: Router,
  ) {
    super();
    this.follow(router);
    this.downstream = downstream;
    this.route = route;
    this.startedMs = turnNowMs();
    this.isHead = head.isHead;
    this.isGrpc = head.isGrpc;
    this.isTunnel = head.isExtendedConnect;
    this.#idempotent = head.idempotent;
    this.#debug = head.debug && downstream.trusted;
    this.#path = head.path;
    this.#contentLength = head.contentLength;
    this.down = new Http2Stream(downstream, this, id);
    this.down.bodyRemaining = head.contentLength;
    this.down.state |= HEAD_RECEIVED;
    const { fields, count } = block;
    const kept = spareLists.pop() ?? [];
    for (let i = 0; i < count; i++) kept[i] = fields[i] as Field;
    this.#fields = kept;
    this.#fieldCount = count;
    this.#listBytes = block.listBytes;
    if (head.maxForwards > 0 && (head.isOptions || head.isTrace)) this.#countForward(head.maxForwards);
    if (head.isGrpc && head.grpcTimeout !== undefined) this.#noteTimeout(head.grpcTimeout);
    route.stats.active++;
    route.use.active++;
  }

  /** RFC 9110 §7.6.2. */
  #countForward(maxForwards: number): void {
    const at = this.#fields.findIndex((field) => fixedId(field.kind) === fieldIds.maxForwards);
    this.#replace(at, ownField("max-forwards", String(maxForwards - 1)));
  }

  #replace(at: number, field: Field): void {
    this.#listBytes += field.size - (this.#fields[at] as Field).size;
    this.#fields[at] = field;
  }

  #noteTimeout(field: Field): void {
    const ms = parseGrpcTimeout(field.bytes, field.valueStart, field.valueEnd);
    if (ms < 0) return;
    this.#timeoutMs = ms;
    this.#timeoutAt = this.#fields.indexOf(field);
    this.#deadlineMs = coarse.nowMs + ms + DEADLINE_GRACE_MS;
  }

  get listener(): Http2Listener {
    return this.downstream.listener;
  }

  get client(): string {
    return this.downstream.peerName;
  }

  /** The other side's stream. */
  otherOf(stream: Http2Stream): Http2Stream | undefined {
    return stream === this.down ? this.up : this.down;
  }

  // ---------------------------------------------------------------- request

  /** Takes bytes of the request body. */
  requestData(bytes: Uint8Array, start: number, end: number, ends: boolean): void {
    this.requestBodyBytes += end - start;
    if (ends) this.noteRequestDone();
    const { up } = this;
    if (this.#finished || this.#unwanted) {
      // Nobody takes it; the client may go on until it has heard of that.
      this.down.session.credit(this.down, end - start);
      return;
    }
    if (up === undefined) {
      if (end > start) this.#keep(bytes, start, end);
      return;
    }
    if (this.#replayable && end > start) {
      if (this.#bodyBytes + (end - start) > this.#replayBytesMax) this.#forgetBody();
      else this.#keep(bytes, start, end);
    }
    up.session.queue.sendData(up, bytes, start, end, ends);
    if (ends) up.session.settle(up);
  }

  /** What was sent is kept up to this size; of a body that is known to be larger nothing is, so that it is copied once. */
  get #replayBytesMax(): number {
    const { replayBytesMax } = this.downstream.listener.limits;
    return this.#contentLength > replayBytesMax ? 0 : replayBytesMax;
  }

  #keep(bytes: Uint8Array, start: number, end: number): void {
    appendTo((this.#body ??= []), bytes, start, end);
    this.#bodyBytes += end - start;
  }

  #forgetBody(): void {
    this.#replayable = false;
    this.#body = undefined;
    this.#trailers = undefined;
  }

  /** Takes the trailers of the request, which end it. */
  requestTrailers(block: FieldBlock): void {
    this.noteRequestDone();
    const { up } = this;
    if (this.#finished || this.#unwanted) return;
    if (up === undefined || this.#replayable) this.#trailers = block.fields.slice(0, block.count);
    if (up === undefined) return;
    up.session.queue.sendTrailers(up, block.fields, block.count, block.listBytes);
    up.session.settle(up);
  }

  protected reach(endpoint: Endpoint): void {
    const session = endpoint.http2.take(this);
    if (session !== undefined) this.assign(session);
    else this.wait(endpoint);
  }

  protected queue(endpoint: Endpoint): void {
    endpoint.http2.enqueue(this);
  }

  /** A connection has room: the request leaves. */
  assign(session: Http2Upstream): void {
    if (this.#finished) return;
    this.noteAssigned();
    const late = this.waitedMs >= 0 || this.#refusals > 0 || this.#retried;
    if (late && this.#timeoutAt !== -1) this.#shortenTimeout();
    const { listener } = this.downstream;
    if (session.peer.enableConnectProtocol && !listener.connectProtocol) session.pool.announceConnectProtocol();
    const up = session.open(this);
    this.up = up;
    const ends = this.requestDone && this.#bodyBytes === 0 && this.#trailers === undefined;
    const { via } = listener;
    session.queue.sendHeaders(up, this.#fields, this.#fieldCount, this.#listBytes, ends, via);
    if (ends) {
      session.settle(up);
      return;
    }
    if (this.#bodyBytes === 0 && !this.requestDone) return;
    // What was sent before, to another connection, has been paid for.
    up.prepaidBytes = this.#credited;
    const replayable = this.#bodyBytes <= this.#replayBytesMax;
    const body = this.#body ?? [];
    if (replayable) for (const piece of body) up.hold(piece.bytes, piece.from, piece.end);
    else up.holdPieces(body, this.#bodyBytes);
    up.endHeld = this.requestDone;
    up.trailersHeld = this.#trailers;
    if (!replayable) this.#forgetBody();
    session.queue.block(up);
    session.queue.pump();
  }

  /** The deadline that the endpoint hears must not be later than the caller's: what has passed here is taken off. */
  #shortenTimeout(): void {
    const leftMs = this.#timeoutMs - (turnNowMs() - this.startedMs);
    this.#replace(this.#timeoutAt, ownField("grpc-timeout", writeGrpcTimeout(Math.max(0, Math.floor(leftMs)))));
  }

  override connectFailed(reason: FailureReason, detail: string, another: boolean): void {
    if (!this.#finished) super.connectFailed(reason, detail, another);
  }

  /**
   * The endpoint's stream is gone before a response.
   *
   * @param unprocessed the endpoint says, or the protocol does, that it has not acted on the request (RFC 9113 §8.7).
   */
  upstreamLost(unprocessed: boolean, detail: string, refusalsMax: number = DEPARTURES_MAX): void {
    if (this.#finished) {
      this.up = undefined;
      return;
    }
    const dropped = this.up?.droppedBytes ?? 0;
    const complete = ((this.up?.state ?? 0) & REMOTE_ENDED) !== 0;
    this.#credited = Math.max(this.#credited, this.#bodyBytes - dropped);
    this.up = undefined;
    if (complete) {
      this.#noLongerWanted(errorCodes.NO_ERROR);
      return;
    }
    if (this.responseStarted) {
      this.fail("response-aborted", detail);
      return;
    }
    const endpoint = this.endpoint as Endpoint;
    const again = unprocessed ? ++this.#refusals <= refusalsMax : this.#idempotent && !this.#retried;
    if (again && this.#replayable) {
      if (!unprocessed) this.#retried = true;
      this.downstream.listener.telemetry.retries++;
      this.reach(endpoint);
      return;
    }
    if (!unprocessed) endpoint.noteFailure(false, this.downstream.listener.timeouts);
    this.fail(unprocessed ? "upstream-refused" : "upstream-closed", detail);
  }

  /** The endpoint has reset its stream. */
  upstreamReset(code: number): void {
    if (this.#finished) {
      this.up = undefined;
      return;
    }
    if (code === errorCodes.REFUSED_STREAM && !this.responseStarted) {
      const max = this.up?.early === true ? EARLY_REFUSALS_MAX : REFUSALS_MAX;
      this.upstreamLost(true, "the endpoint refused the request", max);
      return;
    }
    const complete = ((this.up?.state ?? 0) & REMOTE_ENDED) !== 0;
    this.up = undefined;
    if (complete) {
      this.#noLongerWanted(code);
      return;
    }
    // The caller hears it as it was said.
    if (code === errorCodes.NO_ERROR && !this.responseStarted) {
      this.fail("upstream-reset", "the endpoint reset the stream without an error and without an answer");
      return;
    }
    if (this.isGrpc && this.grpcStatus < 0) this.grpcStatus = statusOfReset(code);
    if (!this.responseStarted) this.status = 502;
    // Two codes would be believed: that nothing was done, when something was, and that half an answer is all of it.
    const lie = code === errorCodes.REFUSED_STREAM || code === errorCodes.NO_ERROR;
    const heard = lie ? errorCodes.INTERNAL_ERROR : code;
    this.down.session.sendReset(this.down, heard);
    this.#finish(this.responseStarted ? "response-aborted" : "upstream-reset");
  }

  /** §8.1: the answer is whole, and nobody takes the rest of the request. */
  #noLongerWanted(code: number): void {
    this.#unwanted = true;
    this.down.session.creditAll(this.down);
    this.#endUnwanted(code);
  }

  /** Tells the client not to go on, once it has the whole answer. */
  #endUnwanted(code: number): void {
    const { down } = this;
    if (down.holds || (down.state & LOCAL_ENDED) === 0) return;
    down.session.sendReset(down, code);
    this.#finish(undefined);
  }

  /** The endpoint broke the rules. */
  upstreamBroke(reason: FailureReason, detail: string): void {
    if (this.#finished) {
      this.#detach(errorCodes.PROTOCOL_ERROR);
      return;
    }
    this.endpoint?.noteFailure(false, this.downstream.listener.timeouts);
    this.fail(reason, detail, errorCodes.PROTOCOL_ERROR);
  }

  // ---------------------------------------------------------------- response

  /** Sends a 1xx response on (RFC 9110 §15.2). */
  relayInterim(block: FieldBlock): void {
    // No flow control holds them back, and the exchange would never end.
    if (++this.#interims > this.downstream.listener.limits.http2ControlBurst) {
      this.upstreamBroke("upstream-protocol-error", "one interim response after the other");
      return;
    }
    const { session } = this.down;
    session.queue.sendHeaders(this.down, block.fields, block.count, block.listBytes, false);
  }

  /** Sends the final response head on. */
  beginResponse(head: Http2ResponseHead, block: FieldBlock, ends: boolean): void {
    this.responseStarted = true;
    this.status = head.status;
    if (this.#body !== undefined) this.#forgetBody();
    this.#replayable = false;
    this.endpoint?.noteSuccess();
    if (head.grpcStatus !== undefined) this.#noteGrpcStatus(head.grpcStatus);
    else if (this.isGrpc && !head.isGrpc) this.grpcStatus = statusOfHttp(head.status);
    const { down } = this;
    const debug = this.#debug ? debugField(this.route) : undefined;
    if (this.setCookie !== "") block.add(ownField("set-cookie", this.setCookie));
    down.session.queue.sendHeaders(down, block.fields, block.count, block.listBytes, ends, debug);
    if (ends) down.session.settle(down);
  }

  #noteGrpcStatus(field: Field): void {
    this.grpcStatus = statusOfField(field.bytes, field.valueStart, field.valueEnd);
  }

  /** Sends bytes of the response body on. */
  responseData(bytes: Uint8Array, start: number, end: number, ends: boolean): void {
    this.responseBodyBytes += end - start;
    const { down } = this;
    down.session.queue.sendData(down, bytes, start, end, ends);
    if (ends) down.session.settle(down);
  }

  /** Sends the trailers of the response on, which end it. */
  responseTrailers(block: FieldBlock, grpcStatus: Field | undefined): void {
    if (grpcStatus !== undefined) this.#noteGrpcStatus(grpcStatus);
    const { down } = this;
    down.session.queue.sendTrailers(down, block.fields, block.count, block.listBytes);
    down.session.settle(down);
  }

  // ---------------------------------------------------------------- ends

  /** Both directions of a stream have ended. */
  sideClosed(stream: Http2Stream): void {
    // An endpoint that has answered before it took the whole request may still want the rest: `up` goes on (`sweepRest`).
    if (stream === this.down) this.#finish(undefined);
  }

  /** The client has reset its stream. */
  downstreamReset(code: number, reason: FailureReason = "client-closed"): void {
    if (this.#finished) return;
    this.#detach(code);
    if ((this.down.state & LOCAL_ENDED) !== 0) {
      // It has the whole answer and only says that it will not finish its request.
      this.#finish(undefined);
      return;
    }
    const info = reasonInfo(reason);
    this.status = this.responseStarted ? this.status : info.status;
    if (this.isGrpc) this.grpcStatus = info.grpcStatus;
    this.#finish(reason);
  }

  /** A peer broke a rule on one of the streams, which has been reset. */
  sideFailed(stream: Http2Stream, code: number): void {
    if (this.#finished) return;
    if (stream === this.up) {
      this.up = undefined;
      this.upstreamBroke("upstream-protocol-error", errorName(code));
      return;
    }
    this.#detach(errorCodes.CANCEL);
    this.status = this.responseStarted ? this.status : reasonInfo("client-protocol-error").status;
    this.#finish("client-protocol-error");
  }

  /** The client's connection is gone. */
  downstreamLost(reason: FailureReason): void {
    this.downstreamReset(errorCodes.CANCEL, reason);
  }

  /**
   * Ends the exchange with an answer of our own or, when the response has begun, with a reset.
   *
   * @param code that the endpoint's stream is reset with.
   */
  override fail(reason: RefusalReason, detail: string, code: number = errorCodes.CANCEL): void {
    if (this.#finished) return;
    // An endpoint that accepts and then says nothing is as ill as one that breaks off.
    if (reason === "upstream-timeout" && !this.responseStarted) {
      this.endpoint?.noteFailure(false, this.downstream.listener.timeouts);
    }
    this.#detach(code);
    const { down, route } = this;
    const info = reasonInfo(reason);
    if (this.isGrpc) this.grpcStatus = info.grpcStatus;
    if (this.responseStarted) {
      this.#finish(info.source === "downstream" ? reason : "response-aborted");
      down.session.sendReset(down, errorCodes.INTERNAL_ERROR);
      return;
    }
    const { decision } = route;
    const { service, destination } = decision;
    const context = { detail, service, destination, endpoint: this.endpoint?.name ?? "" };
    const { fields, body } = answerOf(reason, context, this.isHead, this.isGrpc);
    if (this.setCookie !== "") fields.push(ownField("set-cookie", this.setCookie));
    this.status = this.isGrpc ? 200 : info.status;
    const debug = this.#debug ? debugField(route) : undefined;
    this.#finish(reason);
    const { session } = down;
    session.queue.sendHeaders(down, fields, fields.length, listBytesOf(fields), body.length === 0, debug);
    if (body.length > 0) session.queue.sendData(down, body, 0, body.length, true);
    // RFC 9113 §8.1: the rest of the request is not wanted. What is still held for a slow reader goes first.
    if (this.requestDone) session.settle(down);
    else {
      this.#unwanted = true;
      session.creditAll(down);
      if (!down.holds) session.sendReset(down, errorCodes.NO_ERROR);
    }
  }

  /** Leaves the endpoint's side: its stream is reset, a place in the queue is given up. */
  #detach(code: number): void {
    if (this.waiting) {
      this.waiting = false;
      this.endpoint?.http2.dequeue(this);
    }
    const { up } = this;
    if (up === undefined) return;
    this.up = undefined;
    up.session.sendReset(up, code);
  }

  #finish(failure: Reason | undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    const { route } = this;
    if (this.isGrpc && this.#path !== undefined) {
      const path = this.#path;
      const answered = failure === undefined;
      route.grpc?.record(hashOf(path), path.bytes, path.valueStart, path.valueEnd, this.grpcStatus, answered);
    }
    this.leaveRecord(failure);
    this.dropEndpoint();
    this.#body = undefined;
    this.#giveListBack();
  }

  /** Nothing is sent again after the end: the list serves the next request, and keeps no field alive. */
  #giveListBack(): void {
    if (this.#fieldCount === 0 || spareLists.length === SPARE_LISTS_MAX) return;
    this.#fields.fill(NO_FIELD, 0, this.#fieldCount);
    this.#fieldCount = 0;
    spareLists.push(this.#fields);
  }

  /** Deadlines; once per tick of the coarse clock. */
  sweep(nowMs: number): void {
    const { timeouts } = this.downstream.listener;
    const { down, up } = this;
    if (down.blocked) down.session.queue.hurry(down);
    if (up?.blocked === true) up.session.queue.hurry(up);
    if (heldByAll.bytes > this.downstream.listener.limits.http2HeldBytesMax) {
      if (holdsTooMuch(down)) {
        this.#giveUpReader();
        return;
      }
      if (up !== undefined && holdsTooMuch(up)) {
        this.fail("upstream-overloaded", "the endpoint takes requests too slowly, and too much lies here for it");
        return;
      }
    }
    if (this.#finished || this.#unwanted) {
      // An answer that the client does not read to its end.
      if (down.holds && past(down.progressMs, timeouts.stalledMs, nowMs)) this.#giveUpReader();
      else this.#endUnwanted(errorCodes.NO_ERROR);
    } else if (down.holds && past(down.progressMs, timeouts.stalledMs, nowMs)) {
      this.#giveUpReader();
    } else if (up !== undefined && up.holds && past(up.progressMs, timeouts.stalledMs, nowMs)) {
      this.fail("upstream-timeout", `the endpoint took nothing of the request for ${timeouts.stalledMs} ms`);
    } else if (this.isTunnel && (!this.responseStarted || (this.status >= 200 && this.status < 300))) {
      this.#sweepTunnel(nowMs);
    } else if (this.#deadlineMs !== 0 && nowMs >= this.#deadlineMs) {
      this.fail("deadline-exceeded", `the caller gave the call ${this.#timeoutMs} ms`);
    } else if (past(this.openedMs, timeouts.requestMs, nowMs)) {
      this.fail("upstream-timeout", `the exchange took longer than ${timeouts.requestMs} ms`);
    } else if ((down.state & LOCAL_ENDED) !== 0 && past(down.progressMs, timeouts.bodyMs, nowMs)) {
      // It has the whole answer and does not end its request.
      this.#detach(errorCodes.CANCEL);
      this.#noLongerWanted(errorCodes.NO_ERROR);
    } else if (!this.requestDone && !this.responseStarted) {
      const stalled = up !== undefined && !up.holds;
      // A stream of messages may be silent for long, and its server may wait for the next: only HTTP without gRPC ends here.
      if (stalled && !this.isGrpc && past(down.progressMs, timeouts.bodyMs, nowMs)) {
        this.fail("request-timeout", `no byte of the request body came for ${timeouts.bodyMs} ms`);
      }
    } else if (!this.responseStarted && past(this.requestDoneMs, timeouts.responseHeadMs, nowMs)) {
      this.fail("upstream-timeout", `no response head came within ${timeouts.responseHeadMs} ms`);
    }
  }

  /** The rest of a request whose client has its answer already; called for every stream of an endpoint. */
  sweepRest(nowMs: number): void {
    const { up } = this;
    if (!this.#finished || up === undefined) return;
    up.session.queue.hurry(up);
    if (past(up.progressMs, this.downstream.listener.timeouts.stalledMs, nowMs)) this.#detach(errorCodes.CANCEL);
  }

  #sweepTunnel(nowMs: number): void {
    const { responseHeadMs, tunnelIdleMs } = this.downstream.listener.timeouts;
    const { down, up } = this;
    if (!this.responseStarted) {
      if (past(this.openedMs, responseHeadMs, nowMs)) {
        this.fail("upstream-timeout", `no response head came within ${responseHeadMs} ms`);
      }
      return;
    }
    const lastMs = Math.max(down.progressMs, up?.progressMs ?? 0);
    if (!past(lastMs, tunnelIdleMs, nowMs)) return;
    // Nobody failed: it was just not used any more.
    this.#detach(errorCodes.CANCEL);
    down.session.sendReset(down, errorCodes.CANCEL);
    this.#finish(undefined);
  }

  /** The client has left its window shut: a stalled stream is an attack or a broken client (CVE-2019-9511). */
  #giveUpReader(): void {
    const { session } = this.down;
    session.context.telemetry.http2Abuse.stalled++;
    this.#detach(errorCodes.CANCEL);
    session.sendReset(this.down, errorCodes.ENHANCE_YOUR_CALM);
    this.#finish("client-closed");
    // With nothing else going on, the connection is only there to hold memory.
    if (session.streams.size === 0) session.fail(errorCodes.ENHANCE_YOUR_CALM, "the client reads nothing");
  }
}

/** Whether the connection of a stream that holds something makes us hold more than its share. */
function holdsTooMuch({ heldBytes, session }: Http2Stream): boolean {
  if (heldBytes === 0) return false;
  let bytes = 0;
  session.streams.forEach((stream) => {
    bytes += stream.heldBytes;
  });
  return bytes > HELD_SHARE_BYTES;
}

function debugField(route: Route): Field {
  return ownField("x-sidelane-route", route.debugText);
}
