// Spans of proxied requests: who hangs beneath whom, and that everything else stays as it came. The collector is a real one as
// far as the wire goes (test/support/otlp-collector.ts).
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type ClientHttp2Session, connect } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { ok, startAnswering } from "../support/backend.ts";
import { GrpcClient, metadataOf, startGrpcApp } from "../support/grpc.ts";
import { startHttp2Answering } from "../support/http2-backend.ts";
import { type CollectedSpan, startCollector } from "../support/otlp-collector.ts";
import { eventually } from "../support/quiet.ts";
import { deadPort, get, request } from "../support/requests.ts";
import { type Sidecar, startSidecar } from "../support/sidecar.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const SAMPLED = `00-${TRACE}-${PARENT}-01`;

/** What must go on as it came. */
const untouched: readonly (readonly [what: string, values: readonly string[]])[] = [
  ["not sampled", [`00-${TRACE}-${PARENT}-00`]],
  ["a later version", [`01-${TRACE}-${PARENT}-01`]],
  ["a later version with more behind it", [`cc-${TRACE}-${PARENT}-01-more`]],
  ["malformed", [`00-${TRACE}-${PARENT}-1`]],
  ["without a parent", [`00-${TRACE}-${"0".repeat(16)}-01`]],
  ["two", [SAMPLED, `00-${TRACE}-1111111111111111-01`]],
  ["twice the same", [SAMPLED, SAMPLED]],
  ["none", []],
];

/** An outbound sidecar beside `shop` before an inbound one beside `checkout`, whose app is `target`. */
async function startTwo(target: string, endpoint: string): Promise<{ first: Sidecar; second: Sidecar }> {
  const spans = { endpoint };
  const table = { services: { checkout: {} } };
  const second = await startSidecar({ target, table, spans });
  const first = await startSidecar({
    service: "shop",
    listeners: [{ name: "out", direction: "outbound", address: "127.0.0.1:0" }],
    table: { services: { checkout: { baseline: [`127.0.0.1:${second.port()}`] } } },
    spans,
  });
  return { first, second };
}

/** The two spans of one request through both sidecars, wherever they stand among the others. */
async function pairBeneath(
  parent: string,
  collected: Promise<readonly CollectedSpan[]>,
): Promise<{ client: CollectedSpan; server: CollectedSpan }> {
  const spans = await collected;
  const client = spans.find(({ parentSpanId }) => parentSpanId === parent) as CollectedSpan;
  const server = spans.find(({ parentSpanId }) => parentSpanId === client.spanId) as CollectedSpan;
  return { client, server };
}

