/** What the feed server has done since it began; counted in place, read by whoever shows it (src/control/metrics.ts). */
export class FeedStats {
  /** Open streams, those that have not said hello included. */
  streams = 0;
  streamsTotal = 0;
  /** Streams by how they ended. */
  readonly ends = { goodbye: 0, closed: 0, slow: 0, refused: 0, replaced: 0, shutdown: 0 };
  /** Messages with changes of the table; parts count one each. */
  updatesSent = 0;
  /** Messages that only move the revision. */
  emptyUpdatesSent = 0;
  bytesSent = 0;
  /** Streams that began with a whole table, or needed one later. */
  wholeTables = 0;
  /** Streams that went on from where they were. */
  resumed = 0;
  applied = 0;
  /** Applied with an error: the sidecar refused the table. */
  refusedTables = 0;
}
