import { expect, test } from "vitest";
import { codes } from "../support/http2-frames.ts";
import { type Exchange, call, exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { eventually } from "../support/quiet.ts";
import { endpointState, openConnections, upstreamGauges } from "../support/requests.ts";

test("requests are counted once, with protocol, destination, reason and code; gauges return to nothing", async () => {
  const trio = await startHttp2Trio();
  const { sidecar } = trio;
  const { asked, got } = await exchange(
    trio,
    post("/a?b=c", ["traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
    { endStream: false },
  );
  expect(await sidecar.metric("sidelane_active_requests")).toBe(1);
  expect(endpointState(sidecar)).toMatchObject({ outstanding: 1 });
  expect(openConnections(sidecar)).toBe(1);
  asked.data("hello", { endStream: true });
  await got.complete();
  got.respond(201, "answer");
  await asked.complete();
  const labels = { protocol: "http2", destination: "baseline", reason: "no-key", code: "201" };
  await eventually(async () => (await sidecar.metric("sidelane_active_requests")) === 0);
  expect(await sidecar.metric("sidelane_requests_total", labels)).toBe(1);
  expect(await sidecar.metric("sidelane_requests_total")).toBe(1);
  expect(await sidecar.metric("sidelane_request_duration_seconds_count", { protocol: "http2" })).toBe(1);
  expect(endpointState(sidecar)).toMatchObject({ outstanding: 0 });
});

test.each([
  ["refused", ({ got }: Exchange) => got.reset(codes.refusedStream)],
  ["lost by a GOAWAY", ({ got }: Exchange) => got.peer.goaway(0)],
  ["reset", ({ got }: Exchange) => got.reset(codes.cancel)],
  ["lost with the connection", ({ got }: Exchange) => got.peer.abort()],
  ["cancelled", ({ asked }: Exchange) => asked.reset()],
])("the gauges of upstream connections are right behind a stream that was %s", async (_, spoil) => {
  const trio = await startHttp2Trio();
  const one = await exchange(trio);
  trio.backend.answer = (stream) => void stream.respond(204);
  spoil(one);
  const next = await trio.client.request(get()).complete();
  expect(next.heads[0]?.status).toBe(204);
  await eventually(async () => (await trio.sidecar.metric("sidelane_active_requests")) === 0);
  expect(endpointState(trio.sidecar)).toMatchObject({ idle: 1, active: 0, outstanding: 0 });
  expect(await upstreamGauges(trio.sidecar)).toEqual({ idle: 1, active: 0, connecting: 0 });
});

test("the access log says the same of an HTTP/2 request as of any other", async () => {
  const trio = await startHttp2Trio({ accessLog: true });
  const fields = [
    ["user-agent", "test/1"],
    ["traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
  ] as const;
  const { asked, got } = await exchange(trio, post("/a?b=c", ...fields), { endStream: false });
  asked.data("hello", { endStream: true });
  await got.complete();
  got.respond(201, "answer");
  await asked.complete();
  const cancelled = await exchange(trio, get("/cancelled"));
  cancelled.asked.reset();
  await cancelled.got.wasReset();
  const [line, second, ...more] = await trio.sidecar.logLines();
  expect(more).toEqual([]);
  expect(line).toMatchObject({
    method: "POST",
    host: "checkout",
    protocol: "HTTP/2",
    destination: "baseline",
    reason: "no-key",
    status: 201,
    endpoint: trio.backend.name,
    requestBytes: 5,
    responseBytes: 6,
    traceId: "0af7651916cd43dd8448eb211c80319c",
    userAgent: "test/1",
  });
  expect(second).toMatchObject({ reason: "client-closed" });
});

test("gRPC calls are counted by method and grpc-status, from trailers and from a head alone", async () => {
  const trio = await startHttp2Trio();
  for (const alone of [true, false]) {
    const { asked, got } = await exchange(trio, call("/shop.Checkout/Pay"));
    if (alone)
      got.head(
        [
          [":status", "200"],
          ["grpc-status", "5"],
        ],
        { endStream: true },
      );
    else
      got
        .head([[":status", "200"]])
        .data("\0\0\0\0\0")
        .head([["grpc-status", "0"]], { endStream: true });
    await asked.complete();
  }
  const name = "sidelane_grpc_requests_total";
  expect(await trio.sidecar.metric(name, { method: "/shop.Checkout/Pay", grpc_status: "5" })).toBe(1);
  expect(await trio.sidecar.metric(name, { method: "/shop.Checkout/Pay", grpc_status: "0" })).toBe(1);
});
