import { connect } from "node:net";
import { expect, test } from "vitest";
import { codes } from "../support/http2-frames.ts";
import { connectHttp2, fetchHttp2, startHelloApp } from "../support/http2-app.ts";
import { connectTo, exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { describeRelay, startSidecar } from "../support/sidecar.ts";

const LAST_POSSIBLE_ID = 2 ** 31 - 1;

describeRelay("drain of HTTP/2 connections (RFC 9113 §6.8)", (mode) => {
  test("two GOAWAYs: what was on its way between them is served, then the connection ends", async () => {
    const trio = await startHttp2Trio(mode);
    const { client } = trio;
    const running = await exchange(trio, get("/running"));
    const drained = trio.sidecar.proxy.drain();
    const first = await client.goneAway();
    expect(first).toMatchObject({ lastId: LAST_POSSIBLE_ID, code: codes.noError });
    // Sent before the client could know.
    const late = await exchange(trio, get("/late"));
    const last = await client.until(() => client.goaways.find(({ lastId }) => lastId < LAST_POSSIBLE_ID));
    expect(last.code).toBe(codes.noError);
    expect(last.lastId).toBeGreaterThanOrEqual(late.asked.id);
    late.got.respond(200, "late");
    expect((await late.asked.complete()).body).toBe("late");
    expect(client.ending).toBeUndefined();
    running.got.respond(200, "done");
    expect((await running.asked.complete()).body).toBe("done");
    expect(await client.ended()).toBe("fin");
    client.socket.destroy();
    await drained;
    expect(await running.got.peer.ended()).toBe("fin");
    expect(await trio.sidecar.metric("sidelane_active_requests")).toBe(0);
  });

  test("an idle connection gets its GOAWAY and ends, and no new one is accepted", async () => {
    const trio = await startHttp2Trio(mode);
    await trio.client.settled();
    const drained = trio.sidecar.proxy.drain();
    expect((await trio.client.goneAway()).code).toBe(codes.noError);
    expect(await trio.client.ended()).toBe("fin");
    trio.client.socket.destroy();
    await drained;
    await expect(
      new Promise((resolve, reject) => {
        connect(trio.sidecar.port(), "127.0.0.1", () => resolve("connected")).once("error", reject);
      }),
    ).rejects.toThrow("ECONNREFUSED");
  });

  test("a response that had begun is completed, a request body too", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    got.head([[":status", "200"]]).data("some");
    await asked.received(4);
    const drained = trio.sidecar.proxy.drain();
    await trio.client.goneAway();
    asked.data("late body", { endStream: true });
    expect((await got.complete()).body).toBe("late body");
    got.data(" more", { endStream: true });
    expect((await asked.complete()).body).toBe("some more");
    expect(await trio.client.ended()).toBe("fin");
    trio.client.socket.destroy();
    await drained;
  });

  test("a stream above the final last id is refused or ignored, never half served", async () => {
    const trio = await startHttp2Trio({ ...mode, timeouts: { drainMs: 20_000 } });
    const { client } = trio;
    const running = await exchange(trio, get("/running"));
    const drained = trio.sidecar.proxy.drain();
    const last = await client.until(() => client.goaways.find(({ lastId }) => lastId < LAST_POSSIBLE_ID));
    const above = client.request(get("/above"));
    expect(above.id).toBeGreaterThan(last.lastId);
    await client.settled();
    expect(above.heads).toEqual([]);
    expect(trio.backend.untaken).toBe(0);
    running.got.respond(204);
    await running.asked.complete();
    await client.ended();
    client.socket.destroy();
    await drained;
  });

  test("timeouts.drainMs bounds it; what still runs is cut off by close", async () => {
    const trio = await startHttp2Trio({ ...mode, timeouts: { drainMs: 100 } });
    const { got } = await exchange(trio);
    await trio.sidecar.proxy.drain();
    expect(trio.client.ending).toBeUndefined();
    await trio.sidecar.close();
    expect(await trio.client.ended()).toMatch(/fin|reset/);
    expect(await got.peer.ended()).toMatch(/fin|reset/);
  });

  test("real clients under load see no failure: they move to another sidecar", async () => {
    const app = await startHelloApp();
    const here = await startSidecar({ ...mode, target: app.name });
    const there = await startSidecar({ ...mode, target: app.name });
    let drained: Promise<void> | undefined;
    const life = async (): Promise<number> => {
      let session = await connectHttp2(here.port());
      let gone = false;
      session.on("goaway", () => (gone = true));
      let served = 0;
      for (let n = 0; n < 100; n++) {
        if (n === 30) drained ??= here.proxy.drain();
        if (gone || session.closed || session.destroyed) {
          session = await connectHttp2(there.port());
          gone = false;
        }
        expect((await fetchHttp2(session)).status).toBe(200);
        served++;
      }
      return served;
    };
    expect(await Promise.all([life(), life(), life()])).toEqual([100, 100, 100]);
    await drained;
  });

  test("clients that know nothing of it: others are served until timeouts.drainDelayMs has passed", async () => {
    const trio = await startHttp2Trio({ ...mode, timeouts: { drainDelayMs: 300 } });
    const drained = trio.sidecar.proxy.drain();
    const late = await connectTo(trio.sidecar);
    const { asked, got } = await exchange({ client: late, backend: trio.backend });
    got.respond(200, "ok");
    expect((await asked.complete()).body).toBe("ok");
    await late.ended();
    for (const { socket } of [late, trio.client]) socket.destroy();
    await drained;
  });

  test("the rest of a request that nobody waits for keeps no connection to the endpoint open", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    got.respond(200, "early");
    expect((await asked.complete()).body).toBe("early");
    trio.client.socket.destroy();
    await trio.sidecar.proxy.drain();
    await trio.sidecar.close();
    // The app has not closed its side, and never will.
    await got.peer.ended();
    expect(await trio.sidecar.metric("sidelane_active_requests")).toBe(0);
  });
});
