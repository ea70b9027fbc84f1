import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Found } from "../../protocol/context/found.ts";
import { readTraceId, sameTrace, TraceId, traceKinds } from "../../protocol/context/trace-id.ts";
import { TraceMemory, traceVerdicts } from "./trace-memory.ts";

const { none, found, conflict, mixed, keyless } = traceVerdicts;
const LIFETIME_MS = 1000;

/** A key as "key;properties". */
function key(text: string): Found {
  const [name = "", properties = ""] = text.split(";");
  const bytes = Buffer.from(`<${name};${properties}>`);
  const range = new Found();
  range.set(bytes, 1, 1 + name.length);
  if (properties !== "") range.setProperties(bytes, name.length + 2, bytes.length - 1);
  return range;
}

/** The same back. */
function textOf(range: Found): string {
  const name = Buffer.from(range.bytes.subarray(range.start, range.end)).toString();
  const properties = Buffer.from(range.propertiesBytes.subarray(range.propertiesStart, range.propertiesEnd)).toString();
  return properties === "" ? name : `${name};${properties}`;
}

function idOf(kind: number, high: number, low: number): TraceId {
  const id = new TraceId();
  id.kind = kind;
  id.w1 = high;
  id.w3 = low;
  return id;
}

function read(kind: keyof typeof traceKinds, text: string): TraceId {
  const id = new TraceId();
  const bytes = Buffer.from(text);
  if (!readTraceId(traceKinds[kind], bytes, 0, bytes.length, id)) throw new Error(`${text} is no ${kind}`);
  return id;
}

/** Verdict and key, as "found pr-7". */
function ask(memory: TraceMemory, id: TraceId, nowMs: number): string {
  const into = new Found();
  into.set(Buffer.from("untouched"), 0, 9);
  const verdict = memory.find(id, nowMs, into);
  const text = textOf(into);
  const name = Object.entries(traceVerdicts).find(([, value]) => value === verdict)?.[0] ?? "?";
  const silent = verdict === none || verdict === conflict || verdict === keyless;
  if (silent) expect(text).toBe("untouched");
  return silent ? name : `${name} ${text}`;
}

