import type { TableCounts } from "../routing/compiled-table.ts";

/** What kind of thing went wrong with a table file: decides whether trying again without a change can help. */
export type TableErrorKind =
  /** The file, or a directory or link on the way to it, is not there. */
  | "missing"
  /** It is there but cannot be read: permissions, not a regular file, an I/O error. */
  | "unreadable"
  /** Larger than `limits.tableBytesMax`. */
  | "too-large"
  /** Read, but not a valid table. */
  | "invalid"
  /** The loader itself failed: a process that crashed, ran out of memory or of time, a table that fails its self-check. */
  | "load-failed";

/** Why the last attempt to load the table failed. */
export interface TableError {
  readonly kind: TableErrorKind;
  /** One line for a log or a status page. */
  readonly message: string;
  /** One line per problem, `file:line:column: what, why, what to write instead`. Empty unless the kind is `invalid`. */
  readonly problems: readonly string[];
  /** When this failure was first seen, in milliseconds since the epoch. */
  readonly sinceMs: number;
}

/** What GET /table tells about the table in use and where it came from. */
export interface TableStatus {
  /** Generation in this process; 0 while there has been no table. */
  readonly version: number;
  /** As `CompiledTable.digest`; "" while there has been no table. */
  readonly digest: string;
  /** The file as configured, or `control host:port`. */
  readonly source: string;
  /** Only of tables that are fed: the control plane's revision of the table in use; 0 while there has been none. */
  readonly revision?: number;
  /** Only of tables that are fed. */
  readonly feed?: FeedStatus;
  /** When the table in use was published, in milliseconds since the epoch; undefined while there has been none. */
  readonly loadedAtMs: number | undefined;
  /** When the source was last looked at, in milliseconds since the epoch. */
  readonly lastAttemptAtMs: number | undefined;
  /** Why the newest content is not in use; undefined when it is. */
  readonly lastError: TableError | undefined;
  /** Warnings of the table in use, one line each. */
  readonly warnings: readonly string[];
  readonly counts: TableCounts;
}

/** How a sidecar and its control plane stand. */
export interface FeedStatus {
  readonly connected: boolean;
  /** Since when, in milliseconds since the epoch. */
  readonly sinceMs: number;
  /** Why it is not connected, as a sentence; "" when it is, or has not tried yet. */
  readonly problem: string;
}
