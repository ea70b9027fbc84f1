import type { Reason } from "../base/reasons.ts";
import type { Direction } from "./metrics.ts";

const EMPTY = new Uint8Array(0);

/**
 * How the exchange came by its key: it carried it, the config's `tenancy.stamp` gave it one, it was put back because its
 * trace came in with it, or that would have been the key but nobody put it back; "" where there is none.
 */
export type KeyFrom = "" | "carrier" | "stamp" | "restored" | "lost";

/** What all entries of one listener and protocol have in common; made once. */
export interface JournalOrigin {
  /** Name of the listener. */
  readonly listener: string;
  readonly direction: Direction;
  readonly protocol: "http1" | "http2" | "tcp";
}

/** That of a place in which no entry is yet. */
export const NO_ORIGIN: JournalOrigin = { listener: "", direction: "inbound", protocol: "http1" };

/**
 * What is known when an exchange begins. One reused object (`Journal.draft`): whoever begins an entry sets all of it; empty
 * ranges where there is nothing. The bytes are copied by `begin`.
 */
export class JournalDraft {
  origin: JournalOrigin = NO_ORIGIN;
  /** The service asked for, as the metrics name it. */
  service = "";
  /** As far as the decision goes; `end` says where it went in the end. */
  destination = "";
  reason: Reason = "no-key";
  keyFrom: KeyFrom = "";
  /** When the exchange began, by `turnNowMs`. Made as a fraction, so that V8 keeps it in place and never boxes it. */
  startedMs = Number.NaN;
  keyBytes: Uint8Array = EMPTY;
  keyStart = 0;
  keyEnd = 0;
  /** The trace id as it stood, and the span id of the sender beside it. */
  traceBytes: Uint8Array = EMPTY;
  traceStart = 0;
  traceEnd = 0;
  spanBytes: Uint8Array = EMPTY;
  spanStart = 0;
  spanEnd = 0;
  methodBytes: Uint8Array = EMPTY;
  methodStart = 0;
  methodEnd = 0;
  /** The request target; of its query nothing is ever shown. */
  pathBytes: Uint8Array = EMPTY;
  pathStart = 0;
  pathEnd = 0;

  setKey(from: KeyFrom, bytes: Uint8Array, start: number, end: number): void {
    this.keyFrom = from;
    this.keyBytes = bytes;
    this.keyStart = start;
    this.keyEnd = end;
  }

  setTrace(bytes: Uint8Array, start: number, end: number): void {
    this.traceBytes = bytes;
    this.traceStart = start;
    this.traceEnd = end;
  }

  setSpan(bytes: Uint8Array, start: number, end: number): void {
    this.spanBytes = bytes;
    this.spanStart = start;
    this.spanEnd = end;
  }

  setMethod(bytes: Uint8Array, start: number, end: number): void {
    this.methodBytes = bytes;
    this.methodStart = start;
    this.methodEnd = end;
  }

  setPath(bytes: Uint8Array, start: number, end: number): void {
    this.pathBytes = bytes;
    this.pathStart = start;
    this.pathEnd = end;
  }
}