const w3c = read("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
const other = read("traceparent", "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");

describe("a trace", () => {
  test("is found by its id in every notation", () => {
    const memory = new TraceMemory(64, LIFETIME_MS);
    memory.remember(w3c, key("pr-7"), 0);
    const notations = [
      w3c,
      read("b3", "a3ce929d0e0e4736-00f067aa0ba902b7-1"),
      read("b3TraceId", "4bf92f3577b34da6a3ce929d0e0e4736"),
      read("datadog", String(0xa3ce929d0e0e4736n)),
      read("uber", "4bf92f3577b34da6a3ce929d0e0e4736:1:0:1"),
    ];
    expect(notations.map((id) => ask(memory, id, 1))).toEqual(notations.map(() => "found pr-7"));
    expect(ask(memory, other, 1)).toBe("none");
  });

  test("of a short id is found by the long one that ends in it", () => {
    const memory = new TraceMemory(64, LIFETIME_MS);
    memory.remember(read("datadog", String(0xa3ce929d0e0e4736n)), key("pr-7"), 0);
    expect([w3c, other].map((id) => ask(memory, id, 1))).toEqual(["found pr-7", "found pr-7"]);
  });

  test("of a request id is found by a request id alone", () => {
    const memory = new TraceMemory(64, LIFETIME_MS);
    const id = read("requestId", "4bf92f3577b34da6a3ce929d0e0e4736");
    memory.remember(id, key("pr-7"), 0);
    expect(ask(memory, w3c, 1)).toBe("none");
    expect(ask(memory, id, 1)).toBe("found pr-7");
    const half = idOf(traceKinds.requestId, 0, id.w3);
    half.w2 = id.w2;
    expect(ask(memory, half, 1)).toBe("none");
  });

  test("with two keys is a conflict, whichever comes again", () => {
    const memory = new TraceMemory(64, LIFETIME_MS);
    for (const text of ["pr-7", "pr-8", "pr-7", "pr-7"]) memory.remember(w3c, key(text), 0);
    expect(ask(memory, w3c, 1)).toBe("conflict");
  });

  test("keeps the properties that its key came with last", () => {
    const memory = new TraceMemory(64, LIFETIME_MS);
    for (const text of ["pr-7", "pr-7;require=stock", "pr-7;require=checkout", "pr-7"]) {
      memory.remember(w3c, key(text), 0);
    }
    expect(ask(memory, w3c, 1)).toBe("found pr-7;require=checkout");
    const half = read("b3", "a3ce929d0e0e4736-00f067aa0ba902b7-1");
    memory.remember(half, key("pr-7"), 1);
    expect([w3c, half].map((id) => ask(memory, id, 1))).toEqual(Array(2).fill("found pr-7;require=checkout"));
    memory.remember(half, key("pr-8;require=checkout"), 1);
    expect(ask(memory, w3c, 1)).toBe("conflict");
  });

  test("with a key too long to be remembered is a conflict", () => {
    const memory = new TraceMemory(64, LIFETIME_MS);
    memory.remember(w3c, key("pr-7"), 0);
    memory.remember(w3c, key("k".repeat(257)), 0);
    expect(ask(memory, w3c, 1)).toBe("conflict");
  });

  test("that two long ids share the end of is a conflict only for the short one", () => {
    const memory = new TraceMemory(64, LIFETIME_MS);
    memory.remember(w3c, key("pr-7"), 0);
    memory.remember(other, key("pr-8"), 0);
    expect(ask(memory, w3c, 1)).toBe("found pr-7");
    expect(ask(memory, read("b3", "a3ce929d0e0e4736-00f067aa0ba902b7-1"), 1)).toBe("conflict");
  });

  test("that also came without a key is mixed, in either order", () => {
    const memory = new TraceMemory(64, LIFETIME_MS);
    memory.noteWithoutKey(w3c, 0);
    expect(ask(memory, w3c, 1)).toBe("keyless");
    memory.remember(w3c, key("pr-7"), 1);
    memory.remember(other, key("pr-8"), 1);
    memory.noteWithoutKey(other, 1);
    expect([w3c, other].map((id) => ask(memory, id, 2))).toEqual(["mixed pr-7", "mixed pr-8"]);
  });

  test("is forgotten after its lifetime, which each request prolongs", () => {
    const memory = new TraceMemory(64, LIFETIME_MS);
    memory.remember(w3c, key("pr-7"), 0);
    memory.remember(w3c, key("pr-7"), 900);
    expect(ask(memory, w3c, 1899)).toBe("found pr-7");
    expect(ask(memory, w3c, 1899 + LIFETIME_MS)).toBe("none");
    memory.remember(w3c, key("pr-8"), 3000);
    expect(ask(memory, w3c, 3000)).toBe("found pr-8");
  });

  test("without an id is none", () => {
    const memory = new TraceMemory(64, LIFETIME_MS);
    memory.remember(new TraceId(), key("pr-7"), 0);
    memory.noteWithoutKey(new TraceId(), 0);
    expect(ask(memory, new TraceId(), 0)).toBe("none");
  });
});

test("traces without a key push none with one out", () => {
  const memory = new TraceMemory(8, LIFETIME_MS);
  const keyed = Array.from({ length: 8 }, (_, i) => idOf(traceKinds.traceparent, 1, i + 1));
  for (let i = 1; i <= 100; i++) memory.noteWithoutKey(idOf(traceKinds.traceparent, 2, i), 0);
  for (const id of keyed) memory.remember(id, key("pr-7"), 0);
  for (let i = 1; i <= 100; i++) memory.noteWithoutKey(idOf(traceKinds.traceparent, 3, i), 0);
  expect(keyed.map((id) => ask(memory, id, 1))).toEqual(keyed.map(() => "found pr-7"));
});

test("the trace that was seen longest ago makes room", () => {
  const memory = new TraceMemory(8, LIFETIME_MS);
  const ids = Array.from({ length: 9 }, (_, i) => idOf(traceKinds.traceparent, 1, i + 1));
  ids.slice(0, 8).forEach((id, i) => memory.remember(id, key("pr-7"), i));
  const [first, second, ...rest] = ids;
  if (first === undefined || second === undefined) throw new Error("no ids");
  memory.remember(first, key("pr-7"), 10);
  for (const id of rest) memory.remember(id, key("pr-7"), 11);
  expect(ask(memory, second, 12)).toBe("none");
  expect([first, ...rest].map((id) => ask(memory, id, 12))).toEqual([first, ...rest].map(() => "found pr-7"));
});

/** The same in the simplest way: every id on its own, and a walk over all of them for an answer. */
class Model {
  readonly #entries = new Map<TraceId, { keys: Set<string>; tooLong: boolean; without: boolean; seenMs: number }>();

  note(id: TraceId, text: string | undefined, nowMs: number): void {
    const entry = this.#live(id, nowMs) ?? { keys: new Set(), tooLong: false, without: false, seenMs: 0 };
    if (text === undefined) entry.without = true;
    else if (text.length > 256) entry.tooLong = true;
    else entry.keys.add(text.split(";")[0] ?? "");
    entry.seenMs = nowMs;
    this.#entries.set(id, entry);
  }

  find(id: TraceId, nowMs: number): { verdict: number; keys: Set<string> } {
    const same = [...this.#entries.keys()]
      .filter((one) => sameTrace(one, id))
      .flatMap((one) => this.#live(one, nowMs) ?? []);
    for (const entry of same) entry.seenMs = nowMs;
    const keys = new Set(same.flatMap((entry) => [...entry.keys]));
    if (keys.size > 1 || same.some(({ tooLong }) => tooLong)) return { verdict: conflict, keys };
    if (keys.size === 0) return { verdict: same.some(({ without }) => without) ? keyless : none, keys };
    return { verdict: same.some(({ without }) => without) ? mixed : found, keys };
  }

  #live(id: TraceId, nowMs: number) {
    const entry = this.#entries.get(id);
    return entry !== undefined && nowMs - entry.seenMs < LIFETIME_MS ? entry : undefined;
  }
}

type Step = { readonly id: number; readonly key: number; readonly passMs: number };

/** What happens to some of so many ids with so many keys; key 0 is none. */
function steps(ids: number, keys: number): fc.Arbitrary<Step[]> {
  const step = fc.record({
    id: fc.integer({ min: 0, max: ids - 1 }),
    key: fc.integer({ min: 0, max: keys }),
    passMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: LIFETIME_MS })),
  });
  return fc.array(step, { maxLength: 300 });
}

