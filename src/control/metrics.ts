// What a replica of the control plane counts, as Prometheus text. Counted in place, and read at the scrape; nothing is lost
// when nobody scrapes.

import { Registry, collectDefaultMetrics } from "prom-client";
import { EventLoopDelay } from "../telemetry/event-loop-delay.ts";
import { type MetricInfo, type Sample, countSamples, expose } from "../telemetry/exposition.ts";
import { exposeProcess } from "../telemetry/process-metrics.ts";
import type { SessionInfo } from "./connect/options.ts";
import type { FeedStats } from "./feed/feed-stats.ts";
import type { FeedServer } from "./feed/server.ts";
import type { Sidecars } from "./feed/sidecars.ts";
import type { ControlState } from "./state.ts";

const SUM = "sum";

/** Every metric of a control replica's own; the process metrics of prom-client come on top. docs/metrics.md lists both. */
export const controlMetricInfos = {
  sidelane_control_revision: {
    type: "gauge",
    labels: [],
    help: "Revision of the table that this replica knows.",
    aggregator: "max",
  },
  sidelane_control_resources: {
    type: "gauge",
    labels: ["kind"],
    help: "Services, sandboxes and groups.",
    aggregator: "max",
  },
  sidelane_control_store_reachable: {
    type: "gauge",
    labels: [],
    help: "1 while the store can be reached; 0: reads go on, nothing can be written.",
    aggregator: "min",
  },
  sidelane_control_commits_total: {
    type: "counter",
    labels: ["result"],
    help: "Writes to the store by result: done, again (another one came first), refused, store-down.",
    aggregator: SUM,
  },
  sidelane_control_api_requests_total: {
    type: "counter",
    labels: ["method", "route", "code"],
    help: "Answered requests to the API.",
    aggregator: SUM,
  },
  sidelane_control_streams: {
    type: "gauge",
    labels: [],
    help: "Open streams of the table feed.",
    aggregator: SUM,
  },
  sidelane_control_streams_ended_total: {
    type: "counter",
    labels: ["end"],
    help: "Streams that have ended: goodbye, closed (by the sidecar or the network), slow, refused, replaced, shutdown.",
    aggregator: SUM,
  },
  sidelane_control_sidecars: {
    type: "gauge",
    labels: ["state"],
    help: "Sidecars of this replica: current, behind, disconnected (lately, without a goodbye).",
    aggregator: SUM,
  },
  sidelane_control_joins_total: {
    type: "counter",
    labels: ["with"],
    help: "What sidecars needed: the whole table, or only what had changed (resume).",
    aggregator: SUM,
  },
  sidelane_control_updates_total: {
    type: "counter",
    labels: ["kind"],
    help: "Messages sent to sidecars: with changes (table), or with the revision alone.",
    aggregator: SUM,
  },
  sidelane_control_sent_bytes_total: {
    type: "counter",
    labels: [],
    help: "Bytes of messages sent to sidecars.",
    aggregator: SUM,
  },
  sidelane_control_applied_total: {
    type: "counter",
    labels: ["result"],
    help: "Acknowledgements of sidecars: applied, refused (the table before stays in use there).",
    aggregator: SUM,
  },
  sidelane_control_scopes: {
    type: "gauge",
    labels: [],
    help: "Different scopes that sidecars follow.",
    aggregator: "max",
  },
  sidelane_control_history_revisions: {
    type: "gauge",
    labels: [],
    help: "Revisions from which a sidecar that comes again can go on.",
    aggregator: "max",
  },
  sidelane_control_history_bytes: {
    type: "gauge",
    labels: [],
    help: "Memory for them, about.",
    aggregator: "max",
  },
  sidelane_control_machines: {
    type: "gauge",
    labels: ["state"],
    help: "Developers' machines at this replica: connected, lost (the connection broke, and they may come back).",
    aggregator: SUM,
  },
  sidelane_control_machine_connections: {
    type: "gauge",
    labels: [],
    help: "Connections of sidecars to these machines.",
    aggregator: SUM,
  },
  sidelane_control_event_loop_delay_seconds: {
    type: "gauge",
    labels: ["quantile"],
    help: "How late the event loop was since the last scrape.",
    aggregator: "max",
  },
} as const satisfies Record<string, MetricInfo>;

type Name = keyof typeof controlMetricInfos;

/** What is shown. */
export interface ControlMetricsSources {
  readonly state: ControlState;
  readonly sidecars: Sidecars;
  readonly feed: FeedStats;
  /** Of the running feed server; undefined before it is there. */
  readonly feedStatus: () => ReturnType<FeedServer["status"]> | undefined;
  /** Of developers; none before they can connect. */
  readonly machines: () => readonly Pick<SessionInfo, "connected" | "connections">[];
}

