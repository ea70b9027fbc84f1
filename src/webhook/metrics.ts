// What a replica of the webhook counts, as Prometheus text.

import { Registry, collectDefaultMetrics } from "prom-client";
import { expose, histogramSamples } from "../telemetry/exposition.ts";
import type { MetricInfo, Sample } from "../telemetry/exposition.ts";
import { DurationHistogram } from "../telemetry/histogram.ts";
import { exposeProcess } from "../telemetry/process-metrics.ts";
import type { TlsStats } from "../telemetry/tls-stats.ts";
import type { SkipReason } from "./pod/exclusion.ts";

/** Every metric of a webhook replica's own; the process metrics of prom-client come on top. docs/injection.md lists them. */
export const webhookMetricInfos = {
  sidelane_webhook_reviews_total: {
    type: "counter",
    labels: ["result", "reason"],
    help: "Reviews by result: injected, skipped (with the reason), denied, failed, other (no creation of a pod).",
    aggregator: "sum",
  },
  sidelane_webhook_review_duration_seconds: {
    type: "histogram",
    labels: [],
    help: "From the whole body of a review to its answer.",
    aggregator: "sum",
  },
  sidelane_webhook_ready: {
    type: "gauge",
    labels: [],
    help: "1 when namespaces, Services and version of the cluster are known and there is a certificate.",
    aggregator: "min",
  },
  sidelane_webhook_certificate_expiry_timestamp_seconds: {
    type: "gauge",
    labels: [],
    help: "End of the validity of the certificate in use.",
    aggregator: "min",
  },
  sidelane_webhook_certificate_reloads_total: {
    type: "counter",
    labels: ["result"],
    help: "Changes of the certificate's files by result: applied, rejected.",
    aggregator: "sum",
  },
} as const satisfies Record<string, MetricInfo>;

/** What becomes of a review. */
export type ReviewResult = "injected" | "skipped" | "denied" | "failed" | "other";

export class WebhookMetrics {
  readonly contentType = "text/plain; version=0.0.4; charset=utf-8";
  readonly #registry = new Registry();
  readonly #durations = new DurationHistogram();
  readonly #reviews = new Map<string, { readonly labels: Sample["labels"]; count: number }>();

  constructor(tls: TlsStats, isReady: () => boolean) {
    const add = (name: keyof typeof webhookMetricInfos, read: () => Sample[]): void =>
      expose(this.#registry, name, webhookMetricInfos[name], read);
    add("sidelane_webhook_reviews_total", () =>
      [...this.#reviews.values()].map(({ labels, count }) => ({ labels, value: count })),
    );
    const duration = "sidelane_webhook_review_duration_seconds";
    add(duration, () => histogramSamples(duration, {}, this.#durations));
    add("sidelane_webhook_ready", () => [{ labels: {}, value: isReady() ? 1 : 0 }]);
    add("sidelane_webhook_certificate_expiry_timestamp_seconds", () =>
      [...tls.notAfterMs.values()].map((ms) => ({ labels: {}, value: ms / 1000 })),
    );
    add("sidelane_webhook_certificate_reloads_total", () =>
      Object.entries(tls.reloads).map(([result, value]) => ({ labels: { result }, value })),
    );
    exposeProcess(this.#registry, collectDefaultMetrics);
  }

  /** Counts one review; both labels are closed lists. */
  reviewed(result: ReviewResult, reason: SkipReason | "none", durationMs: number): void {
    this.#durations.observe(durationMs);
    const key = `${result} ${reason}`;
    const known = this.#reviews.get(key);
    if (known === undefined) this.#reviews.set(key, { labels: { result, reason }, count: 1 });
    else known.count++;
  }

  /** Prometheus text. */
  scrape(): Promise<string> {
    return this.#registry.metrics();
  }

  close(): void {
    this.#registry.clear();
  }
}
