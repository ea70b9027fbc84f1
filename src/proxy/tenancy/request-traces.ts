// Under which traces a request goes: the ids in all fields that hold one, and which of them names it in journal and reports.
import type { RequestView, WatchList } from "../../protocol/context/request-view.ts";
import { TraceId, readTraceId, traceFields, traceKinds } from "../../protocol/context/trace-id.ts";
import { PARENT_ID, PARENT_ID_END, TRACE_ID, TRACE_ID_END, isTraceparent } from "../../protocol/context/traceparent.ts";

/** The headers that have to be watched for it. */
export const traceHeaders: readonly string[] = traceFields.map(({ name }) => name);

/**
 * Reads the trace ids of one request at a time: `forget` before each, then whoever needs ids asks. Most requests need none, or one
 * to show, and a hash of a request id alone would be a third of what finding the key costs.
 */
export class RequestTraces {
  /** How many ids the request has, one of a kind at most; the first `count` of `ids` hold them, in the order of the fields. Only after `read`. */
  count = 0;
  readonly ids: TraceId[] = [];
  /** The id by the best notation; undefined: the request has none. Only after `read`. */
  best: TraceId | undefined = undefined;
  #hasRead = false;
  readonly #shown = new TraceId();
  /** By number of the watch list: the notation, or `traceKinds.none`. */
  readonly #kinds: Int8Array;

  constructor(watch: WatchList) {
    this.#kinds = new Int8Array(watch.names.length);
    for (const { name, kind } of traceFields) {
      const number = watch.numberOf(name);
      if (number !== -1) this.#kinds[number] = kind;
    }
  }

  /** Nothing is known of the next request. */
  forget(): void {
    this.#hasRead = false;
  }

  /** Reads all ids. */
  read(view: RequestView): void {
    this.#hasRead = true;
    this.count = 0;
    this.best = undefined;
    let seen = 0;
    for (let i = 0; i < view.count; i++) {
      const kind = this.#kinds[view.numbers[i] as number] as number;
      if (kind === traceKinds.none || (seen & (1 << kind)) !== 0) continue;
      seen |= 1 << kind;
      const id = (this.ids[this.count] ??= new TraceId());
      id.clear();
      if (!readField(view, i, kind, id)) continue;
      this.count++;
      // Kinds are numbered in order of preference.
      if (this.best === undefined || kind < this.best.kind) this.best = id;
    }
  }

  /** The best id, to be shown: of a `traceparent` the words may be missing. Undefined: the request has none. */
  toShow(view: RequestView): TraceId | undefined {
    if (this.#hasRead) return this.best;
    let tried: number = traceKinds.none;
    for (;;) {
      const kind = this.#kindAbove(view, tried);
      if (kind === traceKinds.none) return undefined;
      for (let i = 0; i < view.count; i++) {
        if (this.#kinds[view.numbers[i] as number] !== kind) continue;
        if (kind === traceKinds.traceparent ? this.#showTraceparent(view, i) : readField(view, i, kind, this.#shown)) {
          return this.#shown;
        }
      }
      tried = kind;
    }
  }

  /** The next notation by preference that some field has; `none`: there is none left. */
  #kindAbove(view: RequestView, tried: number): number {
    let next: number = traceKinds.none;
    for (let i = 0; i < view.count; i++) {
      const kind = this.#kinds[view.numbers[i] as number] as number;
      if (kind > tried && (next === traceKinds.none || kind < next)) next = kind;
    }
    return next;
  }

  #showTraceparent({ sources, starts, ends }: RequestView, at: number): boolean {
    const bytes = sources[at] as Uint8Array;
    const start = starts[at] as number;
    if (!isTraceparent(bytes, start, ends[at] as number)) return false;
    const shown = this.#shown;
    shown.kind = traceKinds.traceparent;
    shown.bytes = bytes;
    shown.start = start + TRACE_ID;
    shown.end = start + TRACE_ID_END;
    shown.spanStart = start + PARENT_ID;
    shown.spanEnd = start + PARENT_ID_END;
    return true;
  }
}

function readField({ sources, starts, ends }: RequestView, at: number, kind: number, into: TraceId): boolean {
  return readTraceId(kind, sources[at] as Uint8Array, starts[at] as number, ends[at] as number, into);
}
