// The last exchanges that had to do with a routing key, for `GET /journal` and `sidelane trace`.
//
// What callers may rely on: memory is fixed when the journal is made, whatever peers send; `begin` and `end` allocate
// nothing and make no string (bench/micro/journal.ts); an exchange is there from its beginning, so that one that hangs can
// be seen; `end` of an exchange whose place another one has taken meanwhile does nothing. Text that does not fit is cut, and
// its end says so.
//
// One slab with a slot of fixed size per entry holds what differs from request to request, typed arrays the numbers, and
// arrays of strings refer to what is shared anyway: names of services, destinations, reasons. Objects per entry would be
// simpler and would cost the garbage collector a thousand survivors at a time.
import { Buffer } from "node:buffer";
import type { Reason } from "../base/reasons.ts";
import { JournalDraft, NO_ORIGIN } from "./journal-draft.ts";
import type { JournalOrigin, KeyFrom } from "./journal-draft.ts";
import { comparableTrace, isoTime, pathOf } from "./journal-entry.ts";
import type { JournalEntry, JournalFilter, JournalReport } from "./journal-entry.ts";

/** Room in a slot, in bytes. 128-bit ids are 32 hexadecimal digits; the longest ids seen are two UUIDs in a row. */
const KEY_BYTES = 64;
const TRACE_BYTES = 64;
const SPAN_BYTES = 16;
const METHOD_BYTES = 16;
const PATH_BYTES = 96;
const TRACE_AT = KEY_BYTES;
const SPAN_AT = TRACE_AT + TRACE_BYTES;
const METHOD_AT = SPAN_AT + SPAN_BYTES;
const PATH_AT = METHOD_AT + METHOD_BYTES;
const SLOT_BYTES = PATH_AT + PATH_BYTES;

/** Lengths kept per entry: key, trace, span, method, path. One more than fits means that the text was cut. */
const LENGTHS = 5;
/** Below a copy in a loop is faster than the call of `Buffer.copy`. */
const LOOP_BYTES_MAX = 20;
/** Numbers of exchanges start again before they outgrow the small integers of V8. */
const NUMBERS_MAX = 2 ** 30;
/** How far the wall clock may be from where the monotonic one says it is before it is believed to have been set. */
const CLOCK_STEP_MS = 2;
/** Entries show their time in whole microseconds: whoever asks for what began since then wants that entry, too. */
const TIME_ROUNDING_MS = 0.0005;
/** Stands at the end of a text that was cut. */
const CUT = "…";

/** `Uint8Array.set` would need a view of the source for each copy. */
const copyNatively: (this: Uint8Array, to: Uint8Array, at: number, start: number, end: number) => number =
  Buffer.prototype.copy;

/** `grpcStatus` of what is no gRPC call. */
export const NO_GRPC_STATUS = -2;

/** Clocks of a journal; tests give their own. Milliseconds. */
export interface JournalClocks {
  /** That of `JournalDraft.startedMs`. */
  readonly monotonicMs: () => number;
  readonly wallMs: () => number;
  /** What the wall clock said when the monotonic one was at 0. */
  readonly originMs: number;
}

const systemClocks: JournalClocks = {
  monotonicMs: () => performance.now(),
  wallMs: Date.now,
  originMs: performance.timeOrigin,
};

/** A ring of the last `entriesMax` (at least 1) exchanges. */
export class Journal {
  /** To be filled for `begin`; the same object every time. */
  readonly draft = new JournalDraft();
  readonly #entriesMax: number;
  readonly #clocks: JournalClocks;
  /** Numbers are given modulo this; it is a multiple of `entriesMax`, so that a number names its place. */
  readonly #numbersMax: number;
  /** The number of the next entry, and its place. */
  #number = 0;
  #slot = 0;
  /** Entries begun before the present round of the ring. */
  #lapped = 0;
  #originMs: number;
  readonly #slab: Uint8Array;
  /** Number of the entry in each place, -1: none yet. */
  readonly #numbers: Int32Array;
  readonly #lengths: Uint8Array;
  readonly #startedMs: Float64Array;
  /** -1 while it runs. */
  readonly #durationMs: Float64Array;
  readonly #status: Uint16Array;
  readonly #grpcStatus: Int8Array;
  readonly #origins: JournalOrigin[];
  readonly #services: string[];
  readonly #keyFroms: KeyFrom[];
  readonly #destinations: string[];
  readonly #reasons: Reason[];
  readonly #endpoints: string[];

