// END_STREAM closes one direction and says nothing about the other (RFC 9113 §5.1).
import { expect, test } from "vitest";
import { codes } from "../support/http2-frames.ts";
import { exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { eventually } from "../support/quiet.ts";
import { endpointState } from "../support/requests.ts";
import { describeRelay } from "../support/sidecar.ts";

describeRelay("each direction ends on its own", (mode) => {
  test("the response ends before the request: the rest of the request still arrives", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    got.respond(200, "early");
    expect((await asked.complete()).body).toBe("early");
    asked.data("late ").data("body", { endStream: true });
    expect((await got.complete()).body).toBe("late body");
    await trio.client.settled();
    expect(asked.resetCode).toBeUndefined();
    expect(got.resetCode).toBeUndefined();
  });

  test("an early response, and a request whose end waits for the endpoint's window: it arrives whole", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    got.peer.credit = "connection";
    got.respond(200, "early");
    await asked.complete();
    await asked.pour([Buffer.alloc(70_000, "x")]);
    await got.received(65_535);
    await trio.client.settled();
    expect(got.resetCode).toBeUndefined();
    got.allow(100_000);
    expect((await got.complete()).bytesReceived).toBe(70_000);
  });

  test.each(["stays", "leaves"])(
    "an early response, and a rest that the endpoint never takes: its client %s, it ends",
    async (how) => {
      const trio = await startHttp2Trio({ ...mode, timeouts: { stalledMs: 400 } });
      const { asked, got } = await exchange(trio, post(), { endStream: false });
      got.peer.credit = "connection";
      got.respond(200, "early");
      await asked.complete();
      await asked.pour([Buffer.alloc(70_000, "x")]);
      await got.received(65_535);
      if (how === "leaves") trio.client.abort();
      expect(await got.wasReset()).toBe(codes.cancel);
      await eventually(() => endpointState(trio.sidecar)?.outstanding === 0);
      expect(endpointState(trio.sidecar)).toMatchObject({ idle: 1, active: 0 });
      expect(await trio.sidecar.metric("sidelane_active_requests")).toBe(0);
    },
  );

  test("an early request, and a response whose end waits for the client's window: it arrives whole", async () => {
    const trio = await startHttp2Trio(mode);
    trio.client.credit = "connection";
    const { asked, got } = await exchange(trio);
    got.head([[":status", "200"]]);
    const poured = got.pour([Buffer.alloc(70_000, "x")]);
    await asked.received(65_535);
    await poured;
    await got.peer.settled();
    expect(asked.resetCode).toBeUndefined();
    asked.allow(100_000);
    expect((await asked.complete()).bytesReceived).toBe(70_000);
  });

  test("the request ends long before the response", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    asked.data("body", { endStream: true });
    await got.complete();
    for (let n = 0; n < 5; n++) {
      const other = await exchange(trio);
      other.got.respond(200, `${n}`);
      expect((await other.asked.complete()).body).toBe(`${n}`);
    }
    got.head([[":status", "200"]]).data("at ");
    await asked.received(3);
    got.data("last", { endStream: true });
    expect((await asked.complete()).body).toBe("at last");
  });

  test("the head of the response comes while the request goes on, and both go on by turns", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    got.head([[":status", "200"]]);
    await asked.receivedHead();
    for (let n = 1; n <= 20; n++) {
      asked.data("ping");
      await got.received(4 * n);
      got.data("pong");
      await asked.received(4 * n);
    }
    asked.end();
    expect((await got.complete()).body).toBe("ping".repeat(20));
    got.end();
    expect((await asked.complete()).body).toBe("pong".repeat(20));
  });

  test("END_STREAM in the head, in DATA, in an empty DATA frame and in trailers arrives at once", async () => {
    const trio = await startHttp2Trio(mode);
    const inHead = await exchange(trio, get());
    await inHead.got.complete();
    const inData = await exchange(trio, post(), { endStream: false });
    inData.asked.data("x", { endStream: true });
    await inData.got.complete();
    const inEmpty = await exchange(trio, post(), { endStream: false });
    inEmpty.asked.data("x");
    await inEmpty.got.received(1);
    expect(inEmpty.got.ended).toBe(false);
    inEmpty.asked.end();
    await inEmpty.got.complete();
    const inTrailers = await exchange(trio, post(), { endStream: false });
    inTrailers.asked.head([["x-end", "1"]], { endStream: true });
    await inTrailers.got.complete();
    expect(inTrailers.got.heads[1]?.get("x-end")).toBe("1");
  });

  test("a body that is never finished keeps the request open until it is", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    asked.data("");
    await trio.client.settled();
    await got.peer.settled();
    expect(got.ended).toBe(false);
    asked.end();
    await got.complete();
  });
});
