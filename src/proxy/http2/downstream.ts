// A client's HTTP/2 connection: reads requests and opens an exchange for each (RFC 9113 §8.1), answers for itself what never
// becomes one, and ends in good order (§6.8): first a GOAWAY that only announces, then one that names the last request.
import { coarse } from "../../base/clock.ts";
import { type FailureReason, reasonInfo } from "../../base/reasons.ts";
import type { ListenerConfig } from "../../config/proxy-config.ts";
import { RequestView, type WatchList } from "../../protocol/context/request-view.ts";
import type { Field } from "../../protocol/hpack/field.ts";
import { amendRequest } from "../../protocol/http2/amend-request.ts";
import { OK, errorCodes } from "../../protocol/http2/error-codes.ts";
import { faults } from "../../protocol/http2/faults.ts";
import { MAX_31_BITS, PREFACE } from "../../protocol/http2/frames.ts";
import { Http2RequestHead, readRequestHead } from "../../protocol/http2/request-head.ts";
import { settingIds } from "../../protocol/http2/settings.ts";
import { HEAD_RECEIVED, OPENED, REMOTE_ENDED } from "../../protocol/http2/stream-state.ts";
import { Http2Trailers, readTrailers } from "../../protocol/http2/trailers.ts";
import { viewRequest } from "../../protocol/http2/view-request.ts";
import type { Decision } from "../../routing/decide.ts";
import type { AccessLog } from "../../telemetry/access-log.ts";
import type { RouteStats } from "../../telemetry/metrics.ts";
import type { SpanRecorder } from "../../telemetry/spans/recorder.ts";
import type { Connection } from "../connection.ts";
import { describeRequest, logLine } from "../log-exchange.ts";
import type { Protocol, Router } from "../router.ts";
import type { Wire } from "../wire.ts";
import { answerOf } from "./answers.ts";
import { Http2Exchange } from "./exchange.ts";
import { viaHolds } from "./recognise.ts";
import { block } from "./field-blocks.ts";
import { listBytesOf } from "./send-queue.ts";
import { type EndCause, Http2Session, type SessionContext } from "./session.ts";
import type { Http2Stream } from "./stream.ts";

/** What the HTTP/2 connections of one listener share. */
export interface Http2Listener extends SessionContext {
  readonly config: ListenerConfig;
  readonly router: Router;
  /** The field `via: 2.0 <token>`, and the token alone: by it a loop is recognised. */
  readonly via: Field;
  readonly viaToken: Uint8Array;
  readonly accessLog: AccessLog | undefined;
  readonly spans: SpanRecorder | undefined;
  /** The fields that somebody wants to see. */
  readonly watch: WatchList;
  /** Address and port of clients are wanted for log or spans. */
  readonly namesClients: boolean;
  /** Whether the edge takes whoever is at the other end at its word. */
  trusts(wire: Wire): boolean;
  readonly draining: boolean;
  readonly ending: boolean;
  /** An endpoint of this listener accepts extended CONNECT (RFC 8441 §3), so that we can. */
  readonly connectProtocol: boolean;
  failureStats(
    decision: Decision | undefined,
    reason: FailureReason | Decision["reason"],
    protocol: Protocol,
  ): RouteStats;
  /** The connection is gone. */
  remove(connection: Connection): void;
}

/** What the exchanges of a connection end with when it does. */
const lossReasons = {
  closed: "client-closed",
  violated: "client-protocol-error",
  abuse: "enhance-your-calm",
} as const satisfies Record<EndCause, FailureReason>;

/** One for all connections: a head is read and forwarded in one go. */
const head = new Http2RequestHead();
const view = new RequestView();
const trailers = new Http2Trailers();

/** A client's connection. */
export class Http2Downstream extends Http2Session implements Connection {
  readonly listener: Http2Listener;
  index = 0;
  readonly peerName: string;
  /** The edge takes the client at its word. */
  readonly trusted: boolean;
  protected readonly peerServes = false;
  /** Bytes of the preface (RFC 9113 §3.4) that have come. */
  #prefaceBytes = 0;
  /** Requests with a higher id came after the last GOAWAY: the client knows that they are not processed. */
  #lastId = MAX_31_BITS;
  #announced = false;
  /** The client will send no further requests. */
  #leaving = false;
  #connectProtocolTold = false;
  /** Coarse time since when there has been no request. */
  #idleMs = coarse.nowMs;

