// What a listener needs of a client's connection, whichever protocol it speaks.
import type { Wire } from "./wire.ts";

/** A client's connection. */
export interface Connection {
  /** Position in the listener's array of connections. */
  index: number;
  readonly wire: Wire;
  /** No request is in progress. */
  readonly idle: boolean;
  /** Deadlines; once per tick of the coarse clock. */
  sweep(nowMs: number): void;
  /** Soon no further requests will be taken: tells the client, where the protocol can. True when it has been told just now. */
  announceDrain(): boolean;
  /** No further requests: ends the connection now or when the running ones are over (`listener.ending` is set). */
  drain(): void;
}
