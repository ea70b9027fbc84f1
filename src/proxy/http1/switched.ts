// A connection that has switched protocols (101, RFC 9110 §7.8): WebSocket, mostly. What is relayed from here on is bytes.
//
// Guarantees: the exchange lasts as long as both connections, and is counted and logged once, with 101 and that duration; the
// endpoint's connection never returns to the pool.
import type { Http1Downstream } from "./downstream.ts";
import type { Exchange } from "./exchange.ts";
import type { Http1Upstream } from "./upstream.ts";
import { Relay, type RelayEnd, type RelayOwner } from "../tcp/relay.ts";

/** The rest of the life of an exchange whose request was answered with 101. */
export class Switched implements RelayOwner {
  readonly relay: Relay;
  readonly #downstream: Http1Downstream;
  readonly #exchange: Exchange;
  readonly #upstream: Http1Upstream;

  constructor(downstream: Http1Downstream, exchange: Exchange, upstream: Http1Upstream) {
    this.#downstream = downstream;
    this.#exchange = exchange;
    this.#upstream = upstream;
    this.relay = new Relay(downstream.wire, upstream.wire, this);
  }

  relayEnded(end: RelayEnd): void {
    const { downstream, upstream } = this.relay;
    this.#upstream.close();
    this.#exchange.requestBodyBytes = downstream.bytes;
    this.#exchange.responseBodyBytes = upstream.bytes;
    this.#exchange.switchedEnded(end);
    this.#downstream.listener.remove(this.#downstream);
  }
}
