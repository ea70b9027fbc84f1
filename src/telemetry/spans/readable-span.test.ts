import { resourceFromAttributes } from "@opentelemetry/resources";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-node";
import { describe, expect, test } from "vitest";
import { readableSpan } from "./readable-span.ts";
import type { SpanOutcome, SpanRequest } from "./span.ts";

const resource = resourceFromAttributes({});

function read(request: Partial<SpanRequest> = {}, outcome: Partial<SpanOutcome> = {}): ReadableSpan {
  return readableSpan(
    {
      traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03",
      id: "1111111111111111",
      startedMs: 1000.25,
      startedEpochMs: 1_800_000_000_999.75,
      request: {
        direction: "inbound",
        method: "GET",
        scheme: "http",
        host: "checkout",
        port: -1,
        target: "/cart",
        protocolVersion: "1.1",
        client: "10.0.0.3:51320",
        key: "",
        userAgent: "",
        isGrpc: false,
        ...request,
      },
      outcome: {
        status: 200,
        grpcStatus: -1,
        reason: "no-key",
        failed: false,
        service: "checkout",
        destination: "baseline",
        tableVersion: 7,
        endpoint: "10.0.0.7:8080",
        requestBytes: 0,
        responseBytes: 5,
        endedMs: 1002,
        ...outcome,
      },
    },
    resource,
  );
}

const SERVER = 1;
const CLIENT = 2;
const UNSET = { code: 0 };
const ERROR = { code: 2 };

test("an inbound request is the server's side", () => {
  const span = read({ key: "pr-7", userAgent: "curl/8" }, { reason: "sandbox", destination: "pr-7" });
  expect(span.kind).toBe(SERVER);
  expect(span.name).toBe("GET");
  expect(span.status).toEqual(UNSET);
  expect(span.attributes).toEqual({
    "http.request.method": "GET",
    "url.scheme": "http",
    "url.path": "/cart",
    "network.protocol.version": "1.1",
    "server.address": "checkout",
    "server.port": 80,
    "http.response.status_code": 200,
    "http.request.body.size": 0,
    "http.response.body.size": 5,
    "user_agent.original": "curl/8",
    "client.address": "10.0.0.3",
    "network.peer.address": "10.0.0.3",
    "network.peer.port": 51_320,
    "sidelane.service": "checkout",
    "sidelane.destination": "pr-7",
    "sidelane.reason": "sandbox",
    "sidelane.key": "pr-7",
    "sidelane.table.version": 7,
    "sidelane.endpoint": "10.0.0.7:8080",
  });
});

test("an outbound request is the client's side", () => {
  const span = read({ direction: "outbound", scheme: "https", port: 8443, client: "127.0.0.1:4000" });
  expect(span.kind).toBe(CLIENT);
  expect(span.attributes).toMatchObject({
    "url.full": "https://checkout:8443/cart",
    "server.address": "checkout",
    "server.port": 8443,
    "network.peer.address": "10.0.0.7",
    "network.peer.port": 8080,
  });
  expect(span.attributes).not.toHaveProperty("client.address");
});

test("ids, flags and times", () => {
  const span = read();
  expect(span.spanContext()).toEqual({
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    spanId: "1111111111111111",
    traceFlags: 3,
  });
  expect(span.parentSpanContext).toMatchObject({ spanId: "00f067aa0ba902b7", isRemote: true });
  expect(span.startTime).toEqual([1_800_000_000, 999_750_000]);
  expect(span.endTime).toEqual([1_800_000_001, 1_500_000]);
  expect(span.duration).toEqual([0, 1_750_000]);
});

test.each([
  ["/cart?token=secret", "/cart"],
  ["/a/?b?c", "/a/"],
  ["?", ""],
  ["*", "*"],
  ["http://user:pw@shop.example/cart?x", "/cart"],
  ["https://shop.example", ""],
  ["shop.example:443", ""],
  [`/${"a".repeat(2000)}`, `/${"a".repeat(1023)}…`],
])("the path of %s", (target, path) => {
  expect(read({ target }).attributes["url.path"]).toBe(path);
});

test("a method that nobody knows is no name", () => {
  const span = read({ method: "BREW" });
  expect(span.name).toBe("HTTP");
  expect(span.attributes).toMatchObject({ "http.request.method": "_OTHER", "http.request.method_original": "BREW" });
});

