// `grpc-timeout` (gRPC over HTTP/2, "Requests"): the server learns how much time the caller has left, never more.
import { status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { metadataOf } from "../support/grpc.ts";
import { describeChains } from "../support/grpc-chain.ts";
import { codes, settingIds } from "../support/http2-frames.ts";
import type { Head } from "../support/http2-hpack.ts";
import { type Exchange, call, connectTo, exchange, startHttp2Trio } from "../support/http2-sidecar.ts";
import { swept } from "../support/quiet.ts";
import { startSidecar } from "../support/sidecar.ts";
import { startHttp2Backend } from "../support/http2-backend.ts";

const msOfUnit: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** The timeout in a head, milliseconds. */
function timeoutMs(head: Head | undefined): number {
  const [, digits = "", unit = ""] = /^(\d{1,8})([HMSmun])$/.exec(head?.get("grpc-timeout") ?? "") ?? [];
  return Number(digits) * (msOfUnit[unit] ?? Number.NaN);
}

const callWithin = (timeout: string) => call("/shop.Checkout/Pay", ["grpc-timeout", timeout]);

describeChains("a deadline of the caller", (start) => {
  test("ends the call at both ends when the server never answers", async () => {
    const { client, first, baseline } = await start();
    const served = baseline.next();
    const { outcome } = client.begin("x", { deadline: Date.now() + 300 });
    const hang = await served;
    const cancelled = new Promise((resolve) => hang.on("cancelled", resolve));
    expect((await outcome).code).toBe(status.DEADLINE_EXCEEDED);
    await cancelled;
    expect(await first.metric("sidelane_requests_total", { code: "200", reason: "no-key" })).toBe(0);
  });

  test("is not later for the server, on a new connection and on one that is there", async () => {
    const { client, baseline } = await start();
    for (let n = 0; n < 5; n++) {
      const served = baseline.next();
      const withinMs = 20_000 + n;
      const deadline = Date.now() + withinMs;
      const { call: hang } = client.begin("x", { deadline });
      const seen = (await served).getDeadline();
      const leftMs = Number(seen) - Date.now();
      // Its own clock began when the call arrived: what counts is how much it has been given.
      expect(leftMs).toBeLessThanOrEqual(withinMs);
      expect(leftMs).toBeGreaterThan(withinMs - 5_000);
      hang.cancel();
    }
  });

  test("that there is none is not changed either", async () => {
    const { client, baseline } = await start();
    await client.unary("x", { metadata: metadataOf(["x-echo-a", "1"]) });
    expect(baseline.served[0]?.getDeadline()).toBe(Number.POSITIVE_INFINITY);
  });

  test("does not end a stream that goes on before it", async () => {
    const { client } = await start();
    const { call: chat, messages, outcome } = client.chat({ deadline: Date.now() + 10_000 });
    chat.write(Buffer.from("a"));
    expect(String(await messages.next())).toBe("a");
    await swept(500);
    chat.end(Buffer.from("b"));
    expect((await messages.rest()).map(String)).toEqual(["b"]);
    expect((await outcome).code).toBe(status.OK);
  });
});

describe("deadline-exceeded, to a caller that does not cancel by itself", () => {
  test("is an answer of trailers alone, and the endpoint hears CANCEL", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio, callWithin("300m"), { endStream: false });
    const head = await asked.receivedHead();
    expect([head.status, head.get("grpc-status"), head.endStream]).toEqual([200, "4", true]);
    expect(head.get("grpc-message")).toMatch(/^deadline-exceeded: .*300 ms/);
    expect(await got.wasReset()).toBe(codes.cancel);
    expect(asked.bytesReceived).toBe(0);
    expect(await trio.sidecar.metric("sidelane_requests_total", { reason: "deadline-exceeded" })).toBe(1);
    expect(await trio.sidecar.metric("sidelane_grpc_requests_total", { grpc_status: "4" })).toBe(1);
    // Neighbours on both connections notice nothing.
    const next = await exchange(trio, call());
    expect(next.got.peer).toBe(got.peer);
    next.got.head(
      [
        [":status", "200"],
        ["grpc-status", "0"],
      ],
      { endStream: true },
    );
    await next.asked.complete();
  });

  test("is a reset when the answer had begun", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio, callWithin("300m"));
    got
      .head([
        [":status", "200"],
        ["content-type", "application/grpc"],
      ])
      .data("\0\0\0\0\0");
    await asked.received(5);
    expect(await asked.wasReset()).not.toBe(codes.noError);
    expect(await got.wasReset()).toBe(codes.cancel);
    expect(asked.ended).toBe(false);
    expect(await trio.sidecar.metric("sidelane_grpc_requests_total", { grpc_status: "4" })).toBe(1);
  });

  test("comes to a call that still waits for a connection", async () => {
    const backend = await startHttp2Backend({ settings: [[settingIds.maxConcurrentStreams, 1]] });
    const sidecar = await startSidecar({
      target: backend.name,
      limits: { upstreamConnectionsMax: 1 },
      timeouts: { upstreamWaitMs: 20_000 },
    });
    const client = await connectTo(sidecar);
    const trio = { client, sidecar, backend };
    await exchange(trio, call());
    const waiting = client.request(callWithin("200m"));
    const head = await waiting.receivedHead();
    expect([head.get("grpc-status"), head.endStream]).toEqual(["4", true]);
    expect(backend.requests).toBe(1);
  });

  test("comes neither without a timeout nor with one that is none, which goes on as it is", async () => {
    const trio = await startHttp2Trio();
    const calls: Exchange[] = [await exchange(trio, call())];
    const malformed = ["5", "m", "1x", "-1S", "999999999S", "1 S"];
    for (const timeout of malformed) calls.push(await exchange(trio, callWithin(timeout)));
    await swept(400);
    expect(calls.map(({ got }) => got.heads[0]?.get("grpc-timeout"))).toEqual([undefined, ...malformed]);
    for (const { asked, got } of calls) {
      expect(asked.heads).toEqual([]);
      got.head(
        [
          [":status", "200"],
          ["grpc-status", "0"],
        ],
        { endStream: true },
      );
      expect((await asked.complete()).heads[0]?.get("grpc-status")).toBe("0");
    }
  });
});

