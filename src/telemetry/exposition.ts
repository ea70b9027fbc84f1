// Metrics whose values are read at the moment of the scrape. prom-client keeps a hash of label objects per metric and
// looks it up on every increment; Sidelane keeps plain numbers where they are counted and shows them to a registry here.
import type { Aggregator, Metric, Registry } from "prom-client";
import { DURATION_BOUNDS_S, type DurationHistogram } from "./histogram.ts";

/** One line of the exposition: `metricName` where it differs from the metric's (`_bucket`, `_sum`, `_count`). */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly metricName?: string;
}

/** What is fixed about a metric. `aggregator` says how several processes become one. */
export interface MetricInfo {
  readonly type: "counter" | "gauge" | "histogram";
  readonly labels: readonly string[];
  readonly help: string;
  readonly aggregator: Aggregator;
}

/** Adds a metric to the registry whose samples `read` produces at each scrape. */
export function expose(registry: Registry, name: string, info: MetricInfo, read: () => Sample[]): void {
  const { help, type, aggregator } = info;
  const metric = {
    name,
    help,
    type,
    aggregator,
    get: () => Promise.resolve({ name, help, type, aggregator, values: read() }),
    // `Registry.resetMetrics` calls it; the numbers belong to those who count.
    reset() {},
  };
  // A registry asks a metric for `name` and `get()` only; `AggregatorRegistry.aggregate` of the same package registers
  // objects of exactly this shape. The declared type names the four classes, which offer no way to set a bucket.
  registry.registerMetric(metric as unknown as Metric);
}

/** One line for each field of `counts`, whose name is the value of the label. */
export function countSamples<K extends string>(label: string, counts: Readonly<Record<K, number>>): Sample[] {
  return Object.entries<number>(counts).map(([name, value]) => ({ labels: { [label]: name }, value }));
}

/** The lines of one histogram: cumulative buckets, sum in seconds, count. */
export function histogramSamples(
  name: string,
  labels: Readonly<Record<string, string>>,
  histogram: DurationHistogram,
): Sample[] {
  const bucketName = `${name}_bucket`;
  const samples: Sample[] = DURATION_BOUNDS_S.map((bound, bucket) => ({
    metricName: bucketName,
    labels: { ...labels, le: String(bound) },
    value: histogram.cumulative(bucket),
  }));
  samples.push(
    { metricName: bucketName, labels: { ...labels, le: "+Inf" }, value: histogram.count },
    { metricName: `${name}_sum`, labels, value: histogram.sumS },
    { metricName: `${name}_count`, labels, value: histogram.count },
  );
  return samples;
}