  /** @param wire becomes this connection's; what was read from it already is given to `onBytes`. */
  constructor(wire: Wire, listener: Http2Listener) {
    super(wire, listener);
    this.listener = listener;
    this.peerName = listener.namesClients ? wire.peer : "";
    this.trusted = listener.trusts(wire);
    wire.owner = this;
    const { limits } = listener;
    this.#connectProtocolTold = listener.connectProtocol;
    this.writer.settings([
      settingIds.MAX_CONCURRENT_STREAMS,
      limits.http2StreamsMax,
      settingIds.INITIAL_WINDOW_SIZE,
      limits.http2StreamWindowBytes,
      settingIds.MAX_HEADER_LIST_SIZE,
      limits.headBytesMax,
      ...(listener.connectProtocol ? [settingIds.ENABLE_CONNECT_PROTOCOL, 1] : []),
    ]);
    this.widenWindow();
    this.reader.partialMs = coarse.nowMs;
  }

  get idle(): boolean {
    return this.streams.size === 0;
  }

  override onBytes(received: Uint8Array, end: number): void {
    if (this.#prefaceBytes === PREFACE.length) {
      super.onBytes(received, end);
      return;
    }
    if (this.ended) return;
    let at = 0;
    while (at < end && this.#prefaceBytes < PREFACE.length) {
      if (received[at] !== PREFACE[this.#prefaceBytes]) {
        this.#refusePreface();
        return;
      }
      at++;
      this.#prefaceBytes++;
    }
    if (this.#prefaceBytes < PREFACE.length) return;
    this.reader.partialMs = 0;
    if (at < end) this.reader.take(received, at, end);
    this.judge();
    this.holdBack();
  }

  /** `protocol: http2`, and the client speaks something else: nothing that it would understand can be answered. */
  #refusePreface(): void {
    const { listener } = this;
    const { status } = reasonInfo("version-unsupported");
    listener.failureStats(undefined, "version-unsupported", "http2").record(status, 0);
    if (listener.accessLog?.wants(status, true) === true) {
      logLine(listener, { client: this.peerName, protocol: "HTTP/2", reason: "version-unsupported", status });
    }
    this.fail(errorCodes.PROTOCOL_ERROR, "the connection does not begin with the preface of HTTP/2");
  }

  // ---------------------------------------------------------------- requests

  protected headersReceived(id: number, ends: boolean, error: number, tooLarge: boolean): void {
    const live = this.streams.get(id);
    if (live !== undefined) {
      this.#takeTrailers(live, ends, error, tooLarge);
      return;
    }
    if (id <= this.history.lastId && (id & 1) === 1) {
      this.refuseClosed(id, ends);
      return;
    }
    const opened = this.history.open(id);
    if (opened !== OK) {
      this.fail(opened, `stream ${id} cannot be opened by a client`);
      return;
    }
    if (id > this.#lastId) return;
    if (error !== OK) {
      this.refuseStream(id, errorCodes.PROTOCOL_ERROR);
      return;
    }
    if (this.streams.size >= this.listener.limits.http2StreamsMax) {
      this.listener.failureStats(undefined, "stream-limit", "http2").record(reasonInfo("stream-limit").status, 0);
      // Before it has acknowledged our settings it cannot know better.
      this.refuseStream(id, errorCodes.REFUSED_STREAM, this.settingsAcked ? "reset" : undefined);
      return;
    }
    const wellFormed = readRequestHead(head, block, this.listener.limits);
    if (tooLarge) this.#refuse(id, ends, "head-too-large", "", false);
    else if (!wellFormed) this.#refuse(id, ends, head.fault.request, head.fault.detail, head.fault.malformed);
    else if (ends && head.contentLength > 0) {
      this.#refuse(
        id,
        ends,
        faults.contentLength.request,
        "the request ends before Content-Length is reached (RFC 9113 §8.1.1)",
        true,
      );
    } else if (this.#admit(id, ends)) this.#open(id, ends);
  }

  /** What is refused before anything is decided: loops (DESIGN §3.4 step 8) and questions to the sidecar itself. */
  #admit(id: number, ends: boolean): boolean {
    if (head.viaCount > 0 && viaHolds(head, this.listener.viaToken)) {
      const token = new TextDecoder().decode(this.listener.viaToken);
      this.#refuse(id, ends, "loop", `this request carries ${token} in Via`, false);
      return false;
    }
    if (head.maxForwards === 0 && head.isOptions) {
      this.#refuse(id, ends, "final-recipient", "", false);
      return false;
    }
    if (head.maxForwards === 0 && head.isTrace) {
      this.#refuse(id, ends, "trace-unsupported", "", false);
      return false;
    }
    return true;
  }

  #open(id: number, ends: boolean): void {
    const { listener } = this;
    const { router } = listener;
    viewRequest(head, view);
    const route = router.route(view, this.peerName, this.trusted);
    const { amendment } = router.tenant;
    if (amendment.any) amendRequest(head, block, amendment);
    const exchange = new Http2Exchange(this, id, head, block, route, router);
    if (listener.accessLog !== undefined) exchange.logged = describeRequest(view, listener.watch, router.tenant);
    const { down } = exchange;
    this.streams.set(id, down);
    if (ends) {
      down.state |= REMOTE_ENDED;
      exchange.noteRequestDone();
    }
    exchange.dispatch();
  }

