// GOAWAY says which requests will be answered; the others have not been looked at and are sent again (RFC 9113 §6.8,
// §8.7).
import { describe, expect, test } from "vitest";
import { codes, settingIds } from "../support/http2-frames.ts";
import { type Exchange, connectTo, exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import type { Http2Peer } from "../support/http2-peer.ts";
import { eventually } from "../support/quiet.ts";
import { endpointState } from "../support/requests.ts";
import { describeRelay } from "../support/sidecar.ts";
import { bodyBlocks, bodyDigest } from "../support/stream.ts";

async function answer({ asked, got }: Exchange, body = "ok"): Promise<void> {
  got.respond(200, body);
  expect((await asked.complete()).body).toBe(body);
}

describeRelay("GOAWAY of an endpoint", (mode) => {
  test("streams up to the last id are finished there, later requests go to a new connection", async () => {
    const trio = await startHttp2Trio(mode);
    const first = await exchange(trio, get("/1"));
    const second = await exchange(trio, get("/2"));
    expect(second.got.peer).toBe(first.got.peer);
    first.got.peer.goaway(second.got.id);
    await first.got.peer.settled();
    const third = await exchange(trio, get("/3"));
    expect(third.got.peer).not.toBe(first.got.peer);
    await answer(second, "two");
    await answer(first, "one");
    await answer(third, "three");
    // Nobody needs it any more.
    expect(await first.got.peer.ended()).toBe("fin");
  });

  test("streams above the last id are sent again elsewhere, whatever their method", async () => {
    const trio = await startHttp2Trio(mode);
    const kept = await exchange(trio, get("/kept"));
    const lost = await exchange(trio, post("/lost", ["x-a", "b"]), { endStream: false });
    lost.asked.data("body", { endStream: true });
    await lost.got.complete();
    const again = trio.backend.next();
    kept.got.peer.goaway(kept.got.id);
    const got = await again;
    expect(got.peer).not.toBe(kept.got.peer);
    expect((await got.complete()).body).toBe("body");
    expect(got.heads[0]?.fields).toEqual(lost.got.heads[0]?.fields);
    got.respond(200, "saved");
    expect((await lost.asked.complete()).body).toBe("saved");
    await answer(kept);
    expect(await trio.sidecar.metric("sidelane_retries_total")).toBe(1);
  });

  test("a request whose body goes on is not sent again; its client is told that it may", async () => {
    const trio = await startHttp2Trio({ ...mode, limits: { replayBytesMax: 1000 } });
    const kept = await exchange(trio, get("/kept"));
    const lost = await exchange(trio, post("/lost"), { endStream: false });
    lost.asked.data("x".repeat(5000));
    await lost.got.received(5000);
    kept.got.peer.goaway(kept.got.id);
    await lost.asked.over().catch(() => {});
    // Either way says that nothing was done with it: REFUSED_STREAM, or an answer of ours.
    const head = lost.asked.heads[0];
    expect(lost.asked.resetCode === codes.refusedStream || [502, 503].includes(head?.status ?? 0)).toBe(true);
    await answer(kept);
  });

  test("in two steps: with 2^31-1 nothing is lost, then the final one", async () => {
    const trio = await startHttp2Trio(mode);
    const first = await exchange(trio, get("/1"));
    first.got.peer.goaway(2 ** 31 - 1);
    await first.got.peer.settled();
    first.got.peer.goaway(first.got.id);
    await answer(first);
    const next = await exchange(trio, get("/2"));
    expect(next.got.peer).not.toBe(first.got.peer);
    await answer(next);
  });

  test("with an error and an end at once: idempotent requests without an answer are tried again or get 502", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: true });
    got.peer.goaway(got.id, codes.internalError);
    got.peer.finish();
    const head = await asked.receivedHead();
    expect([head.status, head.get("server")]).toEqual([502, "sidelane"]);
    await answer(await exchange(trio));
  });

  test("again and again, under load: no request is lost", async () => {
    const trio = await startHttp2Trio(mode, { backend: { settings: [[settingIds.maxConcurrentStreams, 10]] } });
    let served = 0;
    trio.backend.answer = (stream) => {
      served++;
      // Each connection serves ten, and then goes away with whatever has come meanwhile unlooked at.
      if (stream.id > 19) return;
      stream.respond(200, stream.heads[0]?.get(":path"));
      if (stream.id === 19) stream.peer.goaway(19);
    };
    const asked = Array.from({ length: 200 }, (_, n) => trio.client.request(get(`/${n}`)));
    for (const [n, stream] of asked.entries()) expect((await stream.complete()).body).toBe(`/${n}`);
    expect(served).toBeGreaterThanOrEqual(200);
    expect(trio.client.goaways).toEqual([]);
  });
});