describe("grpc-timeout that is forwarded", () => {
  test.each(["1H", "99999999H", "90M", "30S", "29999m", "30000000u", "99999999u"])(
    "%s: the same to a connection that is there, not more to a new one",
    async (timeout) => {
      const trio = await startHttp2Trio();
      const first = await exchange(trio, callWithin(timeout));
      const given = Number(timeout.slice(0, -1)) * (msOfUnit[timeout.slice(-1)] ?? 0);
      expect(timeoutMs(first.got.heads[0])).toBeLessThanOrEqual(given);
      expect(timeoutMs(first.got.heads[0])).toBeGreaterThan(given * 0.8);
      const second = await exchange(trio, callWithin(timeout));
      expect(second.got.heads[0]?.get("grpc-timeout")).toBe(timeout);
    },
  );

  test("is shorter by what the call waited for a connection", async () => {
    const trio = await startHttp2Trio(
      { limits: { upstreamConnectionsMax: 1 }, timeouts: { upstreamWaitMs: 20_000 } },
      { backend: { settings: [[settingIds.maxConcurrentStreams, 1]] } },
    );
    const first = await exchange(trio, call());
    await first.got.peer.settled();
    const before = performance.now();
    const next = trio.backend.next();
    trio.client.request(callWithin("20S"));
    await trio.client.settled();
    await swept(300);
    expect(trio.backend.requests).toBe(1);
    first.got.head(
      [
        [":status", "200"],
        ["grpc-status", "0"],
      ],
      { endStream: true },
    );
    const left = timeoutMs((await next).heads[0]);
    expect(left).toBeLessThanOrEqual(20_000 - 200);
    expect(left).toBeGreaterThan(20_000 - (performance.now() - before) - 2);
  });

  test.each([
    ["refused", ({ got }: Exchange) => got.reset(codes.refusedStream)],
    ["left out by a GOAWAY", ({ got }: Exchange) => got.peer.goaway(0)],
  ])("is shorter on a retry by the time that has passed: %s", async (_, spoil) => {
    const trio = await startHttp2Trio();
    const warm = await exchange(trio, call());
    warm.got.head(
      [
        [":status", "200"],
        ["grpc-status", "0"],
      ],
      { endStream: true },
    );
    await warm.asked.complete();

    const one = await exchange(trio, callWithin("20S"));
    expect(one.got.heads[0]?.get("grpc-timeout")).toBe("20S");
    await swept(300);
    const again = trio.backend.next();
    spoil(one);
    const second = await again;
    expect(timeoutMs(second.heads[0])).toBeLessThanOrEqual(20_000 - 200);
    expect(timeoutMs(second.heads[0])).toBeGreaterThan(10_000);
    await swept(300);
    const third = trio.backend.next();
    second.reset(codes.refusedStream);
    expect(timeoutMs((await third).heads[0])).toBeLessThanOrEqual(timeoutMs(second.heads[0]) - 200);
    expect((await third).heads[0]?.all("grpc-timeout")).toHaveLength(1);
  });
});
