// Two connections joined: what one peer sends, the other gets, until both have ended.
//
// Guarantees: bytes keep their order; each direction ends on its own (a FIN is passed on behind everything that came before
// it); a connection that breaks takes the other with it by a reset, so that nobody takes what he has for the whole;
// `relayEnded` is called exactly once, when both are closed, and nothing afterwards.
//
// Backpressure: a side that cannot pass on what it gets stops reading until it can:
//
//   client -> downstream wire -> [outbox, at most two reads] -> upstream wire -> endpoint
//                     ^ pause at onBacklog, resume at onDrain ^              and the same the other way round
import type { FailureReason } from "../../base/reasons.ts";
import type { Wire, WireOwner } from "../wire.ts";

/** How a relay ended; `reset`: not by an orderly end of both directions. */
export type RelayEnd = "complete" | "client-reset" | "endpoint-reset" | "idle";

/** How log and metrics call that; an orderly end, and one for idleness, is no failure. */
export const relayFailures: Readonly<Record<RelayEnd, FailureReason | undefined>> = {
  complete: undefined,
  idle: undefined,
  "client-reset": "client-closed",
  "endpoint-reset": "response-aborted",
};

/** Who has joined two connections. */
export interface RelayOwner {
  relayEnded(end: RelayEnd): void;
}

class Side implements WireOwner {
  readonly wire: Wire;
  readonly #relay: Relay;
  /** Bytes received. */
  bytes = 0;
  /** The peer has closed its sending side. */
  ended = false;

  constructor(wire: Wire, relay: Relay) {
    this.wire = wire;
    this.#relay = relay;
  }

  get #other(): Side {
    return this.#relay.upstream === this ? this.#relay.downstream : this.#relay.upstream;
  }

  /** Takes over the wire, in whatever state it is. */
  begin(): void {
    this.wire.owner = this;
    if (this.#other.wire.backlogged) this.wire.pause();
    else this.wire.resume();
  }

  take(bytes: Uint8Array, start: number, end: number): void {
    this.bytes += end - start;
    this.#other.wire.send(bytes, start, end);
  }

  onBytes(bytes: Uint8Array, end: number): void {
    this.take(bytes, 0, end);
  }

  onEnd(): void {
    if (this.ended) return;
    this.ended = true;
    this.#other.wire.end();
  }

  onBacklog(): void {
    this.#other.wire.pause();
  }

  onDrain(): void {
    this.#other.wire.resume();
  }

  onClose(error: Error | undefined): void {
    this.#relay.closed(this, this.#other, error);
  }
}

/** A joined pair of connections. */
export class Relay {
  readonly downstream: Side;
  readonly upstream: Side;
  readonly #owner: RelayOwner;
  #end: RelayEnd = "complete";

  constructor(downstream: Wire, upstream: Wire, owner: RelayOwner) {
    this.#owner = owner;
    this.downstream = new Side(downstream, this);
    this.upstream = new Side(upstream, this);
  }

  /** Takes both connections over. Bytes that were read before are given to `take` of their side, first of all. */
  begin(): void {
    this.downstream.begin();
    this.upstream.begin();
  }

  /** One of the two is closed; called by it. */
  closed(side: Side, other: Side, error: Error | undefined): void {
    if (other.wire.closed) {
      this.#owner.relayEnded(this.#end);
      return;
    }
    // Both have ended in good order: what is left for the other one still leaves.
    if (error === undefined && side.ended && other.ended) return;
    this.#abort(side === this.downstream ? "client-reset" : "endpoint-reset");
  }

  /** Deadlines; once per tick. @param idleMs without a byte either way, 0: never. */
  sweep(nowMs: number, idleMs: number): void {
    const { downstream, upstream } = this;
    const progressMs = Math.max(downstream.wire.lastProgressMs, upstream.wire.lastProgressMs);
    if (idleMs > 0 && nowMs - progressMs >= idleMs) this.#abort("idle");
    // It has ended and takes nothing any more, which nothing but a failed write could tell.
    else if (upstream.ended && upstream.wire.gone && !upstream.wire.closed) this.#abort("endpoint-reset");
  }

  #abort(end: RelayEnd): void {
    if (this.#end === "complete") this.#end = end;
    this.upstream.wire.reset();
    this.downstream.wire.reset();
  }
}
