// One HTTP/2 connection to an endpoint, shared by the exchanges of many clients: gives each a stream, reads responses and
// hands them to the exchange that a stream belongs to.
//
// Guarantees: no more streams than the endpoint allows; after its GOAWAY no new ones; a stream that it has not acted on is
// handed back as such (RFC 9113 §6.8, §8.7).
import { coarse } from "../../base/clock.ts";
import type { FailureReason } from "../../base/reasons.ts";
import { latin1 } from "../../protocol/bytes.ts";
import { errorCodes, errorName } from "../../protocol/http2/error-codes.ts";
import { MAX_31_BITS } from "../../protocol/http2/frames.ts";
import { responseBodyBytes } from "../../protocol/http2/body-length.ts";
import { Http2ResponseHead, readResponseHead } from "../../protocol/http2/response-head.ts";
import { settingIds } from "../../protocol/http2/settings.ts";
import { HEAD_RECEIVED } from "../../protocol/http2/stream-state.ts";
import { Http2Trailers, readTrailers } from "../../protocol/http2/trailers.ts";
import { Wire, nobody } from "../wire.ts";
import { type Http2Exchange, REFUSALS_MAX } from "./exchange.ts";
import type { Http2Pool } from "./pool.ts";
import { block } from "./field-blocks.ts";
import { type EndCause, Http2Session } from "./session.ts";
import { Http2Stream } from "./stream.ts";

/** Offered by ALPN (RFC 7301) where connections are secured. */
const HTTP2_PROTOCOLS = ["h2"];

const HTTP1 = latin1("HTTP/1.");

const head = new Http2ResponseHead();
const trailers = new Http2Trailers();

/** A connection to an endpoint. */
export class Http2Upstream extends Http2Session {
  readonly pool: Http2Pool;
  readonly address: string;
  /** Coarse time since when it has had no stream; while connecting: since when. */
  idleSinceMs = coarse.nowMs;
  /** It takes no further streams. */
  leaving = false;
  /** It counts among those that have streams. */
  active = false;
  protected readonly peerServes = true;
  #connected = false;
  #speaksHttp1 = false;
  /** Streams that were reset in this tick or the one before, and those of the one before. */
  #cooling = 0;
  #coolingBefore = 0;
  #closed = false;
  #nextId = 1;

  /** Connects; the pool hears `connected` or `attemptFailed`. */
  static connect(pool: Http2Pool, address: string): Http2Upstream {
    const { tls, port } = pool.endpoint;
    const wire = Wire.connect(
      address,
      port,
      nobody,
      () => session.#established(),
      tls === undefined ? undefined : (options) => tls.connect(options, HTTP2_PROTOCOLS),
    );
    const session: Http2Upstream = new Http2Upstream(wire, pool, address);
    wire.owner = session;
    return session;
  }

  private constructor(wire: Wire, pool: Http2Pool, address: string) {
    super(wire, pool.context);
    this.pool = pool;
    this.address = address;
  }

