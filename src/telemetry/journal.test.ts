import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Reason } from "../base/reasons.ts";
import type { KeyFrom } from "./journal-draft.ts";
import type { JournalEntry } from "./journal-entry.ts";
import { Journal, NO_GRPC_STATUS } from "./journal.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const origins = [
  { listener: "inbound", direction: "inbound", protocol: "http1" },
  { listener: "outbound", direction: "outbound", protocol: "http2" },
] as const;

/** Clocks that stand still until a test moves them; the wall clock begins at 2026-01-02T03:04:05Z. */
class Clocks {
  monotonic = 0;
  readonly originMs = Date.UTC(2026, 0, 2, 3, 4, 5);
  wall = this.originMs;
  readonly monotonicMs = (): number => this.monotonic;
  readonly wallMs = (): number => this.wall;
}

interface Begun {
  readonly key?: string;
  readonly keyFrom?: KeyFrom;
  readonly trace?: string;
  readonly span?: string;
  readonly method?: string;
  readonly path?: string;
  readonly startedMs?: number;
  readonly origin?: 0 | 1;
}

/** Begins an entry with bytes that lie somewhere in a larger buffer, which is overwritten afterwards. */
function begin(journal: Journal, begun: Begun): number {
  const { key = "", trace = "", span = "", method = "GET", path = "/" } = begun;
  const { draft } = journal;
  const buffers: Buffer[] = [];
  const range = (text: string): readonly [bytes: Uint8Array, start: number, end: number] => {
    const bytes = Buffer.from(`before ${text} after`);
    buffers.push(bytes);
    return [bytes, 7, bytes.length - 6];
  };
  draft.origin = origins[begun.origin ?? 0];
  draft.service = "checkout";
  draft.destination = "pr-7";
  draft.reason = "sandbox";
  draft.startedMs = begun.startedMs ?? 0;
  draft.setKey(begun.keyFrom ?? "carrier", ...range(key));
  draft.setTrace(...range(trace));
  draft.setSpan(...range(span));
  draft.setMethod(...range(method));
  draft.setPath(...range(path));
  const number = journal.begin(draft);
  for (const bytes of buffers) bytes.fill("!");
  return number;
}

function keys(entries: readonly JournalEntry[]): string[] {
  return entries.map(({ key }) => key);
}

