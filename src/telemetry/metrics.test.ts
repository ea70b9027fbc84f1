import { afterEach, describe, expect, test } from "vitest";
import { silentLog } from "../base/log.ts";
import { DURATION_BOUNDS_S } from "./histogram.ts";
import { LostKeys } from "./lost-keys.ts";
import { metricInfos } from "./metric-infos.ts";
import { HTTP2_ABUSE_KINDS, Telemetry, type TelemetryOptions } from "./metrics.ts";
import { type Line, parse } from "./read-exposition.ts";

const open: Telemetry[] = [];
afterEach(() => {
  for (const telemetry of open.splice(0)) telemetry.close();
});

/** One call of a method that went well. */
function grpcCall(telemetry: Telemetry, destination: string, method: string): void {
  const path = new TextEncoder().encode(method);
  telemetry.grpcStats("checkout", "inbound", destination).record(0, path, 0, path.length, 0, true);
}

/** A detector that has seen one key lost. */
function lostOne(): LostKeys {
  const lostKeys = new LostKeys(silentLog, { repair: "report", peersMax: 1, logMs: 0 });
  const none = { bytes: new Uint8Array(0), start: 0, end: 0 };
  const example = { key: none, trace: none, method: none, path: none };
  lostKeys.note({ service: "checkout", towards: "payments", outcome: "reported", ...example }, 0);
  return lostKeys;
}

function made(options: Partial<TelemetryOptions> = {}): Telemetry {
  const telemetry = new Telemetry({ sandboxLabelsMax: 100, processMetrics: false, ...options });
  open.push(telemetry);
  return telemetry;
}

async function lines(telemetry: Telemetry, family: keyof typeof metricInfos): Promise<Line[]> {
  return parse(await telemetry.scrape()).get(family)?.lines ?? [];
}

describe("names", () => {
  test("are those of DESIGN §3.7, each with its type and help, before anything happened", async () => {
    const families = parse(await made().scrape());
    expect(Object.fromEntries([...families].map(([name, { type }]) => [name, type]))).toEqual({
      sidelane_requests_total: "counter",
      sidelane_request_duration_seconds: "histogram",
      sidelane_active_requests: "gauge",
      sidelane_grpc_requests_total: "counter",
      sidelane_upstream_connections: "gauge",
      sidelane_upstream_connect_seconds: "histogram",
      sidelane_retries_total: "counter",
      sidelane_http2_abuse_total: "counter",
      sidelane_lost_keys_total: "counter",
      sidelane_keys_written_total: "counter",
      sidelane_keys_stripped_total: "counter",
      sidelane_spans_total: "counter",
      sidelane_spans_dropped_total: "counter",
      sidelane_tls_handshakes_total: "counter",
      sidelane_tls_reloads_total: "counter",
      sidelane_signing_key_reloads_total: "counter",
      sidelane_tls_certificate_expiry_timestamp_seconds: "gauge",
      sidelane_table_version: "gauge",
      sidelane_table_reloads_total: "counter",
      sidelane_table_age_seconds: "gauge",
      sidelane_table_stale: "gauge",
      sidelane_table_revision: "gauge",
      sidelane_table_connected: "gauge",
      sidelane_event_loop_delay_seconds: "gauge",
    });
    for (const { help } of families.values()) expect(help).not.toBe("");
  });

  test("every sample has exactly the labels declared for its metric", async () => {
    const telemetry = made({ processMetrics: true });
    telemetry.routeStats("checkout", "inbound", "http1", "pr-7", "sandbox").record(200, 1);
    grpcCall(telemetry, "pr-7", "/shop.Checkout/Place");
    telemetry.tablePublished(1);
    telemetry.tableFed(17, true);
    telemetry.tls.notAfterMs.set("listener inbound", 1_800_000_000_000);
    telemetry.lostKeys = lostOne();
    const families = parse(await telemetry.scrape());
    for (const [name, info] of Object.entries(metricInfos)) {
      const samples = families.get(name)?.lines ?? [];
      expect({ name, empty: samples.length === 0 }).toEqual({ name, empty: false });
      for (const line of samples) {
        const bucket = line.name === `${name}_bucket` ? ["le"] : [];
        expect([name, ...Object.keys(line.labels)]).toEqual([name, ...info.labels, ...bucket]);
      }
    }
  });

  test("process metrics have the prefix too, and the event loop is told once", async () => {
    const telemetry = made({ processMetrics: true });
    const families = parse(await telemetry.scrape());
    expect(families.has("sidelane_process_cpu_seconds_total")).toBe(true);
    expect(families.has("sidelane_process_resident_memory_bytes")).toBe(true);
    expect((await telemetry.metricNames()).every((name) => name.startsWith("sidelane_"))).toBe(true);
    expect((await telemetry.metricNames()).filter((name) => name.includes("event"))).toEqual([
      "sidelane_event_loop_delay_seconds",
    ]);
  });

  test("the content type is that of the text format", () => {
    expect(made().contentType).toBe("text/plain; version=0.0.4; charset=utf-8");
  });
});

