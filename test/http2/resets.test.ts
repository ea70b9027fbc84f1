import { describe, expect, test } from "vitest";
import { codes } from "../support/http2-frames.ts";
import { connectTo, exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { eventually } from "../support/quiet.ts";
import { describeRelay } from "../support/sidecar.ts";

const propagated = [
  ["PROTOCOL_ERROR", codes.protocolError],
  ["INTERNAL_ERROR", codes.internalError],
  ["CANCEL", codes.cancel],
  ["ENHANCE_YOUR_CALM", codes.enhanceYourCalm],
  ["HTTP_1_1_REQUIRED", codes.http11Required],
  ["a code of the future", 0xdeadbeef],
] as const;

describeRelay("RST_STREAM", (mode) => {
  test.each(propagated)("of the client reaches the endpoint with its code: %s", async (_, code) => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    asked.data("some");
    await got.received(4);
    asked.reset(code);
    expect(await got.wasReset()).toBe(code);
    await trio.client.settled();
    expect(trio.client.goaways).toEqual([]);
    await eventually(async () => (await trio.sidecar.metric("sidelane_active_requests")) === 0);
  });

  test.each(propagated)("of the endpoint within a response reaches the client with its code: %s", async (_, code) => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio);
    got.head([[":status", "200"]]).data("some");
    await asked.received(4);
    got.reset(code);
    expect(await asked.wasReset()).toBe(code);
    expect(asked.ended).toBe(false);
    // Its neighbours and the connection stay.
    const next = await exchange(trio);
    next.got.respond(200, "ok");
    expect((await next.asked.complete()).body).toBe("ok");
    expect(trio.backend.connections).toHaveLength(1);
  });

  test("NO_ERROR of the endpoint within a response is told as an error: nobody may take what there is for all of it", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio);
    got.head([[":status", "200"]]).data("some");
    await asked.received(4);
    got.reset(codes.noError);
    expect(await asked.wasReset()).toBe(codes.internalError);
    expect(asked.ended).toBe(false);
  });

  test("of the endpoint before a response reaches the client with its code", async () => {
    const trio = await startHttp2Trio(mode);
    for (const code of [codes.cancel, codes.internalError, codes.http11Required]) {
      const { asked, got } = await exchange(trio, post(), { endStream: true });
      got.reset(code);
      expect(await asked.wasReset()).toBe(code);
    }
  });

  test("NO_ERROR behind a complete early answer: the answer arrives, the rest of the request is not wanted", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    asked.data("some");
    await got.received(4);
    got.respond(413, "too large");
    got.reset(codes.noError);
    expect((await asked.complete()).body).toBe("too large");
    expect(await asked.wasReset()).toBe(codes.noError);
  });

  test("of a client within the response stops the endpoint", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio);
    got.head([[":status", "200"]]).data("some");
    await asked.received(4);
    asked.reset();
    expect(await got.wasReset()).toBe(codes.cancel);
    // What was on its way still counts for the windows: the next stream gets its bytes.
    const next = await exchange(trio);
    next.got.head([[":status", "200"]]);
    await next.got.pour([Buffer.alloc(300_000)]);
    expect((await next.asked.complete()).bytesReceived).toBe(300_000);
  });

  test("of either side while bytes of the other are on their way: the connection windows stay whole", async () => {
    const trio = await startHttp2Trio(mode);
    for (let n = 0; n < 40; n++) {
      const { asked, got } = await exchange(trio, post(), { endStream: false });
      got.head([[":status", "200"]]);
      got.data(Buffer.alloc(16_000)).data(Buffer.alloc(16_000));
      asked.data(Buffer.alloc(16_000)).data(Buffer.alloc(16_000));
      if (n % 2 === 0) asked.reset();
      else got.reset();
      await (n % 2 === 0 ? got : asked).wasReset();
      // 32,000 bytes went both ways and nobody read them: they have to be credited all the same.
      await trio.client.until(() => (trio.client.sendWindow >= 32_000 ? true : undefined));
      await got.peer.until(() => (got.peer.sendWindow >= 32_000 ? true : undefined));
    }
    expect(trio.client.goaways).toEqual([]);
  });
});

describe("a client that goes away", () => {
  test.each(["fin", "reset"] as const)(
    "with its connection (%s) takes all of its streams along, and nobody else's",
    async (how) => {
      const trio = await startHttp2Trio({ timeouts: { halfClosedMs: 200 } });
      const streams = [];
      for (let n = 0; n < 5; n++) streams.push((await exchange(trio, post(`/${n}`), { endStream: false })).got);
      const neighbour = await connectTo(trio.sidecar);
      const spared = await exchange({ client: neighbour, backend: trio.backend });
      if (how === "reset") trio.client.abort();
      else trio.client.finish();
      for (const got of streams) expect(await got.wasReset()).toBe(codes.cancel);
      spared.got.respond(200, "ok");
      expect((await spared.asked.complete()).body).toBe("ok");
      expect(trio.backend.open).toBe(1);
      await eventually(async () => (await trio.sidecar.metric("sidelane_active_requests")) === 0);
    },
  );

  test("before its request has a connection leaves nothing", async () => {
    const trio = await startHttp2Trio({}, { backend: { settings: [[3, 1]] } });
    const first = await exchange(trio, get("/first"));
    const second = await exchange(trio, get("/second"));
    expect(second.got.peer).not.toBe(first.got.peer);
    trio.client.abort();
    expect(await first.got.wasReset()).toBe(codes.cancel);
    expect(await second.got.wasReset()).toBe(codes.cancel);
  });
});
