// Many downstream connections share few upstream ones: how many there are, and when there are more.
import { describe, expect, test } from "vitest";
import { codes, settingIds } from "../support/http2-frames.ts";
import { startHttp2Answering } from "../support/http2-backend.ts";
import { type Exchange, connectTo, exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { eventually } from "../support/quiet.ts";
import { endpointState } from "../support/requests.ts";
import { startSidecar } from "../support/sidecar.ts";

const limited = (streams: number): { backend: { settings: [number, number][] } } => ({
  backend: { settings: [[settingIds.maxConcurrentStreams, streams]] },
});

async function finish({ asked, got }: Exchange): Promise<void> {
  got.respond(200, "ok");
  expect((await asked.complete()).body).toBe("ok");
}

/** The relay knows the endpoint's settings. */
async function acknowledged({ got: { peer } }: Exchange): Promise<void> {
  await peer.until(() => (peer.settingsAcks > 0 ? true : undefined));
}

describe("upstream connections", () => {
  test("64 clients need one", async () => {
    const backend = await startHttp2Answering((stream) => void stream.respond(200, stream.heads[0]?.get("x-id")));
    const sidecar = await startSidecar({ target: backend.name });
    const clients = await Promise.all(Array.from({ length: 64 }, () => connectTo(sidecar)));
    for (let round = 0; round < 3; round++) {
      const asked = clients.map((client, n) => client.request(get("/", ["x-id", `${round}-${n}`])));
      for (const [n, stream] of asked.entries()) expect((await stream.complete()).body).toBe(`${round}-${n}`);
    }
    expect(backend.connections).toHaveLength(1);
    expect(backend.requests).toBe(192);
  });

  test("a client's requests do not wait for each other", async () => {
    const trio = await startHttp2Trio();
    const all: Exchange[] = [];
    for (let n = 0; n < 50; n++) all.push(await exchange(trio, get(`/${n}`)));
    for (const one of all.toReversed()) await finish(one);
    expect(trio.backend.connections).toHaveLength(1);
  });

  test("more of them when limits.http2UpstreamStreamsMax is reached", async () => {
    const trio = await startHttp2Trio({ limits: { http2UpstreamStreamsMax: 4 } });
    const all: Exchange[] = [];
    for (let n = 0; n < 10; n++) all.push(await exchange(trio, get(`/${n}`)));
    expect(trio.backend.connections).toHaveLength(3);
    for (const one of all) await finish(one);
    // One that has room is used before another one is made.
    await finish(await exchange(trio));
    expect(trio.backend.connections).toHaveLength(3);
  });

  test("a burst's surplus is closed after timeouts.http2UpstreamIdleMs, and the one in use stays", async () => {
    const timeouts = { http2UpstreamIdleMs: 500 };
    const trio = await startHttp2Trio({ limits: { http2UpstreamStreamsMax: 2 }, timeouts });
    const all: Exchange[] = [];
    for (let n = 0; n < 6; n++) all.push(await exchange(trio, get(`/${n}`)));
    for (const one of all) await finish(one);
    expect(trio.backend.open).toBe(3);
    while (trio.backend.open > 1) await finish(await exchange(trio));
    const [last] = trio.backend.connections.filter(({ ending }) => ending === undefined);
    expect((await last?.goneAway())?.code).toBe(codes.noError);
    expect(await last?.ended()).toBe("fin");
  });

  test("stream ids are used one after the other", async () => {
    const trio = await startHttp2Trio();
    const ids: number[] = [];
    for (let n = 0; n < 5; n++) {
      const one = await exchange(trio);
      ids.push(one.got.id);
      await finish(one);
    }
    expect(ids).toEqual([1, 3, 5, 7, 9]);
  });

  test("HTTP/1.1 and HTTP/2 to one endpoint do not share any", async () => {
    const backend = await startHttp2Answering((stream) => void stream.respond(200, "two"));
    const sidecar = await startSidecar({ target: backend.name });
    const client = await connectTo(sidecar);
    expect((await client.request(get()).complete()).body).toBe("two");
    const old = await sidecar.connect();
    old.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    // No version is translated: what the HTTP/2 endpoint makes of HTTP/1.1 is its affair.
    for (const peer of backend.connections) peer.strict = false;
    await eventually(() => backend.connections.length === 2);
    for (const peer of backend.connections) peer.strict = false;
    backend.connections[1]?.finish();
    expect((await old.message()).status).toBe(502);
    expect((await client.request(get()).complete()).body).toBe("two");
  });
});

describe("SETTINGS_MAX_CONCURRENT_STREAMS of an endpoint", () => {
  test("1: a connection for each request that runs", async () => {
    const trio = await startHttp2Trio({}, limited(1));
    const all: Exchange[] = [];
    for (let n = 0; n < 5; n++) {
      const one = await exchange(trio, get(`/${n}`));
      await acknowledged(one);
      all.push(one);
    }
    expect(new Set(all.map(({ got }) => got.peer)).size).toBe(5);
    for (const one of all) await finish(one);
    for (let n = 0; n < 5; n++) await finish(await exchange(trio));
    expect(trio.backend.connections).toHaveLength(5);
  });

  test("1, and limits.upstreamConnectionsMax 2: the others wait for their turn, in order", async () => {
    const trio = await startHttp2Trio({ limits: { upstreamConnectionsMax: 2 } }, limited(1));
    const first = await exchange(trio, get("/0"));
    await acknowledged(first);
    const second = await exchange(trio, get("/1"));
    const waiting = Array.from({ length: 6 }, (_, n) => trio.client.request(get(`/${n + 2}`)));
    await trio.client.settled();
    await eventually(() => endpointState(trio.sidecar)?.waiting === 6);
    expect(trio.backend.untaken).toBe(0);
    await finish(first);
    await finish(second);
    const paths: string[] = [];
    for (const asked of waiting) {
      const got = await trio.backend.next();
      paths.push(got.heads[0]?.get(":path") ?? "");
      got.respond(200, "turn");
      expect((await asked.complete()).body).toBe("turn");
    }
    expect(paths).toEqual(["/2", "/3", "/4", "/5", "/6", "/7"]);
    expect(trio.backend.connections).toHaveLength(2);
  });

  test("raised while running: those who wait go at once", async () => {
    const trio = await startHttp2Trio({ limits: { upstreamConnectionsMax: 1 } }, limited(1));
    const first = await exchange(trio, get("/0"));
    await acknowledged(first);
    const waiting = [1, 2, 3].map((n) => trio.client.request(get(`/${n}`)));
    await eventually(() => endpointState(trio.sidecar)?.waiting === 3);
    first.got.peer.configure([settingIds.maxConcurrentStreams, 3]);
    const two = [await trio.backend.next(), await trio.backend.next()];
    for (const got of two) expect(got.peer).toBe(first.got.peer);
    await first.got.peer.settled();
    expect(trio.backend.untaken).toBe(0);
    for (const got of [first.got, ...two]) got.respond(204);
    (await trio.backend.next()).respond(204);
    for (const asked of waiting) expect((await asked.complete()).heads[0]?.status).toBe(204);
  });

  test("lowered while running: what runs goes on, nothing new until there is room", async () => {
    const trio = await startHttp2Trio({ limits: { upstreamConnectionsMax: 1 } }, limited(10));
    const all: Exchange[] = [];
    for (let n = 0; n < 4; n++) all.push(await exchange(trio, get(`/${n}`)));
    const [{ got }] = all as [Exchange];
    got.peer.configure([settingIds.maxConcurrentStreams, 1]);
    await got.peer.settled();
    const waiting = trio.client.request(get("/wait"));
    await eventually(() => endpointState(trio.sidecar)?.waiting === 1);
    for (const one of all.slice(0, 3)) await finish(one);
    await got.peer.settled();
    expect(trio.backend.untaken).toBe(0);
    for (const one of all.slice(3)) await finish(one);
    (await trio.backend.next()).respond(204);
    await waiting.complete();
  });

  test("0: a moment of rest, not an error", async () => {
    const trio = await startHttp2Trio({ limits: { upstreamConnectionsMax: 1 } });
    const first = await exchange(trio);
    await finish(first);
    first.got.peer.configure([settingIds.maxConcurrentStreams, 0]);
    await first.got.peer.settled();
    const waiting = trio.client.request(post(), {});
    waiting.data("body", { endStream: true });
    await eventually(() => endpointState(trio.sidecar)?.waiting === 1);
    expect(trio.backend.untaken).toBe(0);
    first.got.peer.configure([settingIds.maxConcurrentStreams, 100]);
    const got = await trio.backend.next();
    expect((await got.complete()).body).toBe("body");
    await finish({ asked: waiting, got });
  });

  test("0 for ever: who waits longer than timeouts.upstreamWaitMs gets 503", async () => {
    const trio = await startHttp2Trio(
      { limits: { upstreamConnectionsMax: 1 }, timeouts: { upstreamWaitMs: 300 } },
      limited(0),
    );
    // Whatever left before the endpoint's SETTINGS came is refused, as a server does it.
    trio.backend.answer = (stream) => stream.reset(codes.refusedStream);
    const asked = trio.client.request(get());
    expect((await asked.complete()).heads[0]?.status).toBe(503);
    expect(JSON.parse(asked.body)).toMatchObject({ status: 503 });
  });

  test("who waits and is cancelled, or leaves with its connection, gives its place up and is never sent", async () => {
    const trio = await startHttp2Trio({ limits: { upstreamConnectionsMax: 1 } }, limited(1));
    const first = await exchange(trio);
    await acknowledged(first);
    const leaver = await connectTo(trio.sidecar);
    const cancelled = [1, 2].map((n) => trio.client.request(post(`/cancelled/${n}`), {}));
    leaver.request(get("/left"));
    const stays = trio.client.request(get("/stays"));
    await eventually(() => endpointState(trio.sidecar)?.waiting === 4);
    for (const stream of cancelled) stream.reset();
    leaver.abort();
    await eventually(() => endpointState(trio.sidecar)?.waiting === 1);
    await finish(first);
    const got = await trio.backend.next();
    expect(got.heads[0]?.get(":path")).toBe("/stays");
    await finish({ asked: stays, got });
    expect(trio.backend.requests).toBe(2);
    expect(endpointState(trio.sidecar)).toMatchObject({ waiting: 0, outstanding: 0 });
  });

  test("limits.upstreamWaitingMax: more are refused at once, and do not disturb those who wait", async () => {
    const limits = { upstreamConnectionsMax: 1, upstreamWaitingMax: 2 };
    const trio = await startHttp2Trio({ limits }, limited(1));
    const first = await exchange(trio);
    await acknowledged(first);
    const waiting = [1, 2].map((n) => trio.client.request(get(`/${n}`)));
    await eventually(() => endpointState(trio.sidecar)?.waiting === 2);
    const refused = trio.client.request(get("/refused"));
    expect((await refused.complete()).heads[0]?.status).toBe(503);
    expect(JSON.parse(refused.body)).toMatchObject({ reason: "upstream-overloaded" });
    await finish(first);
    for (const asked of waiting) {
      (await trio.backend.next()).respond(204);
      await asked.complete();
    }
  });
});

describe("limits.http2StreamsMax", () => {
  test("a stream more is refused, the connection stays (RFC 9113 §5.1.2)", async () => {
    const trio = await startHttp2Trio({ limits: { http2StreamsMax: 3 } });
    await trio.client.settled();
    const all: Exchange[] = [];
    for (let n = 0; n < 3; n++) all.push(await exchange(trio, get(`/${n}`)));
    const refused = trio.client.request(get("/refused"));
    expect([codes.refusedStream, codes.protocolError]).toContain(await refused.wasReset());
    for (const one of all) await finish(one);
    await finish(await exchange(trio));
  });
});
