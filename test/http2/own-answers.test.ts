import { describe, expect, test } from "vitest";
import { problemType } from "../../src/base/reasons.ts";
import { codes } from "../support/http2-frames.ts";
import { startHttp2Answering } from "../support/http2-backend.ts";
import type { SentField } from "../support/http2-hpack.ts";
import { call, connectTo, exchange, fieldsOf, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { startBlackhole } from "../support/blackhole.ts";
import { describeRelay, startSidecar } from "../support/sidecar.ts";

const dead = {
  table: { services: { checkout: {} }, sandboxes: { "pr-7": { services: { checkout: ["127.0.0.1:1"] } } } },
};
const key: SentField = ["baggage", "sidelane=pr-7"];

describeRelay("answers of our own (RFC 9457)", (mode) => {
  test("say everything there is to say, and the connection goes on", async () => {
    const trio = await startHttp2Trio({ ...mode, ...dead });
    const asked = await trio.client.request(get("/", key)).complete();
    const [head] = asked.heads;
    expect(head?.status).toBe(503);
    expect(head?.get("content-type")).toBe("application/problem+json");
    expect(head?.get("server")).toBe("sidelane");
    expect(head?.get("cache-control")).toBe("no-store");
    expect(head?.get("content-length")).toBe(String(asked.bytesReceived));
    const { detail, ...rest } = JSON.parse(asked.body) as Record<string, unknown>;
    expect(rest).toEqual({
      type: problemType("sandbox-unavailable"),
      title: "sandbox unavailable",
      status: 503,
      reason: "sandbox-unavailable",
      service: "checkout",
      destination: "pr-7",
      endpoint: "127.0.0.1:1",
    });
    expect(detail).toContain("127.0.0.1:1");
    // The baseline was not asked (DESIGN §3.4 step 7).
    expect(trio.backend.connections).toHaveLength(0);
    const next = await exchange(trio);
    next.got.respond(204);
    await next.asked.complete();
  });

  test("come before the request's body is complete, and what follows of it is dropped", async () => {
    const trio = await startHttp2Trio({ ...mode, ...dead });
    const asked = trio.client.request(post("/", key), {});
    asked.data("x".repeat(16_000));
    expect((await asked.receivedHead()).status).toBe(503);
    await asked.complete();
    for (let n = 0; n < 3; n++) asked.data("x".repeat(10_000));
    asked.end();
    const next = await exchange(trio, post(), { endStream: false });
    // The connection's window is whole again.
    await next.asked.pour([Buffer.alloc(200_000)]);
    expect((await next.got.complete()).bytesReceived).toBe(200_000);
    expect(trio.client.goaways).toEqual([]);
  });

  test("to a client whose window is closed wait for it", async () => {
    const trio = await startHttp2Trio({ ...mode, ...dead }, { client: { settings: [[4, 0]] } });
    const asked = trio.client.request(get("/", key));
    expect((await asked.receivedHead()).status).toBe(503);
    await trio.client.settled();
    expect(asked.bytesReceived).toBe(0);
    asked.allow(100_000);
    await asked.complete();
    expect(JSON.parse(asked.body)).toMatchObject({ status: 503 });
  });

  test("x-sidelane-route tells the decision to who asks, on forwarded responses and on our own", async () => {
    const trio = await startHttp2Trio({ ...mode, ...dead });
    const debug: SentField = ["x-sidelane-debug", "1"];
    const own = await trio.client.request(get("/", key, debug)).complete();
    expect(own.heads[0]?.get("x-sidelane-route")).toBe("checkout=pr-7;reason=sandbox;table=1");
    const forwarded = await exchange(trio, get("/", debug));
    forwarded.got.respond(204);
    const [head] = (await forwarded.asked.complete()).heads;
    expect(head?.get("x-sidelane-route")).toBe("checkout=baseline;reason=no-key;table=1");
    const silent = await exchange(trio, get("/", ["x-sidelane-debug", "0"]));
    silent.got.respond(204);
    expect((await silent.asked.complete()).heads[0]?.get("x-sidelane-route")).toBeUndefined();
  });

  test("to HEAD have no body; OPTIONS and TRACE with Max-Forwards: 0 are for the sidecar itself", async () => {
    const trio = await startHttp2Trio({ ...mode, ...dead });
    const head = await trio.client.request(fieldsOf("HEAD", "/", key)).complete();
    expect([head.heads[0]?.status, head.bytesReceived]).toEqual([503, 0]);
    const options = await trio.client.request(fieldsOf("OPTIONS", "*", ["max-forwards", "0"])).complete();
    expect(options.heads[0]?.status).toBe(200);
    const trace = await trio.client.request(fieldsOf("TRACE", "/", ["max-forwards", "0"])).complete();
    expect(trace.heads[0]?.status).toBe(405);
    expect(trio.backend.requests).toBe(0);
  });

  test("an endpoint that never answers: 504 after timeouts.responseHeadMs, and it is told", async () => {
    const trio = await startHttp2Trio({ ...mode, timeouts: { responseHeadMs: 300 } });
    const { asked, got } = await exchange(trio);
    expect((await asked.complete()).heads[0]?.status).toBe(504);
    expect(await got.wasReset()).toBe(codes.cancel);
    const next = await exchange(trio);
    expect(next.got.peer).toBe(got.peer);
    next.got.respond(204);
    await next.asked.complete();
  });

  test("an address that swallows connections: 503 after timeouts.connectMs", async () => {
    const port = await startBlackhole();
    const sidecar = await startSidecar({ ...mode, target: `127.0.0.1:${port}`, timeouts: { connectMs: 300 } });
    const client = await connectTo(sidecar);
    const asked = await client.request(get()).complete();
    expect(asked.heads[0]?.status).toBe(503);
    expect(JSON.parse(asked.body)).toMatchObject({ reason: "upstream-unavailable" });
  });
});

describe("to gRPC callers: one head with grpc-status and grpc-message", () => {
  test.each([
    ["an endpoint that is dead", [key], 14, "sandbox-unavailable"],
    ["an unknown key", [["baggage", "sidelane=nobody"]], 5, "unknown-key"],
  ] as [string, SentField[], number, string][])("%s", async (_, fields, status, reason) => {
    const trio = await startHttp2Trio({ ...dead, tenancy: { onUnknownKey: "reject" } });
    const asked = await trio.client
      .request(call("/shop.Checkout/Pay", ...fields), {})
      .data("\0\0\0\0\0")
      .over();
    expect(asked.heads).toHaveLength(1);
    const [head] = asked.heads;
    expect(head?.endStream).toBe(true);
    expect(head?.status).toBe(200);
    expect(head?.get("content-type")).toMatch(/^application\/grpc/);
    expect(head?.get("grpc-status")).toBe(String(status));
    expect(head?.get("server")).toBe("sidelane");
    // Percent-encoded, so that it is one line of printable ASCII.
    expect(head?.get("grpc-message")).toMatch(/^[ -~]+$/);
    expect(head?.get("grpc-message")?.length).toBeGreaterThan(10);
    expect(asked.bytesReceived).toBe(0);
    expect(await trio.sidecar.metric("sidelane_requests_total", { reason })).toBe(1);
  });

  test("an endpoint that breaks off before its answer", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio, call());
    got.peer.abort();
    const head = await asked.receivedHead();
    expect([head.status, head.get("grpc-status"), head.endStream]).toEqual([200, "14", true]);
  });

  test("a deadline of ours", async () => {
    const trio = await startHttp2Trio({ timeouts: { responseHeadMs: 300 } });
    const { asked } = await exchange(trio, call());
    const head = await asked.receivedHead();
    expect([head.status, head.get("grpc-status")]).toEqual([200, "4"]);
  });
});

