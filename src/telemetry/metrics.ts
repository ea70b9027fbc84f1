// What callers may rely on: recording an exchange allocates nothing and touches no label; labels become text only when
// somebody scrapes. The set of label values is bounded (sandboxes by `sandboxLabelsMax`, services by SERVICE_LABELS_MAX,
// gRPC methods by `grpcMethodLabelsMax`, the rest by closed lists), whatever peers send and however often the table changes.
import type { Registry } from "prom-client";
import { defaultLimits } from "../base/limits.ts";
import type { Reason } from "../base/reasons.ts";
import { EventLoopDelay } from "./event-loop-delay.ts";
import { countSamples, expose, histogramSamples, type Sample } from "./exposition.ts";
import { GrpcMethods, GrpcStats } from "./grpc-stats.ts";
import { DurationHistogram } from "./histogram.ts";
import { Journal } from "./journal.ts";
import { KeysStripped, KeysWritten } from "./key-stats.ts";
import type { LostKeys } from "./lost-keys.ts";
import { metricInfos } from "./metric-infos.ts";
import { exposeProcess } from "./process-metrics.ts";
import { SpanStats } from "./spans/stats.ts";
import { TlsStats } from "./tls-stats.ts";

/** The label value that sandboxes beyond the cap, and whatever has no name in the table, are counted under. */
const OTHER = "other";
/** The label value of `service` and `destination` for what was refused before it had one. */
const NONE = "none";
/** Services come from the operator's table; this stops a table that renames its services for ever. */
const SERVICE_LABELS_MAX = 1000;

/** Which way an exchange went (DESIGN §2). */
export type Direction = "inbound" | "outbound";
/** What became of one attempt to load a table: content published, the same as before, invalid, or not readable. */
export type TableReloadResult = "applied" | "unchanged" | "rejected" | "unreadable";

/** Limits against floods that a peer of an HTTP/2 connection can exceed; docs/metrics.md says which is which. */
export const HTTP2_ABUSE_KINDS = [
  "reset",
  "continuation",
  "control",
  "empty-frame",
  "header-list",
  "stalled",
  "outgoing-control",
] as const;
/** One of them: the value of the label `kind`. */
export type AbuseKind = (typeof HTTP2_ABUSE_KINDS)[number];

/** What is fixed about one route's numbers, as label values. */
export interface RouteLabels {
  readonly service: string;
  readonly direction: Direction;
  readonly protocol: string;
  readonly destination: string;
  readonly reason: Reason;
}

const FIRST_CODES = 4;

/** Numbers of one (service, direction, protocol, destination, reason). Plain fields and typed arrays: recording allocates nothing. */
export class RouteStats {
  readonly labels: RouteLabels;
  /** Exchanges that are running now; the data plane adds and subtracts. */
  active = 0;
  readonly duration = new DurationHistogram();
  // A route sees a handful of status codes, nearly always the one it saw last: two short parallel arrays instead of a
  // counter for each possible code, which would cost 4 KB per route. Slot 0 counts the invalid ones.
  #codes = new Uint16Array(FIRST_CODES);
  #counts = new Float64Array(FIRST_CODES);
  #used = 1;
  #last = 0;

  constructor(labels: RouteLabels) {
    this.labels = labels;
  }

  /** Counts one finished exchange: the status code the client was sent (or would have been), its duration in milliseconds. */
  record(status: number, durationMs: number): void {
    if (this.#codes[this.#last] !== status) this.#last = this.#slot(status);
    this.#counts[this.#last] = (this.#counts[this.#last] ?? 0) + 1;
    this.duration.observe(durationMs);
  }

  /** [code, count] of every code seen. For the scrape. */
  codes(): [code: string, count: number][] {
    return Array.from(this.#counts.subarray(0, this.#used), (count, slot) => {
      const code = this.#codes[slot] ?? 0;
      return [code === 0 ? OTHER : String(code), count] as [string, number];
    }).filter(([, count]) => count > 0);
  }

