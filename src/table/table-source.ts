import type { TableStatus } from "./status.ts";

/** Where the table of a process comes from: it publishes into a `TableCell` and keeps that current. */
export interface TableSource {
  /**
   * Begins. Resolves when the first table is in the cell; until then nothing may be served. Rejects, with a message for people,
   * when no table can be expected, and after `close()`.
   */
  start(): Promise<void>;
  /** The table in use, and what became of the newest one. */
  status(): TableStatus;
  /** The process drains: whoever waits for it to follow need not any more. The table is kept current until `close()`. */
  goodbye(): void;
  /** Stops following; resolves when nothing is left running. The table stays in the cell. */
  close(): Promise<void>;
}
