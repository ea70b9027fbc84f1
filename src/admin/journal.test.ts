import { afterEach, beforeEach, expect, test } from "vitest";
import { silentLog } from "../base/log.ts";
import { NO_JOURNAL } from "../telemetry/journal-entry.ts";
import type { JournalEntry, JournalFilter } from "../telemetry/journal-entry.ts";
import type { AdminBackend } from "./backend.ts";
import { startAdmin } from "./server.ts";

const entry: JournalEntry = {
  seq: 1,
  time: "2026-01-02T03:04:05.000000Z",
  trace: "4bf92f3577b34da6a3ce929d0e0e4736",
  span: "00f067aa0ba902b7",
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
  status: 0,
  durationMs: null,
  endpoint: "",
};
const answer = { service: "checkout", sandbox: "pr-7", ...NO_JOURNAL, entries: [entry] };

let filters: JournalFilter[] = [];
let admin: Awaited<ReturnType<typeof startAdmin>>;

beforeEach(async () => {
  filters = [];
  const backend: Pick<AdminBackend, "journal"> = {
    journal(filter) {
      filters.push(filter);
      return Promise.resolve(answer);
    },
  };
  admin = await startAdmin("127.0.0.1:0", backend as AdminBackend, silentLog);
});
afterEach(() => admin.close());

async function ask(query: string): Promise<{ readonly status: number; readonly json: Record<string, unknown> }> {
  const response = await fetch(`http://${admin.address}/journal${query}`);
  return { status: response.status, json: (await response.json()) as Record<string, unknown> };
}

test("without parameters: the newest hundred, as the backend has them", async () => {
  expect(await ask("")).toEqual({ status: 200, json: answer });
  expect(filters).toEqual([{ limit: 100 }]);
});

test("hands on what was asked", async () => {
  await ask("?trace=4bf92f3577b34da6a3ce929d0e0e4736&key=gr%C3%BCn&limit=7&since=2026-01-02T03:04:05Z");
  await ask("?since=2026-01-02T03:04:05.000750Z&limit=100000");
  await ask("?since=2026-01-02T05:04:05%2B02:00&trace=&key=");
  await ask("?since=2026-01-02T05:04:05+02:00");
  await ask("?trace=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  const sinceMs = Date.UTC(2026, 0, 2, 3, 4, 5);
  expect(filters).toEqual([
    { trace: "4bf92f3577b34da6a3ce929d0e0e4736", key: "grün", limit: 7, sinceMs },
    { limit: 100_000, sinceMs: sinceMs + 0.75 },
    { limit: 100, sinceMs },
    { limit: 100, sinceMs },
    { limit: 100, trace: "4bf92f3577b34da6a3ce929d0e0e4736" },
  ]);
});

test.each([
  ["500ms", 500],
  ["30s", 30_000],
  ["5m", 300_000],
  ["2h", 7_200_000],
])("since=%s: so long ago", async (since, agoMs) => {
  const before = Date.now();
  await ask(`?since=${since}`);
  const [filter] = filters;
  expect(filter?.sinceMs).toBeGreaterThanOrEqual(before - agoMs);
  expect(filter?.sinceMs).toBeLessThanOrEqual(Date.now() - agoMs);
});

test.each([
  ["limit=0", "limit is a whole number"],
  ["limit=-1", "limit is a whole number"],
  ["limit=1.5", "limit is a whole number"],
  ["limit=100001", "limit is a whole number"],
  ["limit=1000000000", "limit is a whole number"],
  ["limit=ten", "limit is a whole number"],
  ["since=yesterday", "since is a time or how long ago"],
  ["since=2026-01-02", "since is a time or how long ago"],
  ["since=2026-01-02T03:04:05", "since is a time or how long ago"],
  ["since=2026-13-02T03:04:05Z", "since is a time or how long ago"],
  ["since=5d", "since is a time or how long ago"],
  ["since=-5s", "since is a time or how long ago"],
  ["trace=a&trace=b", "may be given once"],
  ["keys=a", "there is no query parameter"],
])("%s is refused and the parameters are told", async (query, detail) => {
  const { status, json } = await ask(`?${query}`);
  expect(status).toBe(400);
  expect(json["detail"]).toContain(detail);
  expect(Object.keys(json["parameters"] as object)).toEqual(["trace", "key", "since", "limit"]);
  expect(filters).toEqual([]);
});