  #slot(status: number): number {
    // RFC 9110 §15: codes outside 100..599 are invalid. An endpoint could send all thousand of them: one cell for the lot.
    if (!(status >= 100 && status <= 599)) return 0;
    const used = this.#used;
    for (let slot = 1; slot < used; slot++) if (this.#codes[slot] === status) return slot;
    if (used === this.#codes.length) {
      const codes = new Uint16Array(used * 2);
      const counts = new Float64Array(used * 2);
      codes.set(this.#codes);
      counts.set(this.#counts);
      this.#codes = codes;
      this.#counts = counts;
    }
    this.#codes[used] = status;
    this.#used = used + 1;
    return used;
  }
}

/** What the upstream pools report. They write the fields; nothing here derives them. */
class UpstreamStats {
  connectionsIdle = 0;
  connectionsActive = 0;
  connectionsConnecting = 0;
  /** Milliseconds from the attempt to the established connection. */
  readonly connect = new DurationHistogram();
}

/** How a `Telemetry` differs from the usual. */
export interface TelemetryOptions {
  /** `limits.sandboxLabelsMax`. */
  readonly sandboxLabelsMax: number;
  /** `limits.grpcMethodLabelsMax`; the default of that limit. */
  readonly grpcMethodLabelsMax?: number;
  /** `limits.journalEntriesMax`. Default 0: no journal. */
  readonly journalEntriesMax?: number;
  /** Milliseconds of a monotonic clock; read at scrape and when a table is published. */
  readonly nowMs?: () => number;
  /** CPU, memory, files, garbage collection, event loop. On by default; tests that make many instances switch it off. */
  readonly processMetrics?: boolean;
}

/** One process's numbers, JSON-serialisable: what a worker sends to whoever answers the scrape. */
export type TelemetrySnapshot = readonly object[];

/** All numbers of one process. */
export class Telemetry {
  readonly upstream = new UpstreamStats();
  readonly tls = new TlsStats();
  readonly spans = new SpanStats();
  /** The last exchanges with a routing key; undefined when none are to be remembered. */
  readonly journal: Journal | undefined;
  /** Requests sent again on a fresh connection. */
  retries = 0;
  /** How often each limit against floods was exceeded; whoever enforces one adds to it. */
  readonly http2Abuse: Record<AbuseKind, number> = {
    reset: 0,
    continuation: 0,
    control: 0,
    "empty-frame": 0,
    "header-list": 0,
    stalled: 0,
    "outgoing-control": 0,
  };
  readonly keysWritten = new KeysWritten();
  readonly keysStripped = new KeysStripped();
  /** Changes of the files of signing keys. */
  readonly signingKeyReloads = { applied: 0, rejected: 0 };
  /** The lost-key detector, where there is one. */
  lostKeys: LostKeys | undefined = undefined;
  readonly tableReloads: Record<TableReloadResult, number> = { applied: 0, unchanged: 0, rejected: 0, unreadable: 0 };
  /** Sandboxes that get a label of their own; lowering it takes no label away that was given. */
  sandboxLabelsMax: number;
  #tableVersion = 0;
  #tablePublishedAtMs = Number.NaN;
  #tableStale = false;
  /** Undefined where there is no control plane. */
  #tableFeed: { readonly revision: number; readonly connected: boolean } | undefined = undefined;
  readonly #routes = new Map<string, RouteStats>();
  readonly #grpc = new Map<string, GrpcStats>();
  readonly #grpcMethods: GrpcMethods;
  readonly #sandboxes = new Set<string>();
  readonly #services = new Set<string>();
  #registry: Promise<Registry> | undefined;
  readonly #processMetrics: boolean;
  readonly #nowMs: () => number;
  readonly #eventLoopDelay: EventLoopDelay | undefined;

  constructor(options: TelemetryOptions) {
    this.sandboxLabelsMax = options.sandboxLabelsMax;
    const { journalEntriesMax = 0 } = options;
    this.journal = journalEntriesMax > 0 ? new Journal(journalEntriesMax) : undefined;
    this.#grpcMethods = new GrpcMethods(options.grpcMethodLabelsMax ?? defaultLimits.grpcMethodLabelsMax);
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#processMetrics = options.processMetrics ?? true;
    this.#eventLoopDelay = this.#processMetrics ? new EventLoopDelay() : undefined;
  }

  /** Content type of what `scrape` and `mergeAndFormat` produce. */
  readonly contentType = "text/plain; version=0.0.4; charset=utf-8";

  /**
   * The stats of one label tuple, the same object each time. Not for every request: ask once per route and keep it as long
   * as the table it came from. `destination` is `baseline`, `passthrough`, a sandbox's name, or "" when there was none;
   * `service` may be "" too.
   */
  routeStats(service: string, direction: Direction, protocol: string, destination: string, reason: Reason): RouteStats {
    const labels: RouteLabels = {
      service: this.#serviceLabel(service, destination),
      direction,
      protocol,
      destination: this.#destinationLabel(destination),
      reason,
    };
    const key = JSON.stringify([labels.service, direction, protocol, labels.destination, reason]);
    let stats = this.#routes.get(key);
    if (stats === undefined) {
      stats = new RouteStats(labels);
      this.#routes.set(key, stats);
    }
    return stats;
  }

  /** The gRPC counts of a route, the same object each time; ask for it as for `routeStats`, with the same values. */
  grpcStats(service: string, direction: Direction, destination: string): GrpcStats {
    const labels = {
      service: this.#serviceLabel(service, destination),
      direction,
      destination: this.#destinationLabel(destination),
    };
    const key = JSON.stringify([labels.service, direction, labels.destination]);
    let stats = this.#grpc.get(key);
    if (stats === undefined) {
      stats = new GrpcStats(labels, this.#grpcMethods);
      this.#grpc.set(key, stats);
    }
    return stats;
  }

  /** A table took effect. Its age counts from now. */
  tablePublished(version: number): void {
    this.#tableVersion = version;
    this.#tablePublishedAtMs = this.#nowMs();
  }

  /** How the table in use and the control plane that it comes from stand. */
  tableFed(revision: number, connected: boolean): void {
    this.#tableFeed = { revision, connected };
  }

  /** One attempt to load a table ended; until one ends well again, a failed one leaves the table stale. */
  recordTableReload(result: TableReloadResult): void {
    this.tableReloads[result]++;
    this.#tableStale = result === "rejected" || result === "unreadable";
  }

  /**
   * Forgets the sandboxes that `exists` denies, which frees their labels: without it the first hundred pull requests would
   * keep all labels for ever. Call it after a table was published. Routes with running exchanges stay until the next call.
   */
  retainSandboxes(exists: (sandbox: string) => boolean): void {
    const gone = new Set([...this.#sandboxes].filter((sandbox) => !exists(sandbox)));
    if (gone.size === 0) return;
    const busy = new Set<string>();
    for (const { labels, active } of this.#routes.values()) {
      if (active > 0 && gone.has(labels.destination)) busy.add(labels.destination);
    }
    for (const all of [this.#routes, this.#grpc]) {
      for (const [key, { labels }] of all) {
        if (gone.has(labels.destination) && !busy.has(labels.destination)) all.delete(key);
      }
    }
    for (const sandbox of gone) if (!busy.has(sandbox)) this.#sandboxes.delete(sandbox);
  }

  /** The Prometheus text of this process. */
  async scrape(): Promise<string> {
    return (await this.#exposed()).metrics();
  }

  /** The numbers of this process for `mergeAndFormat`, as they are now. */
  async snapshot(): Promise<TelemetrySnapshot> {
    return (await this.#exposed()).getMetricsAsJSON();
  }

  /** The Prometheus text of several processes as one: counters added, gauges added or their greatest, as `aggregator` says. */
  static async mergeAndFormat(snapshots: readonly TelemetrySnapshot[]): Promise<string> {
    const { AggregatorRegistry } = await import("prom-client");
    return AggregatorRegistry.aggregate(snapshots.map((snapshot) => [...snapshot])).metrics();
  }

  /** Names of all metrics exposed. */
  async metricNames(): Promise<string[]> {
    return (await this.#exposed()).getMetricsAsArray().map((metric) => metric.name);
  }

  /** Stops watching the event loop. */
  close(): void {
    this.#eventLoopDelay?.close();
  }

  #serviceLabel(service: string, destination: string): string {
    // What passes through is named by the client's Host: unbounded, and not a service (DESIGN §3.4 step 1).
    if (destination === "passthrough") return OTHER;
    return service === "" ? NONE : admit(this.#services, service, SERVICE_LABELS_MAX);
  }

  #destinationLabel(destination: string): string {
    if (destination === "") return NONE;
    if (destination === "baseline" || destination === "passthrough") return destination;
    return admit(this.#sandboxes, destination, this.sandboxLabelsMax);
  }

  /**
   * The registry, made at the first scrape: a quarter of the memory of an idle sidecar is prom-client and what it pulls in,
   * and not every sidecar is scraped. Sidelane's own numbers are complete all the same; those of garbage collection begin
   * with the first scrape.
   */
  #exposed(): Promise<Registry> {
    this.#registry ??= import("prom-client").then(({ Registry: RegistryClass, collectDefaultMetrics }) => {
      const registry = new RegistryClass();
      this.#exposeAll(registry);
      if (this.#processMetrics) exposeProcess(registry, collectDefaultMetrics);
      return registry;
    });
    return this.#registry;
  }

  #exposeAll(registry: Registry): void {
    const { upstream, tls, tableReloads, http2Abuse } = this;
    const add = (name: keyof typeof metricInfos, read: () => Sample[]): void =>
      expose(registry, name, metricInfos[name], read);

    add("sidelane_requests_total", () =>
      this.#eachRoute(({ labels }, stats) =>
        stats.codes().map(([code, value]) => ({ labels: { ...labels, code }, value })),
      ),
    );
    add("sidelane_request_duration_seconds", () =>
      this.#eachRoute(({ labels }, { duration }) =>
        duration.count === 0 ? [] : histogramSamples("sidelane_request_duration_seconds", labels, duration),
      ),
    );
    add("sidelane_active_requests", () => this.#activeSamples());
    add("sidelane_grpc_requests_total", () => [...this.#grpc.values()].flatMap((stats) => stats.samples()));
    add("sidelane_upstream_connections", () => [
      { labels: { state: "idle" }, value: upstream.connectionsIdle },
      { labels: { state: "active" }, value: upstream.connectionsActive },
      { labels: { state: "connecting" }, value: upstream.connectionsConnecting },
    ]);
    add("sidelane_upstream_connect_seconds", () =>
      histogramSamples("sidelane_upstream_connect_seconds", {}, upstream.connect),
    );
    add("sidelane_retries_total", () => [{ labels: {}, value: this.retries }]);
    add("sidelane_http2_abuse_total", () =>
      HTTP2_ABUSE_KINDS.map((kind) => ({ labels: { kind }, value: http2Abuse[kind] })),
    );
    add("sidelane_lost_keys_total", () => this.lostKeys?.samples() ?? []);
    add("sidelane_keys_written_total", () => countSamples("source", this.keysWritten));
    add("sidelane_keys_stripped_total", () => countSamples("where", this.keysStripped));
    add("sidelane_signing_key_reloads_total", () => countSamples("result", this.signingKeyReloads));
    add("sidelane_spans_total", () => [{ labels: {}, value: this.spans.exported }]);
    add("sidelane_spans_dropped_total", () => [{ labels: {}, value: this.spans.dropped }]);
    add("sidelane_tls_handshakes_total", () =>
      (["downstream", "upstream"] as const).flatMap((side) =>
        Object.entries(tls.handshakes[side]).map(([result, value]) => ({ labels: { side, result }, value })),
      ),
    );
    add("sidelane_tls_reloads_total", () => countSamples("result", tls.reloads));
    add("sidelane_tls_certificate_expiry_timestamp_seconds", () =>
      [...tls.notAfterMs].map(([certificate, atMs]) => ({ labels: { certificate }, value: atMs / 1000 })),
    );
    add("sidelane_table_version", () => [{ labels: {}, value: this.#tableVersion }]);
    add("sidelane_table_reloads_total", () => countSamples("result", tableReloads));
    // No sample before the first table: nothing has no age.
    add("sidelane_table_age_seconds", () =>
      Number.isNaN(this.#tablePublishedAtMs)
        ? []
        : [{ labels: {}, value: (this.#nowMs() - this.#tablePublishedAtMs) / 1000 }],
    );
    add("sidelane_table_stale", () => [{ labels: {}, value: Number(this.#tableStale) }]);
    const feed = (value: number | undefined): Sample[] => (value === undefined ? [] : [{ labels: {}, value }]);
    add("sidelane_table_revision", () => feed(this.#tableFeed?.revision));
    add("sidelane_table_connected", () => feed(this.#tableFeed && Number(this.#tableFeed.connected)));
    add("sidelane_event_loop_delay_seconds", () => this.#eventLoopDelay?.samples() ?? []);
  }

  #eachRoute(samples: (route: { readonly labels: Record<string, string> }, stats: RouteStats) => Sample[]): Sample[] {
    return [...this.#routes.values()].flatMap((stats) => samples({ labels: { ...stats.labels } }, stats));
  }

  /** Without `reason`: whether an exchange fails, and how, is known only at its end. */
  #activeSamples(): Sample[] {
    const sums = new Map<string, { labels: Record<string, string>; value: number }>();
    for (const stats of this.#routes.values()) {
      const { service, direction, protocol, destination } = stats.labels;
      const key = JSON.stringify([service, direction, protocol, destination]);
      const sum = sums.get(key);
      if (sum === undefined)
        sums.set(key, { labels: { service, direction, protocol, destination }, value: stats.active });
      else sum.value += stats.active;
    }
    return [...sums.values()];
  }
}

/** `name` if it is among the first `max`, else the overflow label. */
function admit(names: Set<string>, name: string, max: number): string {
  if (names.has(name)) return name;
  if (names.size >= max) return OTHER;
  names.add(name);
  return name;
}