describe("requests", () => {
  test("are counted by route, reason and code", async () => {
    const telemetry = made();
    const stats = telemetry.routeStats("checkout", "inbound", "http1", "pr-7", "sandbox");
    for (const status of [200, 200, 404, 200, 503, 302, 301, 204, 404]) stats.record(status, 1);
    telemetry.routeStats("checkout", "inbound", "http1", "baseline", "no-key").record(200, 1);
    const samples = await lines(telemetry, "sidelane_requests_total");
    expect(samples[0]?.labels).toEqual({
      service: "checkout",
      direction: "inbound",
      protocol: "http1",
      destination: "pr-7",
      reason: "sandbox",
      code: "200",
    });
    expect(samples.map(({ labels, value }) => [labels["destination"], labels["code"], value])).toEqual([
      ["pr-7", "200", 3],
      ["pr-7", "404", 2],
      ["pr-7", "503", 1],
      ["pr-7", "302", 1],
      ["pr-7", "301", 1],
      ["pr-7", "204", 1],
      ["baseline", "200", 1],
    ]);
  });

  test("codes outside 100 to 599 share one label, so that no endpoint can make up thousands", async () => {
    const telemetry = made();
    const stats = telemetry.routeStats("checkout", "inbound", "http1", "baseline", "no-key");
    for (const status of [0, 99, 600, 999, 65_535, Number.NaN]) stats.record(status, 1);
    stats.record(599, 1);
    const samples = await lines(telemetry, "sidelane_requests_total");
    expect(samples.map(({ labels, value }) => [labels["code"], value])).toEqual([
      ["other", 6],
      ["599", 1],
    ]);
  });

  test("the same labels give the same stats", () => {
    const telemetry = made();
    const stats = telemetry.routeStats("checkout", "inbound", "http1", "pr-7", "sandbox");
    expect(telemetry.routeStats("checkout", "inbound", "http1", "pr-7", "sandbox")).toBe(stats);
    expect(telemetry.routeStats("checkout", "outbound", "http1", "pr-7", "sandbox")).not.toBe(stats);
  });

  test("active ones are added up over reasons", async () => {
    const telemetry = made();
    telemetry.routeStats("checkout", "inbound", "http1", "baseline", "no-key").active = 2;
    telemetry.routeStats("checkout", "inbound", "http1", "baseline", "unknown-key").active = 3;
    telemetry.routeStats("ledger", "inbound", "http1", "baseline", "no-key").active = 1;
    const samples = await lines(telemetry, "sidelane_active_requests");
    expect(samples.map(({ labels, value }) => [labels["service"], value])).toEqual([
      ["checkout", 5],
      ["ledger", 1],
    ]);
  });

  test("values that need escaping do not break the text", async () => {
    const telemetry = made();
    telemetry.routeStats('a"b\\c\nd', "inbound", "http1", "baseline", "no-key").record(200, 1);
    const [line] = await lines(telemetry, "sidelane_requests_total");
    expect(line?.labels["service"]).toBe(String.raw`a\"b\\c\nd`);
  });
});

describe("gRPC calls", () => {
  test("are counted by route, method and status", async () => {
    const telemetry = made();
    grpcCall(telemetry, "pr-7", "/shop.Checkout/Place");
    expect(await lines(telemetry, "sidelane_grpc_requests_total")).toMatchObject([
      {
        labels: {
          service: "checkout",
          direction: "inbound",
          destination: "pr-7",
          method: "/shop.Checkout/Place",
          grpc_status: "0",
        },
        value: 1,
      },
    ]);
  });

  test("methods have labels up to the cap, all routes together", async () => {
    const telemetry = made({ grpcMethodLabelsMax: 1 });
    grpcCall(telemetry, "pr-7", "/s/A");
    grpcCall(telemetry, "baseline", "/s/B");
    grpcCall(telemetry, "baseline", "/s/A");
    const samples = await lines(telemetry, "sidelane_grpc_requests_total");
    expect(samples.map(({ labels: { destination, method } }) => [destination, method])).toEqual([
      ["pr-7", "/s/A"],
      ["baseline", "other"],
      ["baseline", "/s/A"],
    ]);
  });

  test("a sandbox that left the table takes its counts along", async () => {
    const telemetry = made();
    grpcCall(telemetry, "pr-7", "/s/A");
    telemetry.retainSandboxes(() => false);
    expect(await lines(telemetry, "sidelane_grpc_requests_total")).toEqual([]);
  });
});

