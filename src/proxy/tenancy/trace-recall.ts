// The key that a trace came in with, for requests of the same trace that go out without it: the app beside this sidecar has
// dropped it. Reported always, and put back where the config says so and nothing speaks against it.
import { coarse } from "../../base/clock.ts";
import { Found } from "../../protocol/context/found.ts";
import type { RequestView } from "../../protocol/context/request-view.ts";
import { traceKinds } from "../../protocol/context/trace-id.ts";
import type { CompiledTable } from "../../routing/compiled-table.ts";
import type { RequestTraces } from "./request-traces.ts";
import type { Tenancy } from "./tenancy.ts";
import { type TraceMemory, type TraceVerdict, traceVerdicts } from "./trace-memory.ts";

/** What became of a request without a key: nobody knows of one, it was told, it gets the key back. */
export type Recall = "" | "lost" | "restored";

/** Asks the memory of traces on behalf of one listener. */
export class TraceRecall {
  readonly #tenancy: Tenancy;
  readonly #memory: TraceMemory;
  readonly #traces: RequestTraces;
  readonly #one = new Found();

  constructor(tenancy: Tenancy, memory: TraceMemory, traces: RequestTraces) {
    this.#tenancy = tenancy;
    this.#memory = memory;
    this.#traces = traces;
  }

  /** Inbound: notes which key the request's traces came in with; undefined: without one. */
  remember(view: RequestView, key: Found | undefined): void {
    const traces = this.#traces;
    traces.read(view);
    for (let t = 0; t < traces.count; t++) {
      const id = traces.ids[t];
      if (id === undefined) continue;
      if (key === undefined) this.#memory.noteWithoutKey(id, coarse.nowMs);
      else this.#memory.remember(id, key, coarse.nowMs);
    }
  }

  /**
   * Outbound, for a request without a key.
   *
   * @param service the one that is called, by its id in the table: its name is only asked for when there is something to tell.
   * @param key where the key goes that it should have; changed in any case.
   */
  recall(view: RequestView, table: CompiledTable, service: number, key: Found): Recall {
    const { telemetry, config } = this.#tenancy;
    this.#traces.read(view);
    const { best } = this.#traces;
    if (best === undefined) return "";
    const verdict = this.#ask(best.kind === traceKinds.requestId, key);
    if (verdict !== traceVerdicts.found && verdict !== traceVerdicts.mixed) return "";
    const mixed = verdict === traceVerdicts.mixed;
    // A trace that also came in without the key may be without it on purpose: telling is enough.
    const restores = config.tenancy.repair === "restore" && !mixed;
    telemetry.lostKeys?.note(
      {
        service: config.service,
        towards: table.serviceName(service),
        outcome: restores ? "restored" : mixed ? "unsure" : "reported",
        key,
        trace: best,
        method: { bytes: view.methodBytes, start: view.methodStart, end: view.methodEnd },
        path: { bytes: view.targetBytes, start: view.targetStart, end: view.targetEnd },
      },
      coarse.nowMs,
    );
    return restores ? "restored" : "lost";
  }

  /**
   * What all ids of the request say together. One that is known to have come in without a key, or with two, settles it.
   *
   * @param byRequestId request ids count: there are no others. They may be no more than a count, the same for two requests
   * that have nothing to do with each other.
   */
  #ask(byRequestId: boolean, key: Found): TraceVerdict {
    const traces = this.#traces;
    let verdict: TraceVerdict = traceVerdicts.none;
    for (let t = 0; t < traces.count; t++) {
      const id = traces.ids[t];
      if (id === undefined || (id.kind === traceKinds.requestId) !== byRequestId) continue;
      const says = this.#memory.find(id, coarse.nowMs, this.#one);
      if (says === traceVerdicts.conflict || says === traceVerdicts.keyless) return says;
      if (says === traceVerdicts.none) continue;
      if (verdict !== traceVerdicts.none && !sameKey(key, this.#one)) return traceVerdicts.conflict;
      key.setAll(this.#one);
      if (verdict !== traceVerdicts.mixed) verdict = says;
    }
    return verdict;
  }
}

function sameKey(a: Found, b: Found): boolean {
  if (a.end - a.start !== b.end - b.start) return false;
  for (let i = 0; i < a.end - a.start; i++) if (a.bytes[a.start + i] !== b.bytes[b.start + i]) return false;
  return true;
}