/** Different `method route code`; routes are a closed list, so more is a bug, and does not cost memory. */
const API_LABELS_MAX = 1000;

export class ControlMetrics {
  readonly contentType = "text/plain; version=0.0.4; charset=utf-8";
  readonly #sources: ControlMetricsSources;
  readonly #delay = new EventLoopDelay();
  readonly #registry = new Registry();
  readonly #commits = { done: 0, again: 0, refused: 0, "store-down": 0 };
  readonly #api = new Map<string, { readonly labels: Sample["labels"]; count: number }>();

  constructor(sources: ControlMetricsSources) {
    this.#sources = sources;
    this.#exposeAll();
    exposeProcess(this.#registry, collectDefaultMetrics);
  }

  /** For `Writer`. */
  committed(result: "done" | "again" | "refused" | "store-down"): void {
    this.#commits[result]++;
  }

  /** An answered request; `route` is its pattern (`/v1/sandboxes/{name}`), never its path; "" when there is none. */
  apiRequest(asked: string, pattern: string, code: number): void {
    const route = pattern === "" ? "none" : pattern;
    // Without a route the method is whatever somebody made up.
    const method = pattern === "" ? "any" : asked;
    const key = `${method} ${route} ${code}`;
    const known = this.#api.get(key);
    if (known !== undefined) known.count++;
    else if (this.#api.size < API_LABELS_MAX) {
      this.#api.set(key, { labels: { method, route, code: String(code) }, count: 1 });
    }
  }

  /** Prometheus text. */
  scrape(): Promise<string> {
    return this.#registry.metrics();
  }

  close(): void {
    this.#delay.close();
    this.#registry.clear();
  }

  #exposeAll(): void {
    const { state, sidecars, feed, feedStatus, machines } = this.#sources;
    const add = (name: Name, read: () => Sample[]): void =>
      expose(this.#registry, name, controlMetricInfos[name], read);
    const one = (name: Name, read: () => number | undefined): void =>
      add(name, () => {
        const value = read();
        return value === undefined ? [] : [{ labels: {}, value }];
      });

    one("sidelane_control_revision", () => state.revision);
    add("sidelane_control_resources", () => {
      const { services, sandboxes, groups } = state.table;
      return countSamples("kind", { service: services.size, sandbox: sandboxes.size, group: groups.size });
    });
    one("sidelane_control_store_reachable", () => (state.storeProblem === "" ? 1 : 0));
    add("sidelane_control_commits_total", () => countSamples("result", this.#commits));
    add("sidelane_control_api_requests_total", () =>
      [...this.#api.values()].map(({ labels, count }) => ({ labels, value: count })),
    );
    one("sidelane_control_streams", () => feed.streams);
    add("sidelane_control_streams_ended_total", () => countSamples("end", feed.ends));
    add("sidelane_control_sidecars", () => countSamples("state", standing(sidecars, state.revision)));
    add("sidelane_control_joins_total", () => countSamples("with", { whole: feed.wholeTables, resume: feed.resumed }));
    add("sidelane_control_updates_total", () =>
      countSamples("kind", { table: feed.updatesSent, revision: feed.emptyUpdatesSent }),
    );
    one("sidelane_control_sent_bytes_total", () => feed.bytesSent);
    add("sidelane_control_applied_total", () =>
      countSamples("result", { applied: feed.applied - feed.refusedTables, refused: feed.refusedTables }),
    );
    one("sidelane_control_scopes", () => feedStatus()?.scopes);
    one("sidelane_control_history_revisions", () => feedStatus()?.keptRevisions);
    one("sidelane_control_history_bytes", () => feedStatus()?.keptBytes);
    add("sidelane_control_machines", () => {
      const all = machines();
      const connected = all.filter((one) => one.connected).length;
      return countSamples("state", { connected, lost: all.length - connected });
    });
    one("sidelane_control_machine_connections", () =>
      machines().reduce((sum, { connections }) => sum + connections, 0),
    );
    add("sidelane_control_event_loop_delay_seconds", () => this.#delay.samples());
  }
}

function standing(sidecars: Sidecars, revision: number) {
  const counts = { current: 0, behind: 0, disconnected: 0 };
  for (const info of sidecars.list()) {
    if (!info.connected) counts.disconnected++;
    else if (sidecars.isCurrent(info, revision)) counts.current++;
    else counts.behind++;
  }
  return counts;
}