  #established(): void {
    const { socket } = this.wire;
    if ("alpnProtocol" in socket && socket.alpnProtocol !== "h2") {
      // RFC 9113 §3.3: over TLS only after ALPN.
      this.#giveUp("the endpoint does not offer h2 by ALPN");
      return;
    }
    this.#connected = true;
    const { limits } = this.context;
    this.writer.preface();
    this.writer.settings([
      settingIds.ENABLE_PUSH,
      0,
      settingIds.INITIAL_WINDOW_SIZE,
      limits.http2StreamWindowBytes,
      settingIds.MAX_HEADER_LIST_SIZE,
      limits.headBytesMax,
    ]);
    this.widenWindow();
    this.heardMs = coarse.nowMs;
    this.pool.connected(this);
  }

  /** How many more streams may be opened now. */
  get capacity(): number {
    if (this.leaving || this.ended || this.wire.gone || this.full) return 0;
    const allowed = this.settingsSeen ? this.peer.maxConcurrentStreams : this.pool.earlyStreams;
    return Math.min(allowed, this.context.limits.http2UpstreamStreamsMax) - this.streams.size - this.#cooling;
  }

  /** Some servers count a stream for a while after it was reset, and refuse the one that takes its place: it stays taken for a tick. */
  override sendReset(stream: Http2Stream, code: number): void {
    if (this.streams.get(stream.id) === stream) this.#cooling++;
    super.sendReset(stream, code);
  }

  #coolDown(): void {
    if (this.#cooling === 0) return;
    this.#cooling -= this.#coolingBefore;
    this.#coolingBefore = this.#cooling;
    this.pool.roomChanged();
  }

  /** Opens a stream for an exchange; `capacity` was above 0. */
  open(exchange: Http2Exchange): Http2Stream {
    const id = this.#nextId;
    this.#nextId += 2;
    if (this.#nextId > MAX_31_BITS) this.leaving = true;
    this.history.open(id);
    const stream = new Http2Stream(this, exchange, id);
    stream.early = !this.settingsSeen;
    this.streams.set(id, stream);
    if (!this.active) {
      this.active = true;
      this.pool.becomesActive(this);
    }
    return stream;
  }

  protected headersReceived(id: number, ends: boolean, error: number, tooLarge: boolean): void {
    const stream = this.streams.get(id);
    if (stream === undefined) {
      this.refuseClosed(id, ends);
      return;
    }
    if ((stream.state & HEAD_RECEIVED) !== 0) {
      this.#takeTrailers(stream, ends, error, tooLarge);
      return;
    }
    if (!this.admitHeaders(stream, false, error)) return;
    const { exchange } = stream;
    if (tooLarge) {
      exchange.upstreamBroke("upstream-head-too-large", "");
      return;
    }
    if (!readResponseHead(head, block, ends, exchange.isTunnel)) {
      exchange.upstreamBroke(head.fault.response, head.fault.detail);
      return;
    }
    if (head.interim) {
      exchange.relayInterim(block);
      return;
    }
    stream.state |= HEAD_RECEIVED;
    stream.bodyRemaining = responseBodyBytes(head.status, head.contentLength, exchange.isHead);
    if (ends && !this.admitEnd(stream)) return;
    exchange.beginResponse(head, block, ends);
    if (ends) this.settle(stream);
  }

  #takeTrailers(stream: Http2Stream, ends: boolean, error: number, tooLarge: boolean): void {
    if (!this.admitHeaders(stream, ends, error)) return;
    const { exchange } = stream;
    if (tooLarge) exchange.upstreamBroke("upstream-head-too-large", "");
    else if (!readTrailers(trailers, block, ends, false)) {
      exchange.upstreamBroke(trailers.fault.response, trailers.fault.detail);
    } else {
      exchange.responseTrailers(block, trailers.grpcStatus);
      this.settle(stream);
    }
  }

  protected dataReceived(stream: Http2Stream, bytes: Uint8Array, start: number, end: number, ends: boolean): void {
    stream.exchange.responseData(bytes, start, end, ends);
  }

  protected resetReceived(stream: Http2Stream, code: number): void {
    stream.exchange.upstreamReset(code);
  }

  protected goawayReceived(lastId: number, code: number): void {
    this.leaving = true;
    this.pool.leaves(this);
    const detail = `the endpoint went away (${errorName(code)})`;
    this.streams.forEach((stream, id) => {
      if (id <= lastId) return;
      this.abandon(stream);
      // A connection on which nothing at all was done is not the end of one that served: the next may be like it.
      if (lastId === 0) stream.exchange.upstreamLost(true, detail, REFUSALS_MAX);
      else stream.exchange.upstreamLost(true, detail);
    });
    if (this.streams.size === 0) this.finish(detail);
  }

  protected settingsReceived(): void {
    this.pool.noteCapacity(this.peer.maxConcurrentStreams);
    if (this.peer.enableConnectProtocol) this.pool.announceConnectProtocol();
    this.pool.roomChanged();
  }

  protected streamClosed(): void {
    if (this.streams.size === 0) {
      this.idleSinceMs = coarse.nowMs;
      if (this.active) {
        this.active = false;
        this.pool.becomesIdle(this);
      }
      if (this.leaving && !this.ended) {
        this.goaway(errorCodes.NO_ERROR, "");
        this.finish("no longer needed");
        return;
      }
    }
    if (this.capacity > 0) this.pool.roomChanged();
  }

  /** RFC 9113 §3.4 wants SETTINGS first; a status line says that nobody there speaks HTTP/2. */
  override onBytes(received: Uint8Array, end: number): void {
    if (!this.settingsSeen && HTTP1.every((byte, i) => i < end && received[i] === byte)) {
      this.#speaksHttp1 = true;
      this.fail(errorCodes.PROTOCOL_ERROR, "the endpoint answered HTTP/2 with HTTP/1");
      return;
    }
    super.onBytes(received, end);
  }

  override onDrain(): void {
    super.onDrain();
    this.pool.roomChanged();
  }

  protected sessionEnded(detail: string, cause: EndCause): void {
    this.leaving = true;
    if (!this.#connected) return;
    if (!this.settingsSeen) this.pool.endedEarly(this, this.#earlyReason(cause), detail);
    this.#remove();
    // What has not left the process cannot have been acted on.
    const { sentId } = this.writer;
    this.streams.forEach((stream, id) => {
      this.abandon(stream);
      if (this.#speaksHttp1) stream.exchange.upstreamBroke("upstream-version-unsupported", detail);
      else if (cause === "violated") stream.exchange.upstreamBroke("upstream-protocol-error", detail);
      else stream.exchange.upstreamLost(id > sentId, detail);
    });
  }

  /** What those hear who waited for its settings; undefined: the connection was just closed. */
  #earlyReason(cause: EndCause): FailureReason | undefined {
    if (this.#speaksHttp1) return "upstream-version-unsupported";
    return cause === "violated" ? "upstream-protocol-error" : undefined;
  }

  protected sessionClosed(): void {
    if (!this.#connected) this.#giveUp("the connection could not be made");
    else this.#remove();
    this.pool.closed(this);
  }

  override onClose(error: Error | undefined): void {
    if (!this.#connected) {
      this.ended = true;
      this.#giveUp(error?.message ?? "the connection was closed while connecting");
      return;
    }
    super.onClose(error);
  }

  #remove(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.pool.forget(this);
  }

  #giveUp(detail: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.ended = true;
    this.wire.destroy();
    this.pool.attemptFailed(this, detail);
  }

  /** The connection attempt took too long. */
  connectTimedOut(): void {
    if (this.#connected) return;
    const { endpoint, context } = this.pool;
    this.#giveUp(`connecting to ${endpoint.name} took longer than ${context.timeouts.connectMs} ms`);
  }

  /** No new streams; ends when the last one has. */
  leave(): void {
    if (this.leaving) return;
    this.leaving = true;
    if (this.streams.size > 0 || this.ended) return;
    this.goaway(errorCodes.NO_ERROR, "");
    this.finish("no longer needed");
  }

  /** Ends at once, connected or not; nobody is told. */
  abort(): void {
    this.#closed = true;
    this.ended = true;
    this.wire.discard();
  }

  sweep(nowMs: number): void {
    if (this.sweepSession(nowMs)) return;
    this.#coolDown();
    // What ends makes room, and who waits for it opens a stream at once: not while the table is being visited.
    const running: Http2Stream[] = [];
    this.streams.forEach((stream) => running.push(stream));
    for (const stream of running) stream.exchange.sweepRest(nowMs);
  }
}