test.each([
  ["[fd00::7]:8080", "fd00::7"],
  ["10.0.0.7:8080", "10.0.0.7"],
  ["checkout:8080", undefined],
  ["", undefined],
])("the peer %s", (endpoint, address) => {
  expect(read({ direction: "outbound" }, { endpoint }).attributes["network.peer.address"]).toBe(address);
});

test("a request without a host has no server address", () => {
  const { attributes } = read({ host: "", direction: "outbound" });
  expect(attributes).not.toHaveProperty("server.address");
  expect(attributes).not.toHaveProperty("url.full");
});

describe("errors", () => {
  test.each([
    ["a bad request is the client's", "inbound", { status: 404 }, ""],
    ["and an error to it", "outbound", { status: 404 }, "404"],
    ["a server error", "inbound", { status: 500 }, "500"],
    ["a server error", "outbound", { status: 503 }, "503"],
    ["a redirect", "outbound", { status: 302 }, ""],
    ["our own answer", "inbound", { status: 503, failed: true, reason: "sandbox-unavailable" }, "sandbox-unavailable"],
    ["our own answer", "outbound", { status: 424, failed: true, reason: "expectation-failed" }, "expectation-failed"],
    ["our own answer to the client's fault", "inbound", { status: 421, failed: true, reason: "unknown-key" }, ""],
    ["cut off", "inbound", { status: 200, failed: true, reason: "response-aborted" }, "response-aborted"],
    ["a client that went away", "inbound", { status: 499, failed: true, reason: "client-closed" }, ""],
    ["a client that went away", "outbound", { status: 200, failed: true, reason: "client-closed" }, "client-closed"],
    ["a fallback is none", "inbound", { status: 200, reason: "sandbox-unavailable" }, ""],
  ] as const)("%s (%s)", (_, direction, outcome, type) => {
    const span = read({ direction }, outcome);
    expect(span.attributes["error.type"] ?? "").toBe(type);
    expect(span.status).toEqual(type === "" ? UNSET : ERROR);
  });

  test("a status that nobody was sent is not told", () => {
    const gone = { failed: true, reason: "client-closed" } as const;
    expect(read({}, { ...gone, status: 499 }).attributes).not.toHaveProperty("http.response.status_code");
    expect(read({}, { ...gone, status: 0 }).attributes).not.toHaveProperty("http.response.status_code");
    expect(read({}, { ...gone, status: 200 }).attributes["http.response.status_code"]).toBe(200);
    // An endpoint's own 499 is an answer like any other.
    expect(read({}, { status: 499 }).attributes["http.response.status_code"]).toBe(499);
  });
});

describe("gRPC", () => {
  const call = { method: "POST", target: "/shop.Checkout/Place", protocolVersion: "2", isGrpc: true } as const;

  test("is named by its method", () => {
    const span = read(call, { grpcStatus: 0 });
    expect(span.name).toBe("shop.Checkout/Place");
    expect(span.attributes).toMatchObject({
      "rpc.system.name": "grpc",
      "rpc.method": "shop.Checkout/Place",
      "rpc.status_code": "OK",
      "http.request.method": "POST",
    });
  });

  test("a method that its server does not have is no name", () => {
    const span = read(call, { grpcStatus: 12 });
    expect(span.name).toBe("grpc");
    expect(span.attributes).toMatchObject({ "rpc.method": "_OTHER", "rpc.method_original": "shop.Checkout/Place" });
  });

  test.each([
    ["inbound", { grpcStatus: 0 }, ""],
    ["inbound", { grpcStatus: 5 }, ""],
    ["outbound", { grpcStatus: 5 }, "NOT_FOUND"],
    ["inbound", { grpcStatus: 14 }, "UNAVAILABLE"],
    ["inbound", { grpcStatus: 12 }, "UNIMPLEMENTED"],
    ["inbound", { grpcStatus: 14, failed: true, reason: "upstream-closed" }, "upstream-closed"],
    ["inbound", { grpcStatus: 9, failed: true, reason: "expectation-failed" }, ""],
    ["outbound", { grpcStatus: 9, failed: true, reason: "expectation-failed" }, "expectation-failed"],
    ["inbound", { grpcStatus: 1, failed: true, reason: "client-closed" }, ""],
    ["outbound", { grpcStatus: -1, status: 502 }, "502"],
  ] as const)("%s with %o", (direction, outcome, type) => {
    const span = read({ ...call, direction }, outcome);
    expect(span.attributes["error.type"] ?? "").toBe(type);
    expect(span.status).toEqual(type === "" ? UNSET : ERROR);
  });
});