  constructor(entriesMax: number, clocks: JournalClocks = systemClocks) {
    this.#entriesMax = entriesMax;
    this.#clocks = clocks;
    this.#numbersMax = Math.max(1, Math.floor(NUMBERS_MAX / entriesMax)) * entriesMax;
    this.#originMs = clocks.originMs;
    this.#slab = new Uint8Array(entriesMax * SLOT_BYTES);
    this.#numbers = new Int32Array(entriesMax).fill(-1);
    this.#lengths = new Uint8Array(entriesMax * LENGTHS);
    this.#startedMs = new Float64Array(entriesMax);
    this.#durationMs = new Float64Array(entriesMax);
    this.#status = new Uint16Array(entriesMax);
    this.#grpcStatus = new Int8Array(entriesMax);
    this.#origins = filled(entriesMax, NO_ORIGIN);
    this.#services = filled(entriesMax, "");
    this.#keyFroms = filled<KeyFrom>(entriesMax, "");
    this.#destinations = filled(entriesMax, "");
    this.#reasons = filled<Reason>(entriesMax, "no-key");
    this.#endpoints = filled(entriesMax, "");
  }

  /** Writes an entry over the oldest one and returns its number for `end`. */
  begin(draft: JournalDraft): number {
    const slot = this.#slot;
    const number = this.#number;
    this.#numbers[slot] = number;
    this.#startedMs[slot] = draft.startedMs;
    this.#durationMs[slot] = -1;
    this.#status[slot] = 0;
    this.#grpcStatus[slot] = NO_GRPC_STATUS;
    this.#origins[slot] = draft.origin;
    this.#services[slot] = draft.service;
    this.#keyFroms[slot] = draft.keyFrom;
    this.#destinations[slot] = draft.destination;
    this.#reasons[slot] = draft.reason;
    this.#endpoints[slot] = "";
    const slab = this.#slab;
    const lengths = this.#lengths;
    const at = slot * SLOT_BYTES;
    const l = slot * LENGTHS;
    lengths[l] = put(slab, at, KEY_BYTES, draft.keyBytes, draft.keyStart, draft.keyEnd);
    lengths[l + 1] = put(slab, at + TRACE_AT, TRACE_BYTES, draft.traceBytes, draft.traceStart, draft.traceEnd);
    lengths[l + 2] = put(slab, at + SPAN_AT, SPAN_BYTES, draft.spanBytes, draft.spanStart, draft.spanEnd);
    lengths[l + 3] = put(slab, at + METHOD_AT, METHOD_BYTES, draft.methodBytes, draft.methodStart, draft.methodEnd);
    lengths[l + 4] = put(slab, at + PATH_AT, PATH_BYTES, draft.pathBytes, draft.pathStart, draft.pathEnd);
    this.#slot = slot + 1;
    if (this.#slot === this.#entriesMax) {
      this.#slot = 0;
      this.#lapped += this.#entriesMax;
    }
    this.#number = number + 1 === this.#numbersMax ? 0 : number + 1;
    return number;
  }

