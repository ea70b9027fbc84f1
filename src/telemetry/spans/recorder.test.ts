import { Buffer } from "node:buffer";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { type OtlpCollector, startCollector } from "../../../test/support/otlp-collector.ts";
import { eventually } from "../../../test/support/quiet.ts";
import { type Log, silentLog } from "../../base/log.ts";
import { SpanRecorder, type SpanRecorderOptions } from "./recorder.ts";
import type { Span, SpanOutcome, SpanRequest } from "./span.ts";

const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const traceparent = Buffer.from(TRACEPARENT);

const request: SpanRequest = {
  direction: "inbound",
  method: "POST",
  scheme: "http",
  host: "checkout",
  port: 8080,
  target: "/cart?token=secret",
  protocolVersion: "1.1",
  client: "10.0.0.3:51320",
  key: "pr-7",
  userAgent: "curl/8",
  isGrpc: false,
};

const outcome: SpanOutcome = {
  status: 201,
  grpcStatus: -1,
  reason: "sandbox",
  failed: false,
  service: "checkout",
  destination: "pr-7",
  tableVersion: 3,
  endpoint: "10.0.0.7:8080",
  requestBytes: 13,
  responseBytes: 12,
  endedMs: 0,
};

function makeRecorder(endpoint: string, options: Partial<SpanRecorderOptions> = {}): SpanRecorder {
  const recorder = new SpanRecorder({
    endpoint,
    service: "checkout",
    queuedMax: 4096,
    log: silentLog,
    env: { NODE_OPTIONS: "" },
    ...options,
  });
  onTestFinished(() => recorder.close());
  return recorder;
}

function record(recorder: SpanRecorder, other: Partial<SpanRequest> = {}): Span {
  const startedMs = performance.now();
  const span = recorder.begin(traceparent, 0, { ...request, ...other }, startedMs);
  recorder.end(span, { ...outcome, endedMs: startedMs + 12.5 });
  return span;
}

/** A log that remembers its lines. */
function listen(): { readonly log: Log; readonly lines: string[] } {
  const lines: string[] = [];
  const line = (message: string, fields: object = {}): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  return { lines, log: { debug: line, info: line, warn: line, error: line } };
}

test("a finished span reaches the collector, beneath the span that the request came with", async () => {
  const collector = await startCollector();
  const span = record(makeRecorder(collector.endpoint, { sandbox: "pr-7" }));
  const [collected] = await collector.collected(1);
  expect(collected).toMatchObject({
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    parentSpanId: "00f067aa0ba902b7",
    spanId: span.id,
    name: "POST",
    kind: "SERVER",
    status: "UNSET",
    scope: "sidelane",
    attributes: {
      "http.request.method": "POST",
      "url.path": "/cart",
      "server.address": "checkout",
      "server.port": 8080,
      "http.response.status_code": 201,
      "sidelane.key": "pr-7",
      "sidelane.table.version": 3,
    },
    resource: { "service.name": "checkout", "sidelane.sandbox": "pr-7" },
  });
  expect(span.id).toMatch(/^(?!0{16})[0-9a-f]{16}$/);
  const { startMs = 0, endMs = 0 } = collected ?? {};
  expect(endMs - startMs).toBeCloseTo(12.5, 2);
  expect(Math.abs(startMs - Date.now())).toBeLessThan(60_000);
});

test("the environment's headers, compression and resource attributes are honoured", async () => {
  const collector = await startCollector();
  record(
    makeRecorder(collector.endpoint, {
      env: {
        OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=shop",
        OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
        OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1",
        OTEL_RESOURCE_ATTRIBUTES: "k8s.pod.name=checkout-1,service.name=shop-checkout",
      },
    }),
  );
  const [span] = await collector.collected(1);
  expect(span?.resource).toMatchObject({ "k8s.pod.name": "checkout-1", "service.name": "shop-checkout" });
  expect(collector.requests[0]).toMatchObject({ "x-tenant": "shop", "content-encoding": "gzip" });
});

test("many are sent without waiting for the second, none twice", async () => {
  const collector = await startCollector();
  const recorder = makeRecorder(collector.endpoint);
  const sent = Array.from({ length: 2000 }, () => record(recorder).id);
  await collector.collected(1024);
  await recorder.close();
  expect(collector.spans.map(({ spanId }) => spanId)).toEqual(sent);
  expect(recorder.stats).toMatchObject({ exported: 2000, dropped: 0 });
});

