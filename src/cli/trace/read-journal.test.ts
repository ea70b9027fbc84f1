import { expect, test } from "vitest";
import { traced } from "./fixture.ts";
import { readJournal } from "./read-journal.ts";

const { entry } = traced("checkout", "in", "checkout", [0, 5], { grpcStatus: 0 });
const journal = { service: "checkout", entriesMax: 1000, kept: 1, oldest: entry.time, entries: [entry] };

test("a journal, also with fields that nobody knows here", () => {
  const more = { ...journal, sandbox: "pr-7", weather: "fine", entries: [{ ...entry, weather: "fine" }] };
  expect(readJournal(JSON.stringify(more))).toEqual(more);
  const running = { ...journal, entries: [{ ...entry, durationMs: null }] };
  expect(readJournal(JSON.stringify(running))).toEqual(running);
});

test.each(Object.keys(entry).filter((name) => name !== "grpcStatus"))("an entry without its %s is none", (name) => {
  expect(readJournal(JSON.stringify({ ...journal, entries: [{ ...entry, [name]: undefined }] }))).toBeUndefined();
});

test.each([
  ["{"],
  ["null"],
  ["[]"],
  [JSON.stringify({ ...journal, service: 1 })],
  [JSON.stringify({ ...journal, oldest: "never" })],
  [JSON.stringify({ ...journal, entries: {} })],
  [JSON.stringify({ ...journal, entries: [null] })],
  [JSON.stringify({ ...journal, entries: [entry, { ...entry, time: "never" }] })],
  [JSON.stringify({ ...journal, entries: [{ ...entry, direction: "sideways" }] })],
  [JSON.stringify({ ...journal, entries: [{ ...entry, grpcStatus: "OK" }] })],
])("%s is none", (body) => {
  expect(readJournal(body)).toBeUndefined();
});
