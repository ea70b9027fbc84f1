// What the operator counts, as Prometheus text. Most is read at the scrape.

import { Registry, collectDefaultMetrics } from "prom-client";
import type { WorkQueue } from "../kube/work-queue.ts";
import { countSamples, expose, histogramSamples } from "../telemetry/exposition.ts";
import type { MetricInfo, Sample } from "../telemetry/exposition.ts";
import { DurationHistogram } from "../telemetry/histogram.ts";
import { exposeProcess } from "../telemetry/process-metrics.ts";

const SUM = "sum";

/** Every metric of the operator's own; docs/kubernetes-operator.md lists them. */
export const operatorMetricInfos = {
  sidelane_operator_leader: {
    type: "gauge",
    labels: [],
    help: "1 at the replica that does the work.",
    aggregator: SUM,
  },
  sidelane_operator_reconciles_total: {
    type: "counter",
    labels: ["queue", "result"],
    help: "Reconciliations by result: done, failed (tried again with growing pauses).",
    aggregator: SUM,
  },
  sidelane_operator_reconcile_duration_seconds: {
    type: "histogram",
    labels: ["queue"],
    help: "How long one took.",
    aggregator: SUM,
  },
  sidelane_operator_queue_depth: {
    type: "gauge",
    labels: ["queue"],
    help: "Objects that wait to be looked at.",
    aggregator: SUM,
  },
  sidelane_operator_queue_failing: {
    type: "gauge",
    labels: ["queue"],
    help: "Objects whose last try failed.",
    aggregator: SUM,
  },
  sidelane_operator_pods_without_sidecar: {
    type: "gauge",
    labels: ["namespace"],
    help: "Pods that should have a sidecar and have none.",
    aggregator: SUM,
  },
  sidelane_operator_sandboxes: {
    type: "gauge",
    labels: ["ready"],
    help: "Sandboxes by the status of their condition Ready: True, False, Unknown.",
    aggregator: SUM,
  },
} as const satisfies Record<string, MetricInfo>;

type Name = keyof typeof operatorMetricInfos;

const queueNames = ["services", "sandboxes", "groups", "pods"] as const;
export type QueueName = (typeof queueNames)[number];

/** What is read at the scrape. */
export interface MetricsSources {
  /** Undefined: another replica leads. */
  readonly queues: () => Readonly<Record<QueueName, Pick<WorkQueue, "depth" | "failing">>> | undefined;
  readonly isLeader: () => boolean;
  /** By namespace. */
  readonly podsWithoutSidecar: () => ReadonlyMap<string, number>;
  /** By the status of `Ready`. */
  readonly sandboxes: () => ReadonlyMap<string, number>;
}

interface Counted {
  done: number;
  failed: number;
  readonly durations: DurationHistogram;
}

export class OperatorMetrics {
  readonly #registry = new Registry();
  readonly #counted: Readonly<Record<QueueName, Counted>> = {
    services: newCounted(),
    sandboxes: newCounted(),
    groups: newCounted(),
    pods: newCounted(),
  };

  constructor({ queues, isLeader, podsWithoutSidecar, sandboxes }: MetricsSources) {
    const add = (name: Name, read: () => Sample[]): void =>
      expose(this.#registry, name, operatorMetricInfos[name], read);
    const counted = (read: (queue: QueueName, of: Counted) => Sample[]) => (): Sample[] =>
      queueNames.flatMap((queue) => read(queue, this.#counted[queue]));
    const ofQueues = (read: "depth" | "failing") => (): Sample[] => {
      const now = queues();
      return now === undefined ? [] : queueNames.map((queue) => ({ labels: { queue }, value: now[queue][read] }));
    };
    add("sidelane_operator_leader", () => [{ labels: {}, value: Number(isLeader()) }]);
    add(
      "sidelane_operator_reconciles_total",
      counted((queue, { done, failed }) =>
        countSamples("result", { done, failed }).map(({ labels, value }) => ({ labels: { queue, ...labels }, value })),
      ),
    );
    const duration = "sidelane_operator_reconcile_duration_seconds";
    add(
      duration,
      counted((queue, { durations }) => histogramSamples(duration, { queue }, durations)),
    );
    add("sidelane_operator_queue_depth", ofQueues("depth"));
    add("sidelane_operator_queue_failing", ofQueues("failing"));
    add("sidelane_operator_pods_without_sidecar", () =>
      [...podsWithoutSidecar()].map(([namespace, value]) => ({ labels: { namespace }, value })),
    );
    add("sidelane_operator_sandboxes", () => [...sandboxes()].map(([ready, value]) => ({ labels: { ready }, value })));
    exposeProcess(this.#registry, collectDefaultMetrics);
  }

  reconciled(queue: QueueName, tookMs: number, failed: boolean): void {
    const counted = this.#counted[queue];
    if (failed) counted.failed++;
    else counted.done++;
    counted.durations.observe(tookMs);
  }

  /** Prometheus text exposition. */
  async scrape(): Promise<string> {
    return this.#registry.metrics();
  }

  close(): void {
    this.#registry.clear();
  }
}

function newCounted(): Counted {
  return { done: 0, failed: 0, durations: new DurationHistogram() };
}
