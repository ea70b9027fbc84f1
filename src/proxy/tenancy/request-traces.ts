// Under which traces a request goes: the ids in all fields that hold one, and which of them names it in journal and reports.
import type { RequestView, WatchList } from "../../protocol/context/request-view.ts";
import { TraceId, readTraceId, traceFields, traceKinds } from "../../protocol/context/trace-id.ts";

/** The headers that have to be watched for it. */
export const traceHeaders: readonly string[] = traceFields.map(({ name }) => name);

/** Reads the trace ids of one request at a time. */
export class RequestTraces {
  /** How many ids the request has; the first `count` of `ids` hold them, in the order of the fields. */
  count = 0;
  readonly ids: TraceId[] = [];
  /** The id by the best notation; undefined: the request has none. */
  best: TraceId | undefined = undefined;
  /** By number of the watch list: the notation, or `traceKinds.none`. */
  readonly #kinds: Int8Array;

  constructor(watch: WatchList) {
    this.#kinds = new Int8Array(watch.names.length);
    for (const { name, kind } of traceFields) {
      const number = watch.numberOf(name);
      if (number !== -1) this.#kinds[number] = kind;
    }
  }

  read(view: RequestView): void {
    this.count = 0;
    this.best = undefined;
    for (let i = 0; i < view.count; i++) {
      const kind = this.#kinds[view.numbers[i] as number] as number;
      if (kind === traceKinds.none) continue;
      const id = (this.ids[this.count] ??= new TraceId());
      id.clear();
      const read = readTraceId(
        kind,
        view.sources[i] as Uint8Array,
        view.starts[i] as number,
        view.ends[i] as number,
        id,
      );
      if (!read) continue;
      this.count++;
      // Kinds are numbered in order of preference.
      if (this.best === undefined || kind < this.best.kind) this.best = id;
    }
  }
}
