// A connection that has not yet said what it speaks (`protocol: auto`): reads until its first bytes tell, and hands it over.
//
// Guarantees: waits for no more bytes than `detect` needs; nothing is answered or connected before that, so a server that
// speaks first needs `protocol: tcp`.
import { coarse } from "../base/clock.ts";
import type { Timeouts } from "../base/limits.ts";
import { type Detected, detect } from "../protocol/detect.ts";
import type { Connection } from "./connection.ts";
import { HeldBytes } from "./held-bytes.ts";
import type { Wire, WireOwner } from "./wire.ts";

/** What a detector needs of its listener. */
export interface DetectorContext {
  readonly timeouts: Timeouts;
  /** Takes the connection over, with the bytes that have been read. */
  handOver(from: Connection, protocol: Exclude<Detected, "undecided">, bytes: Uint8Array, end: number): void;
  /** The connection is gone. */
  remove(connection: Connection): void;
}

/** A client's connection before its first bytes have told what it speaks. */
export class Detector implements WireOwner, Connection {
  readonly wire: Wire;
  index = 0;
  readonly #listener: DetectorContext;
  readonly #held = new HeldBytes();
  #sinceMs = coarse.nowMs;

  constructor(wire: Wire, listener: DetectorContext) {
    this.wire = wire;
    this.#listener = listener;
    wire.owner = this;
  }

  get idle(): boolean {
    return this.#held.length === 0;
  }

  onBytes(received: Uint8Array, receivedEnd: number): void {
    let bytes = received;
    let end = receivedEnd;
    if (this.#held.length > 0) {
      this.#held.append(received, 0, receivedEnd);
      bytes = this.#held.bytes;
      end = this.#held.length;
    }
    const detected = detect(bytes, 0, end);
    if (detected !== "undecided") this.#listener.handOver(this, detected, bytes, end);
    else if (this.#held.length === 0) {
      this.#held.append(received, 0, receivedEnd);
      this.#sinceMs = coarse.nowMs;
    }
  }

  /** Whoever says too little to be understood gets no answer: none would fit. */
  onEnd(): void {
    this.wire.destroy();
  }

  onBacklog(): void {}
  onDrain(): void {}

  onClose(): void {
    this.#listener.remove(this);
  }

  announceDrain(): boolean {
    return false;
  }

  drain(): void {
    this.wire.destroy();
  }

  sweep(nowMs: number): void {
    const { idleMs, headMs } = this.#listener.timeouts;
    const limitMs = this.idle ? idleMs : headMs;
    if (limitMs > 0 && nowMs - this.#sinceMs >= limitMs) this.wire.destroy();
  }
}
