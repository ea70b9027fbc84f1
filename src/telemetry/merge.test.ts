import { afterEach, expect, test } from "vitest";
import type { metricInfos } from "./metric-infos.ts";
import { Telemetry, type TelemetryOptions, type TelemetrySnapshot } from "./metrics.ts";
import { type Line, parse } from "./read-exposition.ts";

const open: Telemetry[] = [];
afterEach(() => {
  for (const telemetry of open.splice(0)) telemetry.close();
});

function made(options: Partial<TelemetryOptions> = {}): Telemetry {
  const telemetry = new Telemetry({ sandboxLabelsMax: 100, processMetrics: false, ...options });
  open.push(telemetry);
  return telemetry;
}

const total = (samples: Line[]): number => samples.reduce((sum, { value }) => sum + value, 0);

/** As it comes over a channel between processes. */
async function sent(telemetry: Telemetry): Promise<TelemetrySnapshot> {
  return JSON.parse(JSON.stringify(await telemetry.snapshot())) as TelemetrySnapshot;
}

test("counters, histograms and running things add up; version and age are the greatest", async () => {
  let nowMs = 0;
  const [one, two] = [made({ nowMs: () => nowMs }), made({ nowMs: () => nowMs })];
  one.tablePublished(4);
  nowMs = 2000;
  two.tablePublished(3);
  for (const [telemetry, durations] of [
    [one, [1, 20]],
    [two, [3, 30, 7000]],
  ] as const) {
    const stats = telemetry.routeStats("checkout", "inbound", "http1", "baseline", "no-key");
    for (const durationMs of durations) stats.record(200, durationMs);
    stats.active = durations.length;
    telemetry.upstream.connectionsIdle = 10;
    telemetry.retries = 1;
    telemetry.recordTableReload("applied");
  }
  two.routeStats("checkout", "inbound", "http1", "pr-7", "sandbox").record(500, 1);
  two.recordTableReload("rejected");
  nowMs = 3000;

  const text = await Telemetry.mergeAndFormat([await sent(one), await sent(two)]);
  const families = parse(text);
  const of = (name: keyof typeof metricInfos): Line[] => families.get(name)?.lines ?? [];
  expect(of("sidelane_requests_total").map(({ labels, value }) => [labels["destination"], value])).toEqual([
    ["baseline", 5],
    ["pr-7", 1],
  ]);
  expect(total(of("sidelane_active_requests"))).toBe(5);
  expect(of("sidelane_upstream_connections").find(({ labels }) => labels["state"] === "idle")?.value).toBe(20);
  expect(of("sidelane_retries_total")).toMatchObject([{ value: 2 }]);
  expect(of("sidelane_table_version")).toMatchObject([{ value: 4 }]);
  expect(of("sidelane_table_age_seconds")).toMatchObject([{ value: 3 }]);
  expect(of("sidelane_table_stale")).toMatchObject([{ value: 1 }]);
  expect(of("sidelane_table_reloads_total").find(({ labels }) => labels["result"] === "applied")?.value).toBe(2);
  const duration = of("sidelane_request_duration_seconds").filter(({ labels }) => labels["destination"] === "baseline");
  expect(duration.find(({ labels }) => labels["le"] === "0.005")?.value).toBe(2);
  expect(duration.find(({ labels }) => labels["le"] === "0.025")?.value).toBe(3);
  expect(duration.find(({ labels }) => labels["le"] === "+Inf")?.value).toBe(5);
  expect(duration.find(({ name }) => name.endsWith("_sum"))?.value).toBeCloseTo(7.054, 9);
});

test("one snapshot merged is what the process itself shows", async () => {
  const telemetry = made({ nowMs: () => 0 });
  telemetry.tablePublished(1);
  telemetry.routeStats("checkout", "inbound", "http1", "pr-7", "sandbox").record(200, 12);
  const merged = await Telemetry.mergeAndFormat([await sent(telemetry)]);
  expect(parse(merged)).toEqual(parse(await telemetry.scrape()));
});

test("process metrics survive the way too", async () => {
  const snapshot = await sent(made({ processMetrics: true }));
  const families = parse(await Telemetry.mergeAndFormat([snapshot, snapshot]));
  expect(families.get("sidelane_process_resident_memory_bytes")?.lines[0]?.value).toBeGreaterThan(0);
  const all = [...families.values()].flatMap(({ lines: samples }) => samples);
  expect(all.filter(({ value }) => Number.isNaN(value))).toEqual([]);
});