  /**
   * Completes an entry: what the client was sent, where the exchange went in the end and why. `grpcStatus` is
   * NO_GRPC_STATUS for what is no gRPC call.
   */
  end(
    number: number,
    status: number,
    grpcStatus: number,
    reason: Reason,
    destination: string,
    endpoint: string,
    durationMs: number,
  ): void {
    const slot = number % this.#entriesMax;
    if (this.#numbers[slot] !== number) return;
    this.#status[slot] = status;
    this.#grpcStatus[slot] = grpcStatus;
    this.#reasons[slot] = reason;
    this.#destinations[slot] = destination;
    this.#endpoints[slot] = endpoint;
    this.#durationMs[slot] = durationMs;
  }

  /** The entries that `filter` wants, newest first. */
  read(filter: JournalFilter): JournalEntry[] {
    this.#followWallClock();
    const entries: JournalEntry[] = [];
    const wanted = filter.trace === undefined ? undefined : comparableTrace(shortened(filter.trace));
    const key = filter.key === undefined ? undefined : Buffer.from(filter.key);
    const { kept } = this;
    for (let back = 1; back <= kept && entries.length < filter.limit; back++) {
      const slot = this.#slotBack(back);
      if (key !== undefined && !this.#hasKey(slot, key)) continue;
      if (wanted !== undefined && comparableTrace(this.#traceAt(slot)) !== wanted) continue;
      if (filter.sinceMs !== undefined && this.#wallMs(slot) + TIME_ROUNDING_MS < filter.sinceMs) continue;
      entries.push(this.#entry(slot, back));
    }
    return entries;
  }

  /** The same with what there is to say about the journal itself. */
  report(filter: JournalFilter): JournalReport {
    const entries = this.read(filter);
    const { kept } = this;
    const oldest = kept === 0 ? null : isoTime(this.#wallMs(this.#slotBack(kept)));
    return { entriesMax: this.#entriesMax, kept, oldest, entries };
  }

  /** Entries there are. */
  get kept(): number {
    return this.#lapped > 0 ? this.#entriesMax : this.#slot;
  }

  /** Place of the newest entry but `back - 1`. */
  #slotBack(back: number): number {
    return (this.#slot - back + this.#entriesMax) % this.#entriesMax;
  }

  /** Whether the key, as far as there was room for it, is that of the entry. */
  #hasKey(slot: number, key: Buffer): boolean {
    if (Math.min(key.length, KEY_BYTES + 1) !== this.#lengths[slot * LENGTHS]) return false;
    const at = slot * SLOT_BYTES;
    const length = Math.min(key.length, KEY_BYTES);
    return key.compare(this.#slab, at, at + length, 0, length) === 0;
  }

  #traceAt(slot: number): string {
    return this.#text(slot, 1, TRACE_AT, TRACE_BYTES, "latin1");
  }

  #entry(slot: number, back: number): JournalEntry {
    const origin = this.#origins[slot] ?? NO_ORIGIN;
    const durationMs = this.#durationMs[slot] ?? -1;
    const grpcStatus = this.#grpcStatus[slot] ?? NO_GRPC_STATUS;
    return {
      seq: this.#lapped + this.#slot - back + 1,
      time: isoTime(this.#wallMs(slot)),
      trace: this.#traceAt(slot),
      span: this.#text(slot, 2, SPAN_AT, SPAN_BYTES, "latin1"),
      service: this.#services[slot] ?? "",
      listener: origin.listener,
      direction: origin.direction,
      protocol: origin.protocol,
      method: this.#text(slot, 3, METHOD_AT, METHOD_BYTES, "latin1"),
      path: pathOf(this.#text(slot, 4, PATH_AT, PATH_BYTES, "latin1")),
      key: this.#text(slot, 0, 0, KEY_BYTES, "utf8"),
      keyFrom: this.#keyFroms[slot] ?? "",
      destination: this.#destinations[slot] ?? "",
      reason: this.#reasons[slot] ?? "no-key",
      status: this.#status[slot] ?? 0,
      ...(grpcStatus === NO_GRPC_STATUS ? {} : { grpcStatus }),
      durationMs: durationMs < 0 ? null : Math.round(durationMs * 1000) / 1000,
      endpoint: this.#endpoints[slot] ?? "",
    };
  }

  #text(slot: number, which: number, offset: number, room: number, encoding: "latin1" | "utf8"): string {
    const length = this.#lengths[slot * LENGTHS + which] ?? 0;
    const at = slot * SLOT_BYTES + offset;
    if (length <= room) return Buffer.from(this.#slab.buffer, at, length).toString(encoding);
    // A character that was cut in two is left out.
    return (
      Buffer.from(this.#slab.buffer, at, room)
        .toString(encoding)
        .replace(/\u{FFFD}$/u, "") + CUT
    );
  }

  #wallMs(slot: number): number {
    return this.#originMs + (this.#startedMs[slot] ?? 0);
  }

  /** The wall clock is set now and then; what began before tells the time that it has become. */
  #followWallClock(): void {
    const { wallMs, monotonicMs } = this.#clocks;
    const originMs = wallMs() - monotonicMs();
    if (Math.abs(originMs - this.#originMs) > CLOCK_STEP_MS) this.#originMs = originMs;
  }
}

/** Pushed, not made at its length, so that V8 takes it for an array without holes. */
function filled<T>(length: number, value: T): T[] {
  const array: T[] = [];
  while (array.length < length) array.push(value);
  return array;
}

/** A trace id as it would stand in an entry. */
function shortened(trace: string): string {
  return trace.length <= TRACE_BYTES ? trace : trace.slice(0, TRACE_BYTES) + CUT;
}

/** Copies as much as there is room for; returns the length, or one more than the room when something had to stay out. */
function put(slab: Uint8Array, at: number, room: number, bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  const copied = length > room ? room : length;
  if (copied > LOOP_BYTES_MAX) copyNatively.call(bytes, slab, at, start, start + copied);
  else for (let i = 0; i < copied; i++) slab[at + i] = bytes[start + i] as number;
  return length > room ? room + 1 : length;
}