describe("HTTP/1.1", () => {
  test("through two sidecars: app beneath inbound beneath outbound beneath caller", async () => {
    const collector = await startCollector();
    const app = await startAnswering((message) => ok(message.field("traceparent") ?? ""));
    const { first } = await startTwo(app.name, collector.endpoint);
    const peer = await first.connect("out");
    peer.send(
      request(
        "POST",
        "/cart?token=secret",
        "hello",
        `traceparent: ${SAMPLED}`,
        "tracestate: a=1",
        "baggage: sidelane=pr-7",
      ),
    );
    const { body } = await peer.message();
    const { client, server } = await pairBeneath(PARENT, collector.collected(2));
    expect(body).toBe(`00-${TRACE}-${server.spanId}-01`);
    expect(client).toMatchObject({
      traceId: TRACE,
      name: "POST",
      kind: "CLIENT",
      status: "UNSET",
      resource: { "service.name": "shop" },
      attributes: {
        "url.full": "http://checkout/cart",
        "server.address": "checkout",
        "server.port": 80,
        "network.peer.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "http.request.body.size": 5,
        "http.response.body.size": 55,
        "sidelane.service": "checkout",
        "sidelane.destination": "baseline",
        "sidelane.reason": "unknown-key",
        "sidelane.key": "pr-7",
      },
    });
    expect(server).toMatchObject({
      traceId: TRACE,
      kind: "SERVER",
      resource: { "service.name": "checkout" },
      attributes: { "url.path": "/cart", "http.response.status_code": 200, "sidelane.endpoint": app.name },
    });
    expect(server.startMs).toBeGreaterThanOrEqual(client.startMs - 10);
    expect(server.endMs).toBeLessThanOrEqual(client.endMs + 10);
  });

  test("each request of a connection has a span of its own, and only the parent id changes", async () => {
    const collector = await startCollector();
    const seen: string[] = [];
    const app = await startAnswering(({ raw }) => {
      seen.push(raw);
      return ok("");
    });
    const sidecar = await startSidecar({ target: app.name, spans: collector });
    const peer = await sidecar.connect();
    const lines = ["TraceParent:  " + SAMPLED + " ", "tracestate: a=1,b=2", "x-other: 1"];
    for (let i = 0; i < 3; i++) {
      peer.send(get("/", ...lines));
      await peer.message();
    }
    const spans = await collector.collected(3);
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(3);
    const ids = seen.map((raw) => new RegExp(`TraceParent: *00-${TRACE}-([0-9a-f]{16})-01`).exec(raw)?.[1]);
    expect(ids).toEqual(spans.map(({ spanId }) => spanId));
    // All but that field is what it is without spans, in the same order.
    const plain = await startSidecar({ target: app.name });
    const other = await plain.connect();
    other.send(get("/", ...lines));
    await other.message();
    const rest = (raw = ""): string[] => raw.split("\r\n").filter((line) => !/^(?:via|traceparent):/i.test(line));
    expect(rest(seen[0])).toEqual(rest(seen[3]));
    expect(seen[3]).toContain(SAMPLED);
  });

  test("all else goes on as it came, without a span", async () => {
    const collector = await startCollector();
    const app = await startAnswering(({ lines }) => ok(lines.filter((line) => /^traceparent/i.test(line)).join("\n")));
    const sidecar = await startSidecar({ target: app.name, spans: collector });
    const peer = await sidecar.connect();
    for (const [what, values] of untouched) {
      const lines = values.map((value) => `traceparent: ${value}`);
      peer.send(get("/", ...lines));
      expect((await peer.message()).body, what).toBe(lines.join("\n"));
    }
    // A sampled one behind them is the only one that the collector hears of.
    peer.send(get("/last", `traceparent: ${SAMPLED}`));
    await peer.message();
    const [span] = await collector.collected(1);
    expect(span?.attributes["url.path"]).toBe("/last");
  });

  test("what passes through is untouched", async () => {
    const collector = await startCollector();
    const app = await startAnswering((message) => ok(message.field("traceparent") ?? ""));
    const sidecar = await startSidecar({
      listeners: [{ name: "out", direction: "outbound", address: "127.0.0.1:0" }],
      table: { services: { checkout: { baseline: [app.name] } } },
      spans: collector,
    });
    const peer = await sidecar.connect("out");
    peer.send(`GET / HTTP/1.1\r\nhost: ${app.name}\r\ntraceparent: ${SAMPLED}\r\n\r\n`);
    expect((await peer.message()).body).toBe(SAMPLED);
    peer.send(get("/", `traceparent: ${SAMPLED}`));
    expect((await peer.message()).body).not.toBe(SAMPLED);
    expect(await collector.collected(1)).toHaveLength(1);
  });

  test("a request that is sent again keeps its span", async () => {
    const collector = await startCollector();
    let requests = 0;
    const seen: (string | undefined)[] = [];
    const app = await startAnswering((message, peer) => {
      seen.push(message.field("traceparent"));
      requests++;
      // A kept connection that is closed when the next request comes.
      if (requests === 2) peer.abort();
      return requests === 2 ? "" : ok("");
    });
    const sidecar = await startSidecar({ target: app.name, spans: collector });
    const peer = await sidecar.connect();
    peer.send(get("/first"));
    await peer.message();
    peer.send(get("/second", `traceparent: ${SAMPLED}`));
    expect((await peer.message()).status).toBe(200);
    const [span] = await collector.collected(1);
    expect(seen).toEqual([undefined, `00-${TRACE}-${span?.spanId}-01`, `00-${TRACE}-${span?.spanId}-01`]);
    expect(collector.spans).toHaveLength(1);
  });

  test("our own answers are spans, too", async () => {
    const collector = await startCollector();
    const sidecar = await startSidecar({
      target: `127.0.0.1:${await deadPort()}`,
      table: { services: { checkout: {} } },
      tenancy: { onUnknownKey: "reject" },
      spans: collector,
    });
    const peer = await sidecar.connect();
    peer.send(get("/", `traceparent: ${SAMPLED}`));
    await peer.message();
    peer.send(get("/", `traceparent: ${SAMPLED}`, "baggage: sidelane=nobody"));
    await peer.message();
    const [unavailable, unknown] = await collector.collected(2);
    expect(unavailable).toMatchObject({
      status: "ERROR",
      attributes: { "http.response.status_code": 503, "error.type": "upstream-unavailable" },
    });
    expect(unknown).toMatchObject({
      status: "UNSET",
      attributes: { "http.response.status_code": 421, "sidelane.reason": "unknown-key", "sidelane.key": "nobody" },
    });
  });

  test("a client that goes away is no error of the service", async () => {
    const collector = await startCollector();
    const app = await startAnswering(() => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
    const sidecar = await startSidecar({ target: app.name, spans: collector });
    const peer = await sidecar.connect();
    peer.send(get("/", `traceparent: ${SAMPLED}`));
    await peer.until("half");
    peer.abort();
    const [span] = await collector.collected(1);
    expect(span).toMatchObject({
      status: "UNSET",
      attributes: {
        "http.response.status_code": 200,
        "sidelane.reason": "client-closed",
        "http.response.body.size": 4,
      },
    });
  });

  test("a collector that is not there costs spans and nothing else", async () => {
    const app = await startAnswering(() => ok("fine"));
    const endpoint = `http://127.0.0.1:${await deadPort()}/v1/traces`;
    const sidecar = await startSidecar({
      target: app.name,
      spans: { endpoint },
      limits: { spansQueuedMax: 2 },
    });
    const peer = await sidecar.connect();
    for (let i = 0; i < 5; i++) {
      peer.send(get("/", `traceparent: ${SAMPLED}`));
      expect((await peer.message()).body).toBe("fine");
    }
    await eventually(async () => (await sidecar.metric("sidelane_spans_dropped_total")) >= 3);
    expect(await sidecar.metric("sidelane_spans_total")).toBe(0);
  });
});

describe("HTTP/2", () => {
  /** A client that indexes what it sends twice (RFC 7541 §2.3). */
  function connectTo(port: number): ClientHttp2Session {
    const session = connect(`http://127.0.0.1:${port}`);
    onTestFinished(() => session.destroy());
    return session;
  }

  async function ask(
    session: ClientHttp2Session,
    fields: Readonly<Record<string, string | string[]>>,
  ): Promise<string> {
    const stream = session.request({ ":authority": "checkout", ...fields }).setEncoding("utf8");
    let body = "";
    stream.on("data", (text: string) => (body += text));
    await once(stream, "end");
    return body;
  }

  test("through two sidecars, the same field of a shared table again and again", async () => {
    const collector = await startCollector();
    const app = await startHttp2Answering((stream) => {
      stream.respond(200, stream.heads[0]?.get("traceparent") ?? "");
    });
    const { first } = await startTwo(app.name, collector.endpoint);
    const session = connectTo(first.port("out"));
    const bodies: string[] = [];
    for (let i = 0; i < 4; i++) bodies.push(await ask(session, { ":path": "/cart?x", traceparent: SAMPLED }));
    const spans = await collector.collected(8);
    const servers = bodies.map((body) => spans.find(({ spanId }) => body === `00-${TRACE}-${spanId}-01`));
    for (const server of servers) {
      expect(server).toMatchObject({
        kind: "SERVER",
        attributes: { "network.protocol.version": "2", "url.path": "/cart" },
      });
      const client = spans.find(({ spanId }) => spanId === server?.parentSpanId);
      expect(client).toMatchObject({ kind: "CLIENT", parentSpanId: PARENT, resource: { "service.name": "shop" } });
    }
    expect(new Set(servers).size).toBe(4);
  });

  test("all else goes on as it came, without a span", async () => {
    const collector = await startCollector();
    const app = await startHttp2Answering((stream) => {
      const found = stream.heads[0]?.fields.filter(([name]) => name === "traceparent").map(([, value]) => value);
      stream.respond(200, found?.join("\n"));
    });
    const sidecar = await startSidecar({ target: app.name, spans: collector });
    const session = connectTo(sidecar.port());
    for (const [what, values] of untouched) {
      const fields = values.length === 0 ? {} : { traceparent: [...values] };
      expect(await ask(session, fields), what).toBe(values.join("\n"));
    }
    expect(await ask(session, { ":path": "/last", traceparent: SAMPLED })).not.toBe(SAMPLED);
    const [span] = await collector.collected(1);
    expect(span?.attributes["url.path"]).toBe("/last");
  });
});

describe("gRPC", () => {
  test("through two sidecars, named by the method, with the status", async () => {
    const collector = await startCollector();
    const app = await startGrpcApp("app");
    const { first } = await startTwo(app.name, collector.endpoint);
    const client = new GrpcClient(first.port("out"));
    expect((await client.unary("x", { metadata: metadataOf(["traceparent", SAMPLED]) })).code).toBe(0);
    const { client: outer, server } = await pairBeneath(PARENT, collector.collected(2));
    expect(app.served[0]?.metadata.get("traceparent")).toEqual([`00-${TRACE}-${server.spanId}-01`]);
    for (const span of [outer, server]) {
      expect(span).toMatchObject({
        name: "test.Echo/Unary",
        status: "UNSET",
        attributes: { "rpc.system.name": "grpc", "rpc.method": "test.Echo/Unary", "rpc.status_code": "OK" },
      });
    }
    const other = `00-${TRACE}-2222222222222222-01`;
    await client.unary("x", { metadata: metadataOf(["traceparent", other], ["x-fail", "5"]) });
    const failed = await pairBeneath("2222222222222222", collector.collected(4));
    expect(failed.client).toMatchObject({ status: "ERROR", attributes: { "error.type": "NOT_FOUND" } });
    expect(failed.server).toMatchObject({ status: "UNSET", attributes: { "rpc.status_code": "NOT_FOUND" } });
  });
});

describe("as a process", () => {
  test("a drain sends what is left, and OpenTelemetry is never in the proxy", async () => {
    const collector = await startCollector();
    const app = await startAnswering(() => ok("fine"));
    const folder = await mkdtemp(join(tmpdir(), "sidelane-spans-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, "routes.yaml"), "services: { checkout: {} }\n");
    const config = {
      service: "checkout",
      listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: app.name }],
      table: { file: "routes.yaml" },
      admin: { address: "127.0.0.1:0" },
      spans: { endpoint: collector.endpoint },
    };
    await writeFile(join(folder, "sidelane.yaml"), JSON.stringify(config));
    const root = join(import.meta.dirname, "..", "..");
    const child = fork(join(root, "src/main.ts"), ["proxy", "--config", join(folder, "sidelane.yaml")], {
      execArgv: ["--import", join(root, "test/support/log-packages.ts")],
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    const exit = once(child, "exit");
    onTestFinished(() => void child.kill("SIGKILL"));
    const [{ listeners }] = (await once(child, "message")) as [{ readonly listeners: { readonly inbound: string } }];
    const ask = (): Promise<Response> =>
      fetch(`http://${listeners.inbound}/`, { headers: { traceparent: SAMPLED, connection: "close" } });
    await (await ask()).text();
    await collector.collected(1);
    child.send("packages");
    const [{ packages }] = (await once(child, "message")) as [{ readonly packages: readonly string[] }];
    expect(packages.filter((name) => name.startsWith("@opentelemetry/"))).toEqual([]);
    await (await ask()).text();
    child.kill("SIGTERM");
    expect((await exit)[0]).toBe(0);
    expect(collector.spans).toHaveLength(2);
  });
});