  #takeTrailers(stream: Http2Stream, ends: boolean, error: number, tooLarge: boolean): void {
    if (!this.admitHeaders(stream, ends, error)) return;
    if (tooLarge || !readTrailers(trailers, block, ends, true)) {
      this.failStream(stream, tooLarge ? errorCodes.ENHANCE_YOUR_CALM : errorCodes.PROTOCOL_ERROR);
      return;
    }
    stream.exchange.requestTrailers(block);
    this.settle(stream);
  }

  /**
   * Answers a request that never becomes an exchange.
   *
   * @param malformed the stream is reset as well (RFC 9113 §8.1.1).
   */
  #refuse(id: number, ends: boolean, reason: FailureReason, detail: string, malformed: boolean): void {
    const { listener } = this;
    const { status, grpcStatus } = reasonInfo(reason);
    listener.failureStats(undefined, reason, "http2").record(head.isGrpc ? 200 : status, 0);
    if (head.isGrpc && head.path !== undefined) {
      const { bytes, valueStart, valueEnd } = head.path;
      const stats = listener.telemetry.grpcStats("", listener.config.direction, "");
      stats.record(0, bytes, valueStart, valueEnd, grpcStatus, false);
    }
    if (listener.accessLog?.wants(status, true) === true) {
      const line = { client: this.peerName, protocol: "HTTP/2", reason, status: head.isGrpc ? 200 : status };
      logLine(listener, head.isGrpc ? { ...line, grpcStatus } : line);
    }
    const context = { detail, service: "", destination: "", endpoint: "" };
    const { fields, body } = answerOf(reason, context, head.isHead, head.isGrpc);
    this.sendAnswer(id, fields, listBytesOf(fields), body);
    this.history.close(id, OPENED | HEAD_RECEIVED);
    const kind = malformed ? "reset" : reason === "head-too-large" ? "header-list" : undefined;
    if (malformed) this.refuseStream(id, errorCodes.PROTOCOL_ERROR, kind);
    else if (!ends) this.refuseStream(id, errorCodes.NO_ERROR, kind);
    else if (kind !== undefined && !this.budgets.reset(coarse.nowMs)) this.offend(kind);
  }

  protected dataReceived(stream: Http2Stream, bytes: Uint8Array, start: number, end: number, ends: boolean): void {
    stream.exchange.requestData(bytes, start, end, ends);
  }

  protected resetReceived(stream: Http2Stream, code: number): void {
    stream.exchange.downstreamReset(code);
  }

  /** A client's GOAWAY speaks of streams that we would open: there are none. It will open no more; the rest goes on. */
  protected goawayReceived(): void {
    this.#leaving = true;
    if (this.streams.size === 0) this.finish("the client went away");
  }

  protected settingsReceived(): void {}

  protected streamClosed(): void {
    if (this.streams.size > 0) return;
    this.#idleMs = coarse.nowMs;
    if ((this.#lastId !== MAX_31_BITS || this.#leaving) && !this.ended) this.finish("drained");
  }

  protected sessionEnded(_detail: string, cause: EndCause): void {
    this.streams.forEach((stream) => {
      stream.exchange.downstreamLost(lossReasons[cause]);
      stream.drop();
    });
  }

  protected sessionClosed(): void {
    this.listener.remove(this);
  }

  // ---------------------------------------------------------------- the connection

  /** An endpoint turned out to accept extended CONNECT: so do we from now on (RFC 8441 §3). */
  tellConnectProtocol(): void {
    if (this.#connectProtocolTold || this.ended) return;
    this.#connectProtocolTold = true;
    this.writer.settings([settingIds.ENABLE_CONNECT_PROTOCOL, 1]);
  }

  /** RFC 9113 §6.8: the first GOAWAY promises to take whatever is on its way. */
  announceDrain(): boolean {
    if (this.#announced || this.ended || this.#lastId !== MAX_31_BITS) return false;
    this.#announced = true;
    this.writer.goaway(MAX_31_BITS, errorCodes.NO_ERROR, "draining");
    return true;
  }

  drain(): void {
    if (this.ended || this.#lastId !== MAX_31_BITS) return;
    this.#lastId = this.history.lastId;
    this.writer.goaway(this.#lastId, errorCodes.NO_ERROR, "draining");
    if (this.streams.size === 0) this.finish("drained");
  }

  sweep(nowMs: number): void {
    if (this.sweepSession(nowMs)) return;
    const { idleMs } = this.listener.timeouts;
    if (this.streams.size > 0) {
      this.streams.forEach((stream) => stream.exchange.sweep(nowMs));
      return;
    }
    if (idleMs > 0 && nowMs - this.#idleMs >= idleMs) this.drain();
  }
}