describe("one entry", () => {
  test("from its beginning to its end", () => {
    const clocks = new Clocks();
    const journal = new Journal(4, clocks);
    const number = begin(journal, {
      key: "pr-7",
      trace: TRACE,
      span: "00f067aa0ba902b7",
      method: "POST",
      path: "/cart?token=secret",
      startedMs: 1500.25,
    });
    const running = {
      seq: 1,
      time: "2026-01-02T03:04:06.500250Z",
      trace: TRACE,
      span: "00f067aa0ba902b7",
      service: "checkout",
      listener: "inbound",
      direction: "inbound",
      protocol: "http1",
      method: "POST",
      path: "/cart",
      key: "pr-7",
      keyFrom: "carrier",
      destination: "pr-7",
      reason: "sandbox",
      status: 0,
      durationMs: null,
      endpoint: "",
    };
    expect(journal.read({ limit: 9 })).toEqual([running]);
    journal.end(number, 200, NO_GRPC_STATUS, "sandbox-unavailable", "baseline", "10.0.0.7:8080", 12.3456789);
    const ended = {
      status: 200,
      reason: "sandbox-unavailable",
      destination: "baseline",
      endpoint: "10.0.0.7:8080",
      durationMs: 12.346,
    };
    expect(journal.read({ limit: 9 })).toEqual([{ ...running, ...ended }]);
  });

  test.each([
    ["/cart?token=secret", "/cart"],
    ["http://checkout.example:8080/cart?q", "/cart"],
    ["HTTP://checkout?q", ""],
    ["*", "*"],
    ["checkout:443", "checkout:443"],
    ["/redirect/http://other/", "/redirect/http://other/"],
  ])("of the target %s the path %s", (target, path) => {
    const journal = new Journal(1);
    begin(journal, { path: target });
    expect(journal.read({ limit: 1 })[0]?.path).toBe(path);
  });

  test.each([0, 14, -1])("gRPC status %i", (grpcStatus) => {
    const journal = new Journal(1);
    const number = begin(journal, { origin: 1 });
    expect(journal.read({ limit: 1 })[0]).not.toHaveProperty("grpcStatus");
    journal.end(number, 200, grpcStatus, "sandbox", "pr-7", "", 1);
    expect(journal.read({ limit: 1 })[0]).toMatchObject({ protocol: "http2", direction: "outbound", grpcStatus });
  });

  test("an end that comes when the place is another's changes nothing", () => {
    const journal = new Journal(2);
    const first = begin(journal, { key: "a" });
    begin(journal, { key: "b" });
    begin(journal, { key: "c" });
    journal.end(first, 500, NO_GRPC_STATUS, "no-key", "x", "y", 1);
    expect(journal.read({ limit: 9 })).toMatchObject([
      { key: "c", seq: 3, status: 0, durationMs: null },
      { key: "b", seq: 2, status: 0, durationMs: null },
    ]);
  });

  test("nothing of an earlier entry shines through a shorter one", () => {
    const journal = new Journal(1);
    const number = begin(journal, { key: "k".repeat(64), trace: TRACE, span: "ab".repeat(8), path: "/a/long/path" });
    journal.end(number, 200, 3, "sandbox", "pr-7", "10.0.0.7:8080", 1);
    begin(journal, { keyFrom: "" });
    expect(journal.read({ limit: 9 })).toMatchObject([
      { key: "", keyFrom: "", trace: "", span: "", path: "/", endpoint: "", status: 0, durationMs: null },
    ]);
    expect(journal.read({ limit: 9 })[0]).not.toHaveProperty("grpcStatus");
  });

  test("what is too long is cut and says so, never within a character", () => {
    const journal = new Journal(4);
    begin(journal, {
      key: "ö".repeat(33),
      trace: "t".repeat(65),
      span: "s".repeat(17),
      method: "M".repeat(17),
      path: `/${"p".repeat(96)}`,
    });
    begin(journal, { key: `x${"ö".repeat(32)}` });
    begin(journal, {
      key: "k".repeat(64),
      trace: "t".repeat(64),
      span: "s".repeat(16),
      method: "M".repeat(16),
      path: "p".repeat(96),
    });
    const [fits, half, cut] = journal.read({ limit: 9 });
    expect(cut).toMatchObject({
      key: `${"ö".repeat(32)}…`,
      trace: `${"t".repeat(64)}…`,
      span: `${"s".repeat(16)}…`,
      method: `${"M".repeat(16)}…`,
      path: `/${"p".repeat(95)}…`,
    });
    expect(half?.key).toBe(`x${"ö".repeat(31)}…`);
    expect(fits).toMatchObject({ key: "k".repeat(64), trace: "t".repeat(64), path: "p".repeat(96) });
  });
});

