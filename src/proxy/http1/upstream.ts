// One HTTP/1.1 connection to an endpoint: parses responses and hands them to the exchange that uses it.
//
// Guarantees: a response is relayed only while an exchange uses the connection and its request has left; whatever else
// arrives ends the connection (RFC 9112 §9.2, response smuggling). The connection goes back to the pool only after a
// response whose end was certain, with nothing behind it, to a request that was sent as a whole.
import { coarse } from "../../base/clock.ts";
import type { FailureReason } from "../../base/reasons.ts";
import { ChunkScanner } from "../../protocol/http1/chunked.ts";
import { FieldTable } from "../../protocol/field-table.ts";
import { http1Fields } from "../../protocol/http1/field-ids.ts";
import { faults } from "../../protocol/http1/faults.ts";
import { beginsWithSettings } from "../../protocol/http2/frames.ts";
import { FAULTY, INCOMPLETE } from "../../protocol/http1/head.ts";
import { ResponseHead, bodyKinds, parseResponseHead } from "../../protocol/http1/response-head.ts";
import type { BodyKind } from "../../protocol/http1/response-head.ts";
import { isOffered } from "../../protocol/http1/upgrade.ts";
import { Wire, type WireOwner } from "../wire.ts";
import type { Exchange } from "./exchange.ts";
import { HeldBytes } from "../held-bytes.ts";
import type { Http1Pool } from "./pool.ts";

/** One for all connections: a head is parsed and forwarded in one go. */
const head = new ResponseHead();
const fields = new FieldTable([], http1Fields);

/** Offered by ALPN (RFC 7301) where connections are secured. */
const HTTP1_PROTOCOLS = ["http/1.1"];

/** A connection to an endpoint. */
export class Http1Upstream implements WireOwner {
  readonly pool: Http1Pool;
  readonly wire: Wire;
  /** Coarse; while connecting: since when. */
  idleSinceMs = coarse.nowMs;
  /** It has carried a response before: the server may have been about to close it. */
  reused = false;
  /** The body goes to an HTTP/1.0 client, which knows no chunks. */
  unchunk = false;
  exchange: Exchange | undefined;
  #connected = false;
  #closed = false;
  #inBody = false;
  #keepAlive = true;
  #bodyKind: BodyKind = bodyKinds.none;
  #remaining = 0;
  #scanner: ChunkScanner | undefined;
  /** `wire.bytesSent` when the exchange began: as long as it is unchanged the request is still in the outbox. */
  #sentBefore = 0;
  /** A byte of the present response has arrived. */
  #answered = false;
  readonly #held = new HeldBytes();

  constructor(pool: Http1Pool, address: string, onConnect: () => void) {
    this.pool = pool;
    const { tls } = pool.endpoint;
    this.wire = Wire.connect(
      address,
      pool.endpoint.port,
      this,
      () => {
        this.#connected = true;
        onConnect();
      },
      tls === undefined ? undefined : (options) => tls.connect(options, HTTP1_PROTOCOLS),
    );
  }

  /** Begins an exchange; the request's bytes follow through `wire`. */
  start(exchange: Exchange): void {
    this.exchange = exchange;
    this.#answered = false;
    this.#inBody = false;
    this.unchunk = false;
    this.#sentBefore = this.wire.bytesSent;
  }

  onBytes(received: Uint8Array, receivedEnd: number): void {
    const { exchange } = this;
    if (exchange === undefined || this.#unsent) {
      // RFC 9112 §9.2: nobody asked for this. Whoever was about to use the connection needs another one.
      this.#lose("the endpoint sent bytes that no request asked for");
      return;
    }
    this.#answered = true;
    let bytes = received;
    let end = receivedEnd;
    if (this.#held.length > 0) {
      const before = this.#held.length;
      this.#held.append(received, 0, receivedEnd);
      if (!this.#held.worthParsing(before, this.pool.context.limits.headBytesMax)) return;
      bytes = this.#held.bytes;
      end = this.#held.length;
    }
    let at = 0;
    while (!this.#inBody) {
      const after = parseResponseHead(head, bytes, at, end, fields, this.pool.context.limits, exchange.isHead);
      if (after === INCOMPLETE) {
        this.#held.keep(bytes, at, end);
        return;
      }
      if (after === FAULTY) {
        if (at === 0 && beginsWithSettings(bytes, end)) {
          this.#break(exchange, "upstream-version-unsupported", "the endpoint answered HTTP/1.1 with HTTP/2");
        } else this.#break(exchange, head.fault.response, head.fault.detail);
        return;
      }
      if (head.status === 101) {
        if (isOffered(head, exchange.offers)) this.#switch(exchange, bytes, after, end);
        else this.#break(exchange, faults.switching.response, faults.switching.detail);
        return;
      }
      if (head.status >= 200) this.#begin(exchange, bytes, after);
      else exchange.relayInterim(head, bytes, after);
      at = after;
      // Interim responses may come long before the final one: nothing is left to parse.
      if (at === end && !this.#inBody) {
        this.#held.clear();
        return;
      }
    }
    this.#relayBody(exchange, bytes, at, end);
    this.#held.clear();
  }

  /** Of no more use for requests; whatever comes now belongs to the new protocol, bytes[after, end) first of all. */
  #switch(exchange: Exchange, bytes: Uint8Array, after: number, end: number): void {
    this.pool.endpoint.noteSuccess();
    this.exchange = undefined;
    exchange.upstream = undefined;
    exchange.switchProtocols(head, bytes, after, end, this);
    this.#held.clear();
  }

