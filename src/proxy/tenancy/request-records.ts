// What is kept of a request beyond its end, begun while its head is there: an entry in the journal, and a span when the caller
// has its trace sampled. One for each listener and HTTP version.
import { turnNowMs } from "../../base/clock.ts";
import type { ListenerConfig } from "../../config/proxy-config.ts";
import { latin1, textOf } from "../../protocol/bytes.ts";
import { isSampledTraceparent, rewriteTraceparent } from "../../protocol/context/sampled-traceparent.ts";
import { TRACEPARENT_BYTES } from "../../protocol/context/traceparent.ts";
import type { RequestView } from "../../protocol/context/request-view.ts";
import type { Decision } from "../../routing/decide.ts";
import type { Reason } from "../../base/reasons.ts";
import type { JournalOrigin } from "../../telemetry/journal-draft.ts";
import type { Span } from "../../telemetry/spans/span.ts";
import type { Tenancy } from "./tenancy.ts";
import type { Tenant } from "./tenant.ts";

const NO_BYTES = new Uint8Array(0);
/** Of one text in a span: thousands of them wait for the collector. More than is shown of any. */
const TEXT_BYTES_MAX = 2048;
const QUESTION_MARK = 0x3f;

/** The records of one listener's requests. */
export class RequestRecords {
  /** Where the last request stands in the journal; -1: nowhere. */
  journalAt = -1;
  /** The span of the last request; undefined: it has none. */
  span: Span | undefined = undefined;
  readonly #tenancy: Tenancy;
  readonly #tenant: Tenant;
  readonly #origin: JournalOrigin;
  readonly #listener: ListenerConfig;
  readonly #traceparent: number;
  readonly #userAgent: number;

  constructor(listener: ListenerConfig, tenancy: Tenancy, tenant: Tenant, protocol: JournalOrigin["protocol"]) {
    this.#listener = listener;
    this.#tenancy = tenancy;
    this.#tenant = tenant;
    this.#origin = { listener: listener.name, direction: listener.direction, protocol };
    this.#traceparent = tenancy.watch.numberOf("traceparent");
    this.#userAgent = tenancy.watch.numberOf("user-agent");
  }

  /**
   * Begins what is to be kept of a request that was decided.
   *
   * @param reason the decision's, or why nothing is forwarded.
   * @param client address and port of the caller.
   */
  begin(view: RequestView, decision: Decision, reason: Reason, client: string): void {
    const { spans, telemetry } = this.#tenancy;
    this.journalAt = -1;
    this.span = undefined;
    // What passes through stays as it is, its trace too.
    if (spans !== undefined && decision.reason !== "not-in-table") this.#beginSpan(view, client);
    if (telemetry.journal !== undefined) this.#beginEntry(view, decision, reason);
  }

  #beginEntry(view: RequestView, decision: Decision, reason: Reason): void {
    const { journal } = this.#tenancy.telemetry;
    const { keyFrom, key, rejection, traces } = this.#tenant;
    if (journal === undefined || (keyFrom === "" && rejection === "")) return;
    const { draft } = journal;
    draft.origin = this.#origin;
    draft.service = decision.service === "" ? hostOf(view) : decision.service;
    draft.destination = decision.destination;
    draft.reason = reason;
    draft.startedMs = turnNowMs();
    // A token that does not count is nobody's key, and a secret perhaps.
    if (rejection === "") draft.setKey(keyFrom, key.bytes, key.start, key.end);
    else draft.setKey("", NO_BYTES, 0, 0);
    const best = traces.toShow(view);
    if (best === undefined) {
      draft.setTrace(NO_BYTES, 0, 0);
      draft.setSpan(NO_BYTES, 0, 0);
    } else {
      draft.setTrace(best.bytes, best.start, best.end);
      draft.setSpan(best.bytes, best.spanStart, best.spanEnd);
    }
    if (this.span !== undefined && this.#listener.direction === "outbound") {
      // The next sidecar hears of this span, not of the app's.
      draft.setSpan(latin1(this.span.id), 0, this.span.id.length);
    }
    draft.setMethod(view.methodBytes, view.methodStart, view.methodEnd);
    draft.setPath(view.targetBytes, view.targetStart, view.targetEnd);
    this.journalAt = journal.begin(draft);
  }

  #beginSpan(view: RequestView, client: string): void {
    const at = view.indexOf(this.#traceparent);
    // Two of them are none (W3C Trace Context §3.2.1).
    if (at === -1 || view.indexOf(this.#traceparent, at + 1) !== -1) return;
    const bytes = view.sources[at] as Uint8Array;
    const start = view.starts[at] as number;
    if (!isSampledTraceparent(bytes, start, view.ends[at] as number)) return;
    const { key, keyFrom, rejection } = this.#tenant;
    const hasKey = keyFrom !== "" && keyFrom !== "lost" && rejection === "";
    const agent = view.indexOf(this.#userAgent);
    const request = {
      direction: this.#listener.direction,
      method: beginningOf(view.methodBytes, view.methodStart, view.methodEnd),
      scheme: view.portDefault === 443 || this.#listener.tls !== undefined ? ("https" as const) : ("http" as const),
      host: view.hostEnd > view.hostStart ? beginningOf(view.hostBytes, view.hostStart, view.hostEnd) : "",
      port: view.hostPort,
      target: beginningOf(view.targetBytes, view.targetStart, endOfPath(view)),
      protocolVersion: view.protocol.slice(5),
      client,
      key: hasKey
        ? new TextDecoder().decode(key.bytes.subarray(key.start, Math.min(key.end, key.start + TEXT_BYTES_MAX)))
        : "",
      userAgent:
        agent === -1
          ? ""
          : beginningOf(view.sources[agent] as Uint8Array, view.starts[agent] as number, view.ends[agent] as number),
      isGrpc: view.isGrpc,
    };
    this.span = this.#tenancy.spans?.begin(bytes, start, request, turnNowMs());
    if (this.span === undefined) return;
    const value = new Uint8Array(TRACEPARENT_BYTES);
    rewriteTraceparent(bytes, start, this.span.id, value, 0);
    this.#tenant.amendment.replace(at, value);
  }
}

/** No name is longer than 255 bytes (RFC 1035 §3.1), whatever stands in Host. */
function hostOf({ hostBytes, hostStart, hostEnd }: RequestView): string {
  return hostEnd > hostStart ? textOf(hostBytes, hostStart, Math.min(hostEnd, hostStart + 255)) : "";
}

function beginningOf(bytes: Uint8Array, start: number, end: number): string {
  return textOf(bytes, start, Math.min(end, start + TEXT_BYTES_MAX));
}

function endOfPath({ targetBytes, targetStart, targetEnd }: RequestView): number {
  // Not `indexOf`: it would go on to the end of the bytes, which in HTTP/1.1 are all that a connection has read.
  let at = targetStart;
  while (at < targetEnd && targetBytes[at] !== QUESTION_MARK) at++;
  return at;
}
