import { expect, test } from "vitest";
import { NO_JOURNAL } from "../telemetry/journal-entry.ts";
import type { JournalEntry } from "../telemetry/journal-entry.ts";
import { mergeJournals } from "./merge-journals.ts";

function entry(seq: number, time: string): JournalEntry {
  return {
    seq,
    time: `2026-01-02T03:04:05.${time}Z`,
    trace: "",
    span: "",
    service: "checkout",
    listener: "inbound",
    direction: "inbound",
    protocol: "http1",
    method: "GET",
    path: "/",
    key: "pr-7",
    keyFrom: "carrier",
    destination: "pr-7",
    reason: "sandbox",
    status: 200,
    durationMs: 1,
    endpoint: "10.0.0.7:8080",
  };
}

test("newest first across workers, no more than asked for; sizes added, the oldest of all", () => {
  const merged = mergeJournals(
    [
      {
        entriesMax: 10,
        kept: 2,
        oldest: "2026-01-02T03:04:05.000100Z",
        entries: [entry(3, "000500"), entry(2, "000200")],
      },
      {
        entriesMax: 10,
        kept: 9,
        oldest: "2026-01-02T03:04:04.000000Z",
        entries: [entry(8, "000300"), entry(7, "000300")],
      },
      { entriesMax: 10, kept: 0, oldest: null, entries: [] },
    ],
    3,
  );
  expect(merged).toMatchObject({ entriesMax: 30, kept: 11, oldest: "2026-01-02T03:04:04.000000Z" });
  expect(merged.entries.map(({ seq }) => seq)).toEqual([3, 8, 7]);
});

test("of no worker is that of no journal", () => {
  expect(mergeJournals([], 5)).toEqual(NO_JOURNAL);
});