  #begin(exchange: Exchange, bytes: Uint8Array, after: number): void {
    this.#inBody = true;
    this.#keepAlive = head.keepAlive;
    this.#bodyKind = head.body;
    this.#remaining = head.body === bodyKinds.length ? head.contentLength : 0;
    exchange.beginResponse(head, bytes, after, this);
    if (head.body === bodyKinds.chunked) {
      this.#scanner ??= new ChunkScanner(this.pool.context.limits);
      this.#scanner.reset(!this.unchunk);
    }
  }

  #relayBody(exchange: Exchange, bytes: Uint8Array, start: number, end: number): void {
    switch (this.#bodyKind) {
      case bodyKinds.none:
        this.#complete(exchange, start === end);
        return;
      case bodyKinds.length: {
        const stop = Math.min(end, start + this.#remaining);
        this.#remaining -= stop - start;
        exchange.responseBodyBytes += stop - start;
        exchange.relayResponseBody(bytes, start, stop);
        if (this.#remaining === 0) this.#complete(exchange, stop === end);
        return;
      }
      case bodyKinds.close:
        exchange.responseBodyBytes += end - start;
        exchange.relayResponseBody(bytes, start, end);
        return;
      case bodyKinds.chunked: {
        const scanner = this.#scanner as ChunkScanner;
        const after = scanner.scan(bytes, start, end);
        if (after === FAULTY) {
          this.#break(exchange, "upstream-protocol-error", scanner.fault?.detail ?? "");
          return;
        }
        exchange.responseBodyBytes = scanner.payloadBytes;
        const { segments } = scanner;
        for (let s = 0; s < segments.length; s += 2) {
          exchange.relayResponseBody(bytes, segments[s] as number, segments[s + 1] as number);
        }
        if (!scanner.done) return;
        if (scanner.trailer.length > 0) exchange.relayResponseBody(scanner.trailer, 0, scanner.trailer.length);
        this.#complete(exchange, after === end);
      }
    }
  }

  /** The response has ended where it said it would. `clean`: nothing stands behind it. */
  #complete(exchange: Exchange, clean: boolean): void {
    this.pool.endpoint.noteSuccess();
    const reusable = clean && this.#keepAlive && exchange.requestDone && !this.wire.backlogged && !this.wire.gone;
    this.exchange = undefined;
    this.reused = true;
    exchange.upstream = undefined;
    if (reusable) {
      this.wire.resume();
      this.pool.release(this);
    } else this.#shut();
    exchange.responseComplete();
  }

  /** The endpoint broke the rules. */
  #break(exchange: Exchange, reason: FailureReason, detail: string): void {
    this.exchange = undefined;
    exchange.upstream = undefined;
    this.pool.endpoint.noteFailure(false, this.pool.context.timeouts);
    this.#shut();
    exchange.fail(reason, detail);
  }

  /** The request of the present exchange still waits in the outbox: the endpoint knows nothing of it. */
  get #unsent(): boolean {
    return this.wire.bytesSent === this.#sentBefore;
  }

  /** The connection is of no more use. */
  #lose(detail: string): void {
    const { exchange } = this;
    const unsent = this.#unsent;
    this.exchange = undefined;
    this.#shut();
    if (exchange === undefined) return;
    exchange.upstream = undefined;
    if (!this.#answered) exchange.upstreamLost(this.reused, unsent, detail);
    else exchange.fail(this.#inBody ? "response-aborted" : "upstream-closed", detail);
  }

  onEnd(): void {
    const { exchange } = this;
    if (exchange !== undefined && this.#inBody && this.#bodyKind === bodyKinds.close) {
      this.#complete(exchange, false);
      return;
    }
    this.#lose("the endpoint closed the connection");
  }

  onClose(error: Error | undefined): void {
    if (!this.#connected) {
      if (!this.#closed) {
        this.#closed = true;
        this.pool.attemptFailed(this, error?.message ?? "the connection was closed while connecting");
      }
      return;
    }
    this.#lose(error === undefined ? "the endpoint closed the connection" : error.message);
  }

  onBacklog(): void {
    this.exchange?.upstreamBacklogged();
  }

  onDrain(): void {
    this.exchange?.upstreamDrained();
  }

  /** The connection attempt took too long. */
  connectTimedOut(): void {
    if (this.#closed || this.#connected) return;
    this.#closed = true;
    this.wire.destroy();
    const { endpoint, context } = this.pool;
    this.pool.attemptFailed(this, `connecting to ${endpoint.name} took longer than ${context.timeouts.connectMs} ms`);
  }

  /** Ends the connection from our side; a running exchange must have been taken off before. */
  close(): void {
    this.#shut();
  }

  #shut(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Not `wire.destroy`, which lets queued bytes leave first: a request that is still in the outbox would be processed
    // here and then once more on the connection that takes its place.
    this.wire.discard();
    if (this.#connected) this.pool.forget(this);
  }
}
