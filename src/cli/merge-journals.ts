import type { JournalEntry, JournalReport } from "../telemetry/journal-entry.ts";

/** The journals of several workers as one, newest first, at most `limit` entries. */
export function mergeJournals(reports: readonly JournalReport[], limit: number): JournalReport {
  const sum = (pick: (report: JournalReport) => number): number =>
    reports.reduce((total, report) => total + pick(report), 0);
  const oldest = reports.flatMap((report) => report.oldest ?? []).toSorted()[0];
  return {
    entriesMax: sum(({ entriesMax }) => entriesMax),
    kept: sum(({ kept }) => kept),
    oldest: oldest ?? null,
    entries: reports
      .flatMap(({ entries }) => entries)
      .toSorted(newestFirst)
      .slice(0, limit),
  };
}

/** Times are all written alike, so that they compare as text. */
function newestFirst(a: JournalEntry, b: JournalEntry): number {
  if (a.time !== b.time) return a.time < b.time ? 1 : -1;
  return b.seq - a.seq;
}
