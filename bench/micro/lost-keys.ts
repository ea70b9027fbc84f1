// The lost-key detector: what a request pays for it, inbound (remember) and outbound (find), and what a lost key costs.
import { Buffer } from "node:buffer";
import { silentLog } from "../../src/base/log.ts";
import { Found } from "../../src/protocol/context/found.ts";
import { readTraceId, TraceId, traceKinds } from "../../src/protocol/context/trace-id.ts";
import { TraceMemory, traceVerdicts } from "../../src/proxy/tenancy/trace-memory.ts";
import { LostKeys } from "../../src/telemetry/lost-keys.ts";
import type { Bench } from "./measure.ts";

const ENTRIES = 16_384;
const LIFETIME_MS = 60_000;

const key = range("sidelane=pr-1234", "sidelane=".length);

function range(text: string, from = 0): Found {
  const found = new Found();
  const bytes = Buffer.from(text);
  found.set(bytes, from, bytes.length);
  return found;
}

/** As tracers make them: 128 random bits; a generator of our own, so that every run has the same. */
function randomIds(count: number): TraceId[] {
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state ^ (state >>> 16);
  };
  return Array.from({ length: count }, () => {
    const id = new TraceId();
    id.kind = traceKinds.traceparent;
    [id.w0, id.w1, id.w2, id.w3] = [next(), next(), next(), next()];
    return id;
  });
}

/** A memory in which half of the entries are taken, so that no set is full, and the ids it has. */
function filled(): { memory: TraceMemory; ids: TraceId[] } {
  const memory = new TraceMemory(ENTRIES, LIFETIME_MS);
  const ids = randomIds(ENTRIES / 2);
  for (const id of ids) memory.remember(id, key, 0);
  return { memory, ids };
}

/** `verdict`: what the memory says about nearly all of the ids; a set can always be too small for those that chance puts there. */
function bench(
  name: string,
  verdict: number,
  memory: TraceMemory,
  ids: readonly TraceId[],
  act: (memory: TraceMemory, id: TraceId, into: Found) => number,
): Bench {
  const into = new Found();
  return {
    name: `lost keys: ${name}`,
    run(iterations: number): void {
      let at = 0;
      let as = 0;
      for (let i = 0; i < iterations; i++) {
        if (act(memory, ids[at] as TraceId, into) === verdict) as++;
        if (++at === ids.length) at = 0;
      }
      if (as < iterations * 0.95) throw new Error(`${name}: ${verdict} only ${as} times of ${iterations}`);
    },
  };
}

function remember(memory: TraceMemory, id: TraceId): number {
  memory.remember(id, key, 1);
  return traceVerdicts.found;
}

function noteWithoutKey(memory: TraceMemory, id: TraceId): number {
  memory.noteWithoutKey(id, 1);
  return traceVerdicts.none;
}

function find(memory: TraceMemory, id: TraceId, into: Found): number {
  return memory.find(id, 1, into);
}

function readIds(): Bench {
  const value = Buffer.from("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  const start = "traceparent: ".length;
  const id = new TraceId();
  return {
    name: "lost keys: read traceparent",
    run(iterations: number): void {
      let hits = 0;
      for (let i = 0; i < iterations; i++)
        if (readTraceId(traceKinds.traceparent, value, start, value.length, id)) hits++;
      if (hits !== iterations) throw new Error(`${hits} ids in ${iterations} values`);
    },
  };
}

function note(): Bench {
  const lostKeys = new LostKeys(silentLog, { repair: "report", peersMax: 200, logMs: 60_000 });
  const lost = {
    service: "checkout",
    towards: "payments",
    outcome: "reported",
    key,
    trace: range("4bf92f3577b34da6a3ce929d0e0e4736"),
    method: range("GET"),
    path: range("/pay"),
  } as const;
  return {
    name: "lost keys: note a loss",
    run(iterations: number): void {
      for (let i = 0; i < iterations; i++) lostKeys.note(lost, 1);
    },
  };
}

const half = filled();
const few = filled();
const full = new TraceMemory(ENTRIES, LIFETIME_MS);

/** One entry per case. */
export const benches: readonly Bench[] = [
  readIds(),
  bench("remember, known trace", traceVerdicts.found, few.memory, few.ids.slice(0, 64), remember),
  bench("remember, new traces, full memory", traceVerdicts.found, full, randomIds(8 * ENTRIES), remember),
  bench("note without key", traceVerdicts.none, new TraceMemory(ENTRIES, LIFETIME_MS), randomIds(64), noteWithoutKey),
  bench("find, known trace", traceVerdicts.found, few.memory, few.ids.slice(0, 64), find),
  bench("find, any of 8192 traces", traceVerdicts.found, half.memory, half.ids, find),
  bench("find, unknown trace", traceVerdicts.none, half.memory, randomIds(ENTRIES).slice(ENTRIES / 2), find),
  note(),
];
