import type { collectDefaultMetrics as collect, Registry } from "prom-client";

const PREFIX = "sidelane_";

/** prom-client's process metrics but those of the event loop, which `event_loop_delay_seconds` already tells, and better. */
export function exposeProcess(registry: Registry, collectDefaultMetrics: typeof collect): void {
  // Their monitor cannot be switched off, so it is slowed down from 100 wake-ups a second to one.
  collectDefaultMetrics({ register: registry, prefix: PREFIX, eventLoopMonitoringPrecision: 1000 });
  for (const { name } of registry.getMetricsAsArray()) {
    if (name.startsWith(`${PREFIX}nodejs_eventloop_lag`)) registry.removeSingleMetric(name);
  }
}
