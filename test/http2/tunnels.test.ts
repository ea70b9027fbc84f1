// Tunnels over HTTP/2: what becomes of an extended CONNECT (RFC 8441) that its endpoint has agreed to.
import { expect, onTestFinished, test } from "vitest";
import { codes } from "../support/http2-frames.ts";
import { type Exchange, type Http2Trio, exchange } from "../support/http2-sidecar.ts";
import { openTunnel, startTunnelTrio, tunnelTo } from "../support/http2-tunnel.ts";
import { eventually, swept } from "../support/quiet.ts";
import { endpointState } from "../support/requests.ts";
import { type SidecarOptions, describeRelay } from "../support/sidecar.ts";
import { bodyBlocks, bodyDigest } from "../support/stream.ts";

const MIB = 1024 * 1024;

describeRelay("a tunnel over HTTP/2", (mode) => {
  const start = (options: SidecarOptions = {}): Promise<Http2Trio> => startTunnelTrio({ ...mode, ...options });

  test("ends each way on its own: the client first", async () => {
    const trio = await start();
    const { asked, got } = await openTunnel(trio);
    asked.data("last words", { endStream: true });
    expect((await got.complete()).body).toBe("last words");
    for (let n = 0; n < 3; n++) {
      got.data("still ");
      await asked.received(6 * (n + 1));
    }
    expect(asked.ended).toBe(false);
    expect(await trio.sidecar.metric("sidelane_active_requests")).toBe(1);
    got.end();
    expect((await asked.complete()).body).toBe("still still still ");
    await eventually(async () => (await trio.sidecar.metric("sidelane_active_requests")) === 0);
    expect(endpointState(trio.sidecar)).toMatchObject({ idle: 1, active: 0, outstanding: 0 });
  });

  test("ends each way on its own: the endpoint first", async () => {
    const trio = await start();
    const { asked, got } = await openTunnel(trio);
    got.data("last words", { endStream: true });
    expect((await asked.complete()).body).toBe("last words");
    await swept(200);
    for (let n = 0; n < 3; n++) {
      asked.data("still ");
      await got.received(6 * (n + 1));
    }
    expect([got.ended, got.resetCode, asked.resetCode]).toEqual([false, undefined, undefined]);
    asked.end();
    expect((await got.complete()).body).toBe("still still still ");
    await eventually(async () => (await trio.sidecar.metric("sidelane_active_requests")) === 0);
    expect(asked.resetCode).toBeUndefined();
    expect(await trio.sidecar.metric("sidelane_requests_total", { code: "200", reason: "no-key" })).toBe(1);
  });

  test("ends when its head does, if the client has nothing to say", async () => {
    const trio = await start();
    const { asked, got } = await exchange(trio, tunnelTo());
    expect(got.ended).toBe(true);
    got.head([[":status", "200"]]).data("news", { endStream: true });
    expect((await asked.complete()).body).toBe("news");
  });

  test.each([codes.cancel, codes.internalError, codes.connectError, codes.enhanceYourCalm])(
    "passes on RST_STREAM with code %d, whoever sends it, before and behind the answer",
    async (code) => {
      const trio = await start();
      for (const open of [true, false]) {
        const begin = (): Promise<Exchange> => (open ? openTunnel(trio) : exchange(trio, tunnelTo(), {}));
        const first = await begin();
        first.asked.reset(code);
        expect(await first.got.wasReset()).toBe(code);
        const second = await begin();
        second.got.reset(code);
        expect(await second.asked.wasReset()).toBe(code);
        expect([first.got.ended, second.asked.ended]).toEqual([false, false]);
      }
      await eventually(async () => (await trio.sidecar.metric("sidelane_active_requests")) === 0);
      expect(trio.backend.connections).toHaveLength(1);
    },
  );

  test("of a client whose connection breaks is cancelled", async () => {
    const trio = await start();
    const open = await openTunnel(trio);
    const waiting = await exchange(trio, tunnelTo(), {});
    trio.client.abort();
    for (const { got } of [open, waiting]) expect(await got.wasReset()).toBe(codes.cancel);
    const lost = { reason: "client-closed" };
    await eventually(async () => (await trio.sidecar.metric("sidelane_requests_total", lost)) === 2);
    expect(await trio.sidecar.metric("sidelane_active_requests")).toBe(0);
  });

  test("that loses its endpoint's connection is reset, never ended", async () => {
    const trio = await start();
    const { asked, got } = await openTunnel(trio);
    got.data("half a mess");
    await asked.received(11);
    got.peer.abort();
    await asked.wasReset();
    expect(asked.ended).toBe(false);
    const aborted = { code: "200", reason: "response-aborted" };
    await eventually(async () => (await trio.sidecar.metric("sidelane_requests_total", aborted)) === 1);
    // The client's connection has nothing to do with it.
    await openTunnel(trio);
  });

  test("passes megabytes both ways at once, in frames and segments of any size", async () => {
    const trio = await start();
    const { asked, got } = await openTunnel(trio);
    asked.keep = false;
    got.keep = false;
    await Promise.all([asked.pour(bodyBlocks(5 * MIB)), got.pour(bodyBlocks(6 * MIB))]);
    await Promise.all([asked.complete(), got.complete()]);
    expect(asked.hash.digest("hex")).toBe(bodyDigest(6 * MIB));
    expect(got.hash.digest("hex")).toBe(bodyDigest(5 * MIB));
  });

  test("with thousands of small messages, each credited as it comes, is no abuse", async () => {
    const trio = await start();
    const { asked, got } = await openTunnel(trio);
    for (const peer of [asked.peer, got.peer]) peer.creditStep = 1;
    for (let n = 1; n <= 3000; n++) {
      asked.data(`${n % 10}`);
      got.data("ab");
      if (n % 100 === 0) await Promise.all([got.received(n), asked.received(2 * n)]);
    }
    expect(await trio.sidecar.metric("sidelane_http2_abuse_total")).toBe(0);
    asked.end();
    got.end();
    await Promise.all([asked.complete(), got.complete()]);
  });

  test("outlives the deadlines of requests, and ends when it is idle for timeouts.tunnelIdleMs", async () => {
    const deadlines = { responseHeadMs: 300, bodyMs: 300, stalledMs: 300, idleMs: 300 };
    const trio = await start({ timeouts: { ...deadlines, halfClosedMs: 300, tunnelIdleMs: 900 } });
    const { asked, got } = await openTunnel(trio);
    const work = setInterval(() => {
      if (got.resetCode === undefined) got.data(".");
    }, 50);
    onTestFinished(() => clearInterval(work));
    await swept(1200);
    expect([asked.resetCode, got.resetCode]).toEqual([undefined, undefined]);
    clearInterval(work);
    await asked.wasReset();
    await got.wasReset();
    expect(asked.ended).toBe(false);
    await eventually(async () => (await trio.sidecar.metric("sidelane_active_requests")) === 0);
    // As in HTTP/1.1: an end like any other.
    expect(await trio.sidecar.metric("sidelane_requests_total", { code: "200", reason: "no-key" })).toBe(1);
  });

  test("outlives timeouts.requestMs, as an upgraded connection does", async () => {
    const trio = await start({ timeouts: { requestMs: 200 } });
    const { asked, got } = await openTunnel(trio);
    await swept(600);
    asked.data("still here");
    got.data("so am I");
    await Promise.all([got.received(10), asked.received(7)]);
    expect([got.body, asked.body]).toEqual(["still here", "so am I"]);
  });

  test("is not idle while only one side speaks, or after the other has ended", async () => {
    const trio = await start({ timeouts: { tunnelIdleMs: 600 } });
    const { asked, got } = await openTunnel(trio);
    got.end();
    await asked.complete();
    const work = setInterval(() => asked.data("."), 50);
    onTestFinished(() => clearInterval(work));
    await swept(1000);
    clearInterval(work);
    expect([asked.resetCode, got.resetCode]).toEqual([undefined, undefined]);
    asked.end();
    await got.complete();
  });

  test("whose client leaves its window shut for timeouts.stalledMs is given up, as any response", async () => {
    const trio = await start({ timeouts: { stalledMs: 300 } });
    trio.client.credit = "connection";
    const { asked, got } = await openTunnel(trio);
    void got.pour(bodyBlocks(MIB)).catch(() => {});
    const neighbour = await openTunnel(trio);
    expect(await asked.wasReset()).toBe(codes.enhanceYourCalm);
    expect(await got.wasReset()).toBe(codes.cancel);
    neighbour.asked.data("here");
    await neighbour.got.received(4);
    expect(await trio.sidecar.metric("sidelane_http2_abuse_total", { kind: "stalled" })).toBe(1);
  });

  test("lives through a drain until its deadline", async () => {
    const trio = await start({ timeouts: { drainMs: 500 } });
    const { asked, got } = await openTunnel(trio);
    const drained = trio.sidecar.proxy.drain();
    expect((await trio.client.goneAway()).code).toBe(codes.noError);
    await trio.client.until(() => (trio.client.goaways.length === 2 ? true : undefined));
    asked.data("still at work");
    await got.received(13);
    got.data("so am I");
    await asked.received(7);
    await drained;
    expect([trio.client.ending, asked.resetCode]).toEqual([undefined, undefined]);
    await trio.sidecar.close();
    expect(await trio.client.ended()).toMatch(/fin|reset/);
    await got.peer.ended();
    expect([asked.ended, got.ended]).toEqual([false, false]);
  });

  test("that ends during a drain lets it end", async () => {
    const trio = await start({ timeouts: { drainMs: 20_000 } });
    const { asked, got } = await openTunnel(trio);
    const drained = trio.sidecar.proxy.drain();
    await trio.client.until(() => (trio.client.goaways.length === 2 ? true : undefined));
    asked.end();
    got.end();
    await asked.complete();
    expect(await trio.client.ended()).toBe("fin");
    trio.client.socket.destroy();
    await drained;
  });

  test("is one exchange in metrics, log and connections, from its request to its end", async () => {
    const trio = await start({ accessLog: true });
    const { sidecar } = trio;
    const { asked, got } = await openTunnel(trio, tunnelTo("websocket", ["user-agent", "test/1"]));
    expect(await sidecar.metric("sidelane_active_requests")).toBe(1);
    expect(endpointState(sidecar)).toMatchObject({ idle: 0, active: 1, outstanding: 1 });
    asked.data("12345");
    await got.received(5);
    got.data("123");
    await asked.received(3);
    await swept(200);
    asked.end();
    got.end();
    await Promise.all([asked.complete(), got.complete()]);
    await eventually(async () => (await sidecar.metric("sidelane_active_requests")) === 0);
    const labels = { protocol: "http2", code: "200", reason: "no-key", destination: "baseline" };
    expect(await sidecar.metric("sidelane_requests_total", labels)).toBe(1);
    expect(await sidecar.metric("sidelane_requests_total")).toBe(1);
    // A timer of 200 ms may fire a little before 200 ms of another clock are over.
    expect(await sidecar.metric("sidelane_request_duration_seconds_sum")).toBeGreaterThan(0.19);
    expect(endpointState(sidecar)).toMatchObject({ idle: 1, active: 0, outstanding: 0 });
    const lines = await sidecar.logLines();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      method: "CONNECT",
      host: "checkout",
      path: "/chat",
      protocol: "HTTP/2",
      status: 200,
      reason: "no-key",
      endpoint: trio.backend.name,
      requestBytes: 5,
      responseBytes: 3,
      userAgent: "test/1",
    });
  });
});