describe("a request that comes back", () => {
  test("is refused by its Via, at once or over another sidecar", async () => {
    const sidecar = await startSidecar({ target: "127.0.0.1:1" });
    sidecar.publish({
      services: { checkout: {} },
      sandboxes: { "pr-7": { services: { checkout: [`127.0.0.1:${sidecar.port()}`] } } },
    });
    const client = await connectTo(sidecar);
    const asked = await client.request(get("/", key)).complete();
    expect(asked.heads[0]?.status).toBe(508);
    expect(JSON.parse(asked.body)).toMatchObject({ reason: "loop" });
    expect(await sidecar.metric("sidelane_requests_total", { reason: "loop" })).toBe(1);
  });

  test("not: from the outbound to the inbound listener of one sidecar; Via of others stays in front", async () => {
    const backend = await startHttp2Answering((stream) => {
      stream.respond(200, (stream.heads[0]?.all("via") ?? []).join(" | "));
    });
    const sidecar = await startSidecar({
      listeners: [
        { direction: "inbound", address: "127.0.0.1:0", target: backend.name },
        { direction: "outbound", address: "127.0.0.1:0" },
      ],
    });
    const client = await connectTo(sidecar, {}, "outbound");
    const fields: SentField[] = [
      [":method", "GET"],
      [":scheme", "http"],
      [":authority", `127.0.0.1:${sidecar.port("inbound")}`],
      [":path", "/"],
      ["via", "1.1 elsewhere"],
    ];
    const { body } = await client.request(fields).complete();
    expect(body).toMatch(/^1\.1 elsewhere(?: \| |, )2\S* sidelane-\S+-outbound(?: \| |, )2\S* sidelane-\S+-inbound$/);
  });
});