describe("durations", () => {
  test("have the buckets of OpenTelemetry's http.server.request.duration", () => {
    expect(DURATION_BOUNDS_S).toEqual([0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]);
  });

  test("fall into cumulative buckets, bounds included; sum and count agree", async () => {
    const telemetry = made();
    const stats = telemetry.routeStats("checkout", "inbound", "http1", "baseline", "no-key");
    const durationsMs = [0, 5, 5.001, 10, 99, 100, 10_000, 10_001, -3, Number.NaN];
    for (const durationMs of durationsMs) stats.record(200, durationMs);
    const samples = await lines(telemetry, "sidelane_request_duration_seconds");
    const at = (le: string): number | undefined => samples.find(({ labels }) => labels["le"] === le)?.value;
    expect([at("0.005"), at("0.01"), at("0.075"), at("0.1"), at("7.5"), at("10"), at("+Inf")]).toEqual([
      4, 6, 6, 8, 8, 9, 10,
    ]);
    expect(samples.filter(({ name }) => name.endsWith("_bucket")).length).toBe(DURATION_BOUNDS_S.length + 1);
    expect(samples.find(({ name }) => name.endsWith("_count"))?.value).toBe(10);
    expect(samples.find(({ name }) => name.endsWith("_sum"))?.value).toBeCloseTo(20.220_001, 6);
    const counts = samples.filter(({ name }) => name.endsWith("_bucket")).map(({ value }) => value);
    expect(counts).toEqual(counts.toSorted((a, b) => a - b));
  });
});

describe("labels are bounded", () => {
  test("sandboxes beyond the cap are `other`; those that have a label keep it", async () => {
    const telemetry = made({ sandboxLabelsMax: 2 });
    for (const name of ["pr-1", "pr-2", "pr-3", "pr-4", "pr-1"]) {
      telemetry.routeStats("checkout", "inbound", "http1", name, "sandbox").record(200, 1);
    }
    telemetry.routeStats("checkout", "inbound", "http1", "baseline", "no-key").record(200, 1);
    const samples = await lines(telemetry, "sidelane_requests_total");
    expect(samples.map(({ labels, value }) => [labels["destination"], value])).toEqual([
      ["pr-1", 2],
      ["pr-2", 1],
      ["other", 2],
      ["baseline", 1],
    ]);
  });

  test("raising the cap admits further sandboxes", () => {
    const telemetry = made({ sandboxLabelsMax: 0 });
    expect(telemetry.routeStats("a", "inbound", "http1", "pr-1", "sandbox").labels.destination).toBe("other");
    telemetry.sandboxLabelsMax = 1;
    expect(telemetry.routeStats("a", "inbound", "http1", "pr-1", "sandbox").labels.destination).toBe("pr-1");
    expect(telemetry.routeStats("a", "inbound", "http1", "pr-2", "sandbox").labels.destination).toBe("other");
  });

  test("a sandbox that left the table gives its label back, once its exchanges have ended", async () => {
    const telemetry = made({ sandboxLabelsMax: 2 });
    const busy = telemetry.routeStats("checkout", "inbound", "http1", "pr-1", "sandbox");
    busy.active = 1;
    busy.record(200, 1);
    telemetry.routeStats("checkout", "inbound", "http1", "pr-2", "sandbox").record(200, 1);
    const destination = (): string =>
      telemetry.routeStats("checkout", "inbound", "http1", "pr-3", "sandbox").labels.destination;
    const exists = (name: string): boolean => name === "pr-3";

    expect(destination()).toBe("other");
    telemetry.retainSandboxes(exists);
    expect(destination()).toBe("pr-3");
    const samples = await lines(telemetry, "sidelane_requests_total");
    expect(samples.map(({ labels }) => labels["destination"])).toEqual(["pr-1"]);
    busy.active = 0;
    telemetry.retainSandboxes(exists);
    expect(await lines(telemetry, "sidelane_requests_total")).toEqual([]);
  });

  test("what has no service or destination is `none`, and a passed-through authority is no service", () => {
    const telemetry = made();
    expect(telemetry.routeStats("", "outbound", "http1", "", "malformed-request").labels).toMatchObject({
      service: "none",
      destination: "none",
    });
    expect(
      telemetry.routeStats("evil.example", "outbound", "http1", "passthrough", "not-in-table").labels,
    ).toMatchObject({
      service: "other",
      destination: "passthrough",
    });
  });

  test("services are capped too", () => {
    const telemetry = made();
    const label = (i: number): string =>
      telemetry.routeStats(`service-${i}`, "outbound", "http1", "baseline", "no-key").labels.service;
    for (let i = 0; i < 1000; i++) expect(label(i)).toBe(`service-${i}`);
    expect(label(1000)).toBe("other");
    expect(label(5)).toBe("service-5");
  });
});

