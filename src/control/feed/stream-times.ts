/** Deadlines of a stream, in milliseconds. */
export interface StreamTimes {
  /** From the beginning of a stream to its hello. */
  readonly helloMs: number;
  /** A message may wait this long for a peer that does not read. */
  readonly slowMs: number;
  /** The next change waits this long, at most about, for a sidecar to handle the one before. */
  readonly appliedMs: number;
  /** A sidecar may know more than this replica, which hears of commits a moment later; then it is told all. */
  readonly aheadMs: number;
  /** Who is not behind is told the revision about this often, if it moved. */
  readonly revisionMs: number;
  /** How often it is looked at again whether the credentials of a stream are good. */
  readonly authoriseMs: number;
  /** What an ended stream gets to tell its peer why. */
  readonly endMs: number;
}

export const streamTimes: StreamTimes = {
  helloMs: 5000,
  slowMs: 30_000,
  appliedMs: 500,
  aheadMs: 20_000, // longer than a replica can take to notice that it hears of nothing
  revisionMs: 10_000,
  authoriseMs: 30_000,
  endMs: 2000,
};