describe("what is asked for", () => {
  test("a trace: exact, and as a number where it is hexadecimal", () => {
    const journal = new Journal(8);
    const traces = ["463ac35c9f6413ad", "0000000000000000463AC35C9F6413AD", "req-0", "0req-0", "x".repeat(70)];
    for (const trace of traces) begin(journal, { trace, key: trace.slice(0, 9) });
    expect(keys(journal.read({ limit: 9, trace: "463ac35c9f6413ad" }))).toEqual(["000000000", "463ac35c9"]);
    expect(keys(journal.read({ limit: 9, trace: "req-0" }))).toEqual(["req-0"]);
    expect(keys(journal.read({ limit: 9, trace: "x".repeat(70) }))).toEqual(["xxxxxxxxx"]);
    expect(journal.read({ limit: 9, trace: "x".repeat(64) })).toEqual([]);
    expect(journal.read({ limit: 9, trace: "" })).toEqual([]);
  });

  test("a key, also one that had to be cut", () => {
    const journal = new Journal(8);
    const long = "k".repeat(70);
    for (const key of ["pr-7", "pr-77", "grün", long, ""]) begin(journal, { key });
    expect(keys(journal.read({ limit: 9, key: "pr-7" }))).toEqual(["pr-7"]);
    expect(keys(journal.read({ limit: 9, key: "grün" }))).toEqual(["grün"]);
    expect(keys(journal.read({ limit: 9, key: long }))).toEqual([`${"k".repeat(64)}…`]);
    expect(journal.read({ limit: 9, key: "k".repeat(64) })).toEqual([]);
    expect(journal.read({ limit: 9, key: "pr" })).toEqual([]);
  });

  test("since a time, with a limit, and all together", () => {
    const clocks = new Clocks();
    const journal = new Journal(8, clocks);
    for (const [at, key] of ["a", "b", "c", "b", "c"].entries()) begin(journal, { key, trace: TRACE, startedMs: at });
    expect(keys(journal.read({ limit: 2 }))).toEqual(["c", "b"]);
    expect(keys(journal.read({ limit: 9, sinceMs: clocks.originMs + 2 }))).toEqual(["c", "b", "c"]);
    expect(keys(journal.read({ limit: 1, sinceMs: clocks.originMs + 1, key: "b", trace: TRACE }))).toEqual(["b"]);
    expect(journal.read({ limit: 1, sinceMs: clocks.originMs + 4.5 })).toEqual([]);
  });

  test("what there is to say about the journal itself", () => {
    const journal = new Journal(2, new Clocks());
    expect(journal.report({ limit: 1 })).toEqual({ entriesMax: 2, kept: 0, oldest: null, entries: [] });
    for (const startedMs of [1, 2, 3]) begin(journal, { startedMs });
    const report = journal.report({ limit: 1 });
    expect(report).toMatchObject({ entriesMax: 2, kept: 2, oldest: "2026-01-02T03:04:05.002000Z" });
    expect(report.entries).toHaveLength(1);
  });
});

describe("time", () => {
  test("follows a wall clock that was set, not its unevenness", () => {
    const clocks = new Clocks();
    const journal = new Journal(2, clocks);
    begin(journal, { startedMs: 10 });
    clocks.monotonic = 100;
    clocks.wall = clocks.originMs + 101.5;
    expect(journal.read({ limit: 1 })[0]?.time).toBe("2026-01-02T03:04:05.010000Z");
    clocks.wall = clocks.originMs + 3_600_100;
    expect(journal.read({ limit: 1 })[0]?.time).toBe("2026-01-02T04:04:05.010000Z");
  });

  test("is that of the system", () => {
    const journal = new Journal(1);
    const before = Date.now();
    begin(journal, { startedMs: performance.now() });
    const time = Date.parse(journal.read({ limit: 1 })[0]?.time ?? "");
    expect(time).toBeGreaterThanOrEqual(before - 3);
    expect(time).toBeLessThanOrEqual(Date.now() + 3);
  });
});

