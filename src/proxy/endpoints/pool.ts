// What the registry needs of the connections to one endpoint, whichever protocol they speak.

/** Connections of one protocol to one endpoint. */
export interface Pool {
  readonly endpoint: { readonly name: string };
  /** Has, or had at the last sweep, connections or waiting exchanges: somebody has to call `sweep`. */
  readonly live: boolean;
  /** Deadlines; once per tick of the coarse clock. */
  sweep(nowMs: number): void;
  /** For `GET /connections`. */
  describe(): PoolCounts;
  /** The endpoint's name has changed its addresses: connections to others are of no more use once they are free. */
  retainAddresses(addresses: readonly string[]): void;
  /** Closes the connections that nobody uses now. */
  closeIdle(): void;
  /** Closes what nobody uses and makes no more connections; those in use end with their exchanges. */
  close(): void;
}

/** Connections by state, and exchanges that wait for one. */
export interface PoolCounts {
  readonly idle: number;
  readonly connecting: number;
  readonly active: number;
  readonly waiting: number;
}