describeRelay("REFUSED_STREAM of an endpoint", (mode) => {
  test("the request is sent again, once the body is in", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post("/", ["x-a", "b"]), { endStream: false });
    asked.data("body", { endStream: true });
    await got.complete();
    got.reset(codes.refusedStream);
    const again = await trio.backend.next();
    expect(again.heads[0]?.fields).toEqual(got.heads[0]?.fields);
    expect((await again.complete()).body).toBe("body");
    again.respond(200, "second");
    expect((await asked.complete()).body).toBe("second");
    expect(asked.heads).toHaveLength(1);
  });

  test("a body that has left in pieces is sent again as it was", async () => {
    // The first request of all: its body waits for the connection, and leaves as the endpoint's small windows allow.
    const settings: [number, number][] = [[settingIds.initialWindowSize, 5000]];
    const trio = await startHttp2Trio(mode, { backend: { settings } });
    const body = [...bodyBlocks(15_000)];
    const asked = trio.client.request(post(), {});
    const poured = asked.pour(body);
    for (let attempt = 0; attempt < 3; attempt++) {
      const got = await trio.backend.next();
      await got.complete();
      expect(got.hash.digest("hex")).toBe(bodyDigest(15_000));
      if (attempt < 2) got.reset(codes.refusedStream);
      else got.respond(200, "third");
    }
    await poured;
    expect((await asked.complete()).body).toBe("third");
  });

  test("for ever is not repeated for ever", async () => {
    const trio = await startHttp2Trio(mode);
    trio.backend.answer = (stream) => stream.reset(codes.refusedStream);
    const asked = trio.client.request(get());
    await asked.over();
    expect(asked.resetCode === codes.refusedStream || [502, 503].includes(asked.heads[0]?.status ?? 0)).toBe(true);
    expect(trio.backend.requests).toBeLessThan(10);
  });

  test("after a part of the answer is a reset like any other", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio);
    got.head([[":status", "200"]]).data("some");
    await asked.received(4);
    got.reset(codes.refusedStream);
    // Not REFUSED_STREAM: the client must not believe that nothing has happened.
    expect(await asked.wasReset()).not.toBe(codes.refusedStream);
    expect(trio.backend.requests).toBe(1);
  });
});

describe("GOAWAY of a client", () => {
  test("its requests are finished, then the connection ends", async () => {
    const trio = await startHttp2Trio();
    const running = await exchange(trio);
    trio.client.goaway(0);
    await trio.client.settled();
    expect(trio.client.ending).toBeUndefined();
    await answer(running);
    expect(await trio.client.ended()).toBe("fin");
  });

  test("with nothing running it ends at once", async () => {
    const { client } = await startHttp2Trio();
    await client.settled();
    client.goaway(0);
    expect(await client.ended()).toBe("fin");
  });
});

describe("an upstream connection that is lost", () => {
  test.each(["fin", "reset"] as const)("(%s) while idle: the next request notices nothing", async (how) => {
    const trio = await startHttp2Trio();
    const first = await exchange(trio);
    await answer(first);
    if (how === "fin") first.got.peer.finish();
    else first.got.peer.abort();
    if (how === "fin") await first.got.peer.ended();
    await eventually(async () => {
      const gauges = ["idle", "active"].map((state) => trio.sidecar.metric("sidelane_upstream_connections", { state }));
      return (await Promise.all(gauges)).every((value) => value === 0);
    });
    const next = await exchange(trio, post("/next"), { endStream: false });
    next.asked.data("body", { endStream: true });
    expect((await next.got.complete()).body).toBe("body");
    await answer(next);
  });

  test("before a response: an idempotent request is sent once more, another one gets 502", async () => {
    const trio = await startHttp2Trio();
    const first = await exchange(trio, get("/get"));
    const posted = await exchange(trio, post("/post"));
    const again = trio.backend.next();
    first.got.peer.abort();
    expect((await posted.asked.receivedHead()).status).toBe(502);
    const second = await again;
    expect(second.heads[0]?.fields).toEqual(first.got.heads[0]?.fields);
    second.peer.abort();
    expect((await first.asked.receivedHead()).status).toBe(502);
    expect(trio.backend.requests).toBe(3);
  });

  test("within responses: their clients see resets, those without a head an answer, and neighbours nothing", async () => {
    const trio = await startHttp2Trio();
    const begun = await exchange(trio, post("/begun"));
    begun.got.head([[":status", "200"]]).data("some");
    await begun.asked.received(4);
    const waiting = await exchange(trio, post("/waiting"));
    const neighbour = await connectTo(trio.sidecar);
    begun.got.peer.abort();
    await begun.asked.wasReset();
    expect(begun.asked.ended).toBe(false);
    expect((await waiting.asked.receivedHead()).status).toBe(502);
    await answer(await exchange({ client: neighbour, backend: trio.backend }));
  });
});

describe("an endpoint that takes connections and nothing else", () => {
  test.each([
    ["closes each at once", (peer: Http2Peer) => peer.socket.destroy()],
    ["resets each at once", (peer: Http2Peer) => peer.abort()],
    ["says GOAWAY on each", (peer: Http2Peer) => peer.goaway(0)],
    ["ends each behind its SETTINGS", (peer: Http2Peer) => peer.finish()],
  ])("and %s: a bounded number of attempts, then an answer for everybody", async (_, spoil) => {
    const trio = await startHttp2Trio();
    let open = true;
    const spoilAll = async (): Promise<void> => {
      while (open) {
        const peer = await trio.backend.accept();
        peer.strict = false;
        spoil(peer);
      }
    };
    void spoilAll().catch(() => {});
    const asked = Array.from({ length: 20 }, (_each, n) =>
      trio.client.request(n % 2 === 0 ? get(`/${n}`) : post(`/${n}`)),
    );
    for (const stream of asked) expect([502, 503]).toContain((await stream.complete()).heads[0]?.status);
    expect(trio.backend.connections.length).toBeLessThan(300);
    expect(endpointState(trio.sidecar)).toMatchObject({ waiting: 0, outstanding: 0 });
    open = false;
  });
});