describe("the ring and a plain array", () => {
  const text = (max: number): fc.Arbitrary<string> => fc.string({ maxLength: max, unit: "grapheme-ascii" });
  const beginning = fc.record({
    do: fc.constant("begin" as const),
    key: fc.oneof(fc.constantFrom("a", "b"), text(80)),
    trace: fc.oneof(fc.constantFrom("0a", "A"), text(80)),
    span: text(20),
    method: text(20),
    path: text(120),
    startedMs: fc.integer({ min: 0, max: 9 }),
    keyFrom: fc.constantFrom<KeyFrom>("", "carrier", "stamp", "restored", "lost"),
    origin: fc.constantFrom<0 | 1>(0, 1),
  });
  const ending = fc.record({
    do: fc.constant("end" as const),
    which: fc.nat(20),
    status: fc.constantFrom(0, 200, 503, 999),
    grpcStatus: fc.integer({ min: -2, max: 16 }),
    reason: fc.constantFrom<Reason>("sandbox", "no-key", "unknown-key"),
    destination: fc.constantFrom("pr-7", "none"),
    endpoint: fc.constantFrom("", "10.0.0.7:8080"),
    durationMs: fc.nat(1000),
  });
  const filter = fc.record(
    {
      limit: fc.integer({ min: 1, max: 10 }),
      key: fc.constantFrom("a", "b", "c"),
      trace: fc.constantFrom("a", "0A", "00"),
      since: fc.integer({ min: 0, max: 9 }),
    },
    { requiredKeys: ["limit"] },
  );

  /** What the ring is supposed to be, as simply as can be. */
  class Model {
    readonly #max: number;
    entries: { readonly startedMs: number; readonly entry: JournalEntry }[] = [];
    begun = 0;

    constructor(max: number) {
      this.#max = max;
    }

    begin(begun: Required<Begun>): void {
      const shortened = (value: string, max: number): string =>
        value.length > max ? `${value.slice(0, max)}…` : value;
      const { startedMs, keyFrom } = begun;
      const entry = {
        seq: ++this.begun,
        time: `2026-01-02T03:04:05.00${startedMs}000Z`,
        trace: shortened(begun.trace, 64),
        span: shortened(begun.span, 16),
        service: "checkout",
        ...origins[begun.origin],
        method: shortened(begun.method, 16),
        path: shortened(begun.path, 96)
          .replace(/^https?:\/\/[^/?]*/iu, "")
          .replace(/\?.*/su, ""),
        key: shortened(begun.key, 64),
        keyFrom,
        destination: "pr-7",
        reason: "sandbox" as const,
        status: 0,
        durationMs: null,
        endpoint: "",
      };
      this.entries = [{ startedMs, entry }, ...this.entries].slice(0, this.#max);
    }
  }

  test("tell the same", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.oneof(beginning, ending), { maxLength: 30 }),
        fc.array(filter, { minLength: 1, maxLength: 3 }),
        (entriesMax, steps, filters) => {
          const clocks = new Clocks();
          const journal = new Journal(entriesMax, clocks);
          const model = new Model(entriesMax);
          const numbers: number[] = [];
          for (const step of steps) {
            if (step.do === "begin") {
              numbers.push(begin(journal, step));
              model.begin(step);
              continue;
            }
            const number = numbers[step.which];
            if (number === undefined) continue;
            const { status, grpcStatus, reason, destination, endpoint, durationMs } = step;
            journal.end(number, status, grpcStatus, reason, destination, endpoint, durationMs);
            const grpc = grpcStatus === NO_GRPC_STATUS ? { grpcStatus: undefined } : { grpcStatus };
            const ended = { status, ...grpc, reason, destination, endpoint, durationMs };
            model.entries = model.entries.map(({ startedMs, entry }) =>
              entry.seq === step.which + 1
                ? { startedMs, entry: { ...entry, ...ended } as JournalEntry }
                : { startedMs, entry },
            );
          }
          for (const { since, ...wanted } of filters) {
            const sinceMs = since === undefined ? {} : { sinceMs: clocks.originMs + since };
            const trace = wanted.trace === undefined ? undefined : wanted.trace.replace(/^0+(?=.)/u, "").toLowerCase();
            const expected = model.entries
              .filter(({ entry }) => wanted.key === undefined || entry.key === wanted.key)
              .filter(
                ({ entry }) =>
                  trace === undefined ||
                  (/^[0-9a-f]+$/iu.test(entry.trace) && entry.trace.replace(/^0+(?=.)/u, "").toLowerCase() === trace),
              )
              .filter(({ startedMs }) => since === undefined || startedMs >= since)
              .slice(0, wanted.limit)
              .map(({ entry }) => entry);
            expect(journal.read({ ...wanted, ...sinceMs })).toEqual(expected);
          }
          expect(journal.kept).toBe(model.entries.length);
        },
      ),
    );
  });
});