/** Also where a signed and an unsigned integer of 32 bits end. */
const startMs = fc.constantFrom(0, 2 ** 31 - 2500, 2 ** 32 - 2500, 1e12);

/** One is too long, and two are the same. */
const keyText = (number: number): string =>
  number === 4 ? "k".repeat(300) : number === 5 ? "pr-1;require=checkout" : `pr-${number}`;

function run(
  ids: readonly TraceId[],
  happened: readonly Step[],
  fromMs: number,
  check: (verdict: number, text: string, naive: { verdict: number; keys: Set<string> }) => void,
): void {
  const memory = new TraceMemory(8, LIFETIME_MS);
  const model = new Model();
  const into = new Found();
  let nowMs = fromMs;
  for (const step of happened) {
    nowMs += step.passMs;
    const id = ids[step.id] ?? new TraceId();
    if (step.key === 0) memory.noteWithoutKey(id, nowMs);
    else memory.remember(id, key(keyText(step.key)), nowMs);
    model.note(id, step.key === 0 ? undefined : keyText(step.key), nowMs);
    for (const asked of ids) {
      const verdict = memory.find(asked, nowMs, into);
      check(verdict, textOf(into), model.find(asked, nowMs));
    }
  }
}

test("answers what the simplest memory answers, as long as there is room", () => {
  const { traceparent, b3, requestId } = traceKinds;
  // Eight entries, which is one set.
  const ids = [
    ...[0, 1, 2].map((high) => idOf(traceparent, high, 1)),
    ...[0, 1].map((high) => idOf(b3, high, 2)),
    ...[0, 1, 2].map((high) => idOf(requestId, high, 1)),
  ];
  fc.assert(
    fc.property(steps(ids.length, 5), startMs, (happened, fromMs) => {
      run(ids, happened, fromMs, (verdict, text, naive) => {
        expect(verdict).toBe(naive.verdict);
        if (verdict === found || verdict === mixed) expect([...naive.keys]).toEqual([text.split(";")[0]]);
      });
    }),
  );
});

test("names no wrong key, however little room there is", () => {
  const ids = [0, 1, 2].flatMap((high) =>
    Array.from({ length: 12 }, (_, low) => idOf(high === 2 ? traceKinds.requestId : traceKinds.b3, high, low + 1)),
  );
  fc.assert(
    fc.property(steps(ids.length, 20), startMs, (happened, fromMs) => {
      run(ids, happened, fromMs, (verdict, text, naive) => {
        if (naive.verdict === none) expect(verdict).toBe(none);
        else if (naive.verdict === keyless) expect([none, keyless]).toContain(verdict);
        if (verdict === found || verdict === mixed) expect(naive.keys).toContain(text.split(";")[0]);
      });
    }),
  );
});