test("closing sends what is queued", async () => {
  const collector = await startCollector();
  const recorder = makeRecorder(collector.endpoint);
  const { id } = record(recorder);
  await recorder.close();
  expect(collector.spans.map(({ spanId }) => spanId)).toEqual([id]);
  record(recorder);
  expect(recorder.stats).toMatchObject({ exported: 1, dropped: 1 });
});

test("what does not fit is dropped and counted", async () => {
  const collector = await startCollector();
  const recorder = makeRecorder(collector.endpoint, { queuedMax: 3 });
  for (let i = 0; i < 5; i++) record(recorder);
  expect(recorder.stats.dropped).toBe(2);
  await collector.collected(3);
  await recorder.close();
  expect(recorder.stats).toMatchObject({ exported: 3, dropped: 2 });
});

test("what the collector refuses is dropped, counted, and said once", async () => {
  const collector = await startCollector();
  collector.status = 400;
  const { log, lines } = listen();
  const recorder = makeRecorder(collector.endpoint, { log });
  record(recorder);
  await eventually(() => recorder.stats.dropped === 1);
  record(recorder);
  await eventually(() => recorder.stats.dropped === 2);
  expect(lines).toEqual([expect.stringContaining("spans cannot be exported")]);
  collector.status = 200;
  record(recorder);
  await collector.collected(1);
  await eventually(() => recorder.stats.exported === 1);
  expect(lines).toEqual([expect.anything(), expect.stringContaining("spans are exported again")]);
});

test("nobody at the endpoint: closing gives up in time, and everything is counted", async () => {
  const collector = await startCollector();
  const { endpoint } = collector;
  collector.close();
  const { log, lines } = listen();
  const recorder = makeRecorder(endpoint, { log });
  record(recorder);
  await recorder.close();
  expect(recorder.stats).toMatchObject({ exported: 0, dropped: 1 });
  expect(lines).toHaveLength(1);
});

test("a collector that never answers does not hold up the end", async () => {
  const collector = await startCollector();
  collector.silent = true;
  const recorder = makeRecorder(collector.endpoint);
  record(recorder);
  await collector.requested(1);
  record(recorder);
  await recorder.close();
  expect(recorder.stats).toMatchObject({ exported: 0, dropped: 2 });
});

test("an exporting process that is killed is followed by another, and what it had is counted", async () => {
  const collector = await startCollector();
  const { log, lines } = listen();
  const recorder = makeRecorder(collector.endpoint, { log });
  record(recorder);
  await collector.collected(1);
  const first = recorder.exporterPid;
  collector.silent = true;
  record(recorder);
  await collector.requested(2);
  process.kill(first as number, "SIGKILL");
  await eventually(() => recorder.stats.dropped === 1);
  collector.silent = false;
  const { id } = record(recorder);
  await collector.collected(2);
  expect(collector.spans.at(-1)?.spanId).toBe(id);
  expect(recorder.exporterPid).not.toBe(first);
  expect(lines[0]).toMatch(/spans cannot be exported .*ended with SIGKILL/);
});

test("a program that cannot run costs spans and nothing else", async () => {
  const { log, lines } = listen();
  const recorder = makeRecorder("http://127.0.0.1:1/", { log, program: "/nowhere/exporter.js" });
  record(recorder);
  await recorder.close();
  expect(recorder.stats.dropped).toBe(1);
  expect(lines[0]).toContain("exit code 1");
});

test("without a sampled request there is no process", async () => {
  const recorder = makeRecorder("http://127.0.0.1:1/");
  recorder.begin(traceparent, 0, request, 0);
  await recorder.close();
  expect(recorder.exporterPid).toBeUndefined();
});

/** The exporting process without its sidecar. */
async function startExporter(collector: OtlpCollector): Promise<{ child: ChildProcess; exit: Promise<unknown[]> }> {
  const child = fork(fileURLToPath(new URL("exporter-child.ts", import.meta.url)), [], { execArgv: [] });
  const exit = once(child, "exit");
  onTestFinished(() => void child.kill("SIGKILL"));
  child.send({ kind: "start", endpoint: collector.endpoint, service: "checkout", sandbox: "" });
  const span = { traceparent: TRACEPARENT, id: "0".repeat(15) + "2", startedMs: 0, startedEpochMs: 0 };
  child.send({ kind: "spans", spans: [{ ...span, request, outcome }] });
  await collector.requested(1);
  return { child, exit };
}

test("the exporting process outlives signals to the whole group, and ends with its sidecar", async () => {
  const collector = await startCollector();
  const { child, exit } = await startExporter(collector);
  child.kill("SIGTERM");
  child.kill("SIGINT");
  child.disconnect();
  expect(await exit).toEqual([0, null]);
  expect(collector.spans).toHaveLength(1);
});