describe("the rest", () => {
  test("upstream connections, connect times and retries are read at scrape", async () => {
    const telemetry = made();
    telemetry.upstream.connectionsIdle = 3;
    telemetry.upstream.connectionsActive = 2;
    telemetry.upstream.connectionsConnecting = 1;
    telemetry.upstream.connect.observe(7);
    telemetry.retries += 4;
    const states = await lines(telemetry, "sidelane_upstream_connections");
    expect(Object.fromEntries(states.map(({ labels, value }) => [labels["state"], value]))).toEqual({
      idle: 3,
      active: 2,
      connecting: 1,
    });
    const connect = await lines(telemetry, "sidelane_upstream_connect_seconds");
    expect(connect.find(({ labels }) => labels["le"] === "0.005")?.value).toBe(0);
    expect(connect.find(({ labels }) => labels["le"] === "0.01")?.value).toBe(1);
    expect(await lines(telemetry, "sidelane_retries_total")).toMatchObject([{ value: 4 }]);
  });

  test("floods are counted by kind", async () => {
    const telemetry = made();
    telemetry.http2Abuse.reset++;
    telemetry.http2Abuse["outgoing-control"] += 2;
    const samples = await lines(telemetry, "sidelane_http2_abuse_total");
    expect(samples.map(({ labels }) => labels["kind"])).toEqual([...HTTP2_ABUSE_KINDS]);
    expect(samples.map(({ value }) => value)).toEqual([1, 0, 0, 0, 0, 0, 2]);
  });

  test("table version, age and reloads", async () => {
    let nowMs = 5000;
    const telemetry = made({ nowMs: () => nowMs });
    expect(await lines(telemetry, "sidelane_table_version")).toMatchObject([{ value: 0 }]);
    expect(await lines(telemetry, "sidelane_table_age_seconds")).toEqual([]);
    telemetry.tablePublished(3);
    telemetry.recordTableReload("applied");
    telemetry.recordTableReload("rejected");
    telemetry.recordTableReload("rejected");
    nowMs += 1500;
    expect(await lines(telemetry, "sidelane_table_version")).toMatchObject([{ value: 3 }]);
    expect(await lines(telemetry, "sidelane_table_age_seconds")).toMatchObject([{ value: 1.5 }]);
    const reloads = await lines(telemetry, "sidelane_table_reloads_total");
    expect(Object.fromEntries(reloads.map(({ labels, value }) => [labels["result"], value]))).toEqual({
      applied: 1,
      unchanged: 0,
      rejected: 2,
      unreadable: 0,
    });
  });

  test("a fed table has a revision and a connection, another has neither", async () => {
    const telemetry = made();
    expect(await lines(telemetry, "sidelane_table_revision")).toEqual([]);
    telemetry.tableFed(17, true);
    expect(await lines(telemetry, "sidelane_table_revision")).toMatchObject([{ value: 17 }]);
    expect(await lines(telemetry, "sidelane_table_connected")).toMatchObject([{ value: 1 }]);
    telemetry.tableFed(17, false);
    expect(await lines(telemetry, "sidelane_table_connected")).toMatchObject([{ value: 0 }]);
  });

  test("the table is stale from a failed reload to the next good one", async () => {
    const telemetry = made();
    const stale = async (): Promise<unknown> =>
      (await lines(telemetry, "sidelane_table_stale")).map(({ value }) => value);
    expect(await stale()).toEqual([0]);
    for (const failed of ["rejected", "unreadable"] as const) {
      for (const good of ["applied", "unchanged"] as const) {
        telemetry.recordTableReload(failed);
        expect(await stale()).toEqual([1]);
        telemetry.recordTableReload(good);
        expect(await stale()).toEqual([0]);
      }
    }
  });

  test("event loop delay by quantile, never negative", async () => {
    const samples = await lines(made({ processMetrics: true }), "sidelane_event_loop_delay_seconds");
    expect(samples.map(({ labels }) => labels["quantile"])).toEqual(["0.5", "0.99", "1"]);
    for (const { value } of samples) expect(value).toBeGreaterThanOrEqual(0);
  });
});
