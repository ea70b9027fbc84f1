// Connections to one endpoint: who gets which, how many there are, who waits and how long, what makes one unfit for use.
import { describe, expect, test } from "vitest";
import { type Backend, ok, startAnswering, startBackend } from "../support/backend.ts";
import type { Peer } from "../support/peer.ts";
import { endpointState, eventually, get, request, upstreamGauges } from "../support/requests.ts";
import { type Sidecar, startTrio } from "../support/sidecar.ts";

/** Makes `count` clients ask at the same time; resolves with the connections on which the backend got the requests. */
async function askAtOnce(sidecar: Sidecar, backend: Backend, count: number): Promise<{ client: Peer; peer: Peer }[]> {
  const pairs: { client: Peer; peer: Peer }[] = [];
  for (let n = 0; n < count; n++) {
    const client = await sidecar.connect();
    client.send(get(`/${n}`));
    pairs.push({ client, peer: (await backend.request()).peer });
  }
  return pairs;
}

async function answer({ client, peer }: { client: Peer; peer: Peer }): Promise<void> {
  peer.send(ok("done"));
  expect((await client.message()).body).toBe("done");
}

describe("idle connections", () => {
  test("the one used last is used next", async () => {
    const { sidecar, backend, client } = await startTrio();
    const pairs = await askAtOnce(sidecar, backend, 3);
    for (const pair of pairs) await answer(pair);
    expect(endpointState(sidecar)).toMatchObject({ idle: 3, active: 0 });

    const last = pairs[2]?.peer as Peer;
    for (let n = 0; n < 3; n++) {
      client.send(get(`/again/${n}`));
      expect((await last.message()).start).toBe(`GET /again/${n} HTTP/1.1`);
      last.send(ok(""));
      await client.message();
    }
    expect(backend.connections).toHaveLength(3);
  });

  test("a burst's surplus is closed after upstreamIdleMs while the one in use stays", async () => {
    const { sidecar, backend, client } = await startTrio({ timeouts: { upstreamIdleMs: 1000 } });
    const pairs = await askAtOnce(sidecar, backend, 4);
    for (const pair of pairs) await answer(pair);
    const [first, second, third, last] = pairs.map(({ peer }) => peer);
    let surplus = true;
    void Promise.all([first?.ended(), second?.ended(), third?.ended()]).then(() => (surplus = false));
    while (surplus) {
      client.send(get());
      await last?.message();
      last?.send(ok(""));
      await client.message();
    }
    expect(last?.ending).toBeUndefined();
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ idle: 1 }));
    await last?.ended();
    await eventually(async () => expect(await upstreamGauges(sidecar)).toEqual({ idle: 0, active: 0, connecting: 0 }));
  });

  test.each([
    ["bytes", (peer: Peer) => peer.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")],
    ["an end", (peer: Peer) => peer.finish()],
    ["a reset", (peer: Peer) => peer.abort()],
  ])("%s on one remove it before it is handed out", async (_, spoil) => {
    const { sidecar, backend, client } = await startTrio();
    client.send(get());
    const { peer } = await backend.request();
    await answer({ client, peer });
    spoil(peer);
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ idle: 0 }));
    // Not even what must not be repeated is at risk.
    client.send(request("POST", "/next", "body"));
    const next = await backend.request();
    expect(next.peer).not.toBe(peer);
    await answer({ client, peer: next.peer });
    expect(await sidecar.metric("sidelane_retries_total")).toBe(0);
  });

  test("bytes behind a response close the connection, and the response arrives", async () => {
    const { sidecar, backend, client } = await startTrio();
    client.send(get());
    const { peer } = await backend.request();
    peer.send(`${ok("done")}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil`);
    expect((await client.message()).body).toBe("done");
    await peer.ended();
    expect(endpointState(sidecar)).toMatchObject({ idle: 0, active: 0 });
    expect(client.text).toBe("");
  });
});

describe("when all connections are busy", () => {
  test("no more than upstreamConnectionsMax are opened; the others are served in their order", async () => {
    const { sidecar, backend } = await startTrio({ limits: { upstreamConnectionsMax: 2 } });
    const [first, second] = await askAtOnce(sidecar, backend, 2);
    const third = await sidecar.connect();
    third.send(get("/third"));
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ active: 2, waiting: 1 }));
    const fourth = await sidecar.connect();
    fourth.send(get("/fourth"));
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ active: 2, waiting: 2, outstanding: 4 }));

    first?.peer.send(ok("first"));
    expect((await first?.peer.message())?.start).toBe("GET /third HTTP/1.1");
    second?.peer.send(ok("second"));
    expect((await second?.peer.message())?.start).toBe("GET /fourth HTTP/1.1");
    first?.peer.send(ok("third"));
    second?.peer.send(ok("fourth"));
    expect((await third.message()).body).toBe("third");
    expect((await fourth.message()).body).toBe("fourth");
    expect(backend.connections).toHaveLength(2);
    expect(endpointState(sidecar)).toMatchObject({ idle: 2, active: 0, waiting: 0, outstanding: 0 });
  });

  test("a lost connection is replaced for those who wait", async () => {
    const { sidecar, backend } = await startTrio({ limits: { upstreamConnectionsMax: 1 } });
    const [first] = await askAtOnce(sidecar, backend, 1);
    const second = await sidecar.connect();
    second.send(get("/second"));
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ waiting: 1 }));
    first?.peer.abort();
    expect((await first?.client.message())?.status).toBe(502);
    const next = await backend.request();
    expect(next.request.start).toBe("GET /second HTTP/1.1");
    await answer({ client: second, peer: next.peer });
  });

  test("a connection that may not be kept is replaced for those who wait", async () => {
    const { sidecar, backend } = await startTrio({ limits: { upstreamConnectionsMax: 1 } });
    const [first] = await askAtOnce(sidecar, backend, 1);
    const second = await sidecar.connect();
    second.send(get("/second"));
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ waiting: 1 }));
    first?.peer.send(ok("first", "connection: close"));
    await first?.client.message();
    const next = await backend.request();
    expect(next.request.start).toBe("GET /second HTTP/1.1");
    await answer({ client: second, peer: next.peer });
  });

  test("more than upstreamWaitingMax are refused at once", async () => {
    const { sidecar, backend } = await startTrio({ limits: { upstreamConnectionsMax: 1, upstreamWaitingMax: 1 } });
    const [first] = await askAtOnce(sidecar, backend, 1);
    const second = await sidecar.connect();
    second.send(get("/second"));
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ waiting: 1 }));
    const third = await sidecar.connect();
    third.send(get("/third"));
    const refused = await third.message();
    expect(refused.status).toBe(503);
    expect(refused.field("retry-after")).toBe("1");
    expect(refused.field("server")).toBe("sidelane");
    expect(JSON.parse(refused.body)).toMatchObject({ reason: "upstream-overloaded", status: 503 });
    expect(await sidecar.metric("sidelane_requests_total", { reason: "upstream-overloaded", code: "503" })).toBe(1);

    first?.peer.send(ok("first"));
    await first?.peer.message();
    first?.peer.send(ok("second"));
    expect((await second.message()).body).toBe("second");
    // The refused client's connection goes on.
    third.send(get("/fourth"));
    await first?.peer.message();
    first?.peer.send(ok("fourth"));
    expect((await third.message()).body).toBe("fourth");
  });

  test("exchanges that have a connection of their own on the way do not count as waiting", async () => {
    const { sidecar } = await startTrio({ limits: { upstreamConnectionsMax: 8, upstreamWaitingMax: 0 } });
    const backend = await startAnswering(() => ok("served"));
    sidecar.publish({ services: { checkout: {} }, sandboxes: { x: { services: { checkout: [backend.name] } } } });
    const clients = await Promise.all(Array.from({ length: 8 }, () => sidecar.connect()));
    for (const client of clients) client.send(get("/", "baggage: sidelane=x"));
    for (const client of clients) expect((await client.message()).body).toBe("served");
  });

  test("nobody waits longer than upstreamWaitMs", async () => {
    const limits = { upstreamConnectionsMax: 1 };
    const { sidecar, backend } = await startTrio({ limits, timeouts: { upstreamWaitMs: 200 } });
    const [first] = await askAtOnce(sidecar, backend, 1);
    const second = await sidecar.connect();
    second.send(get("/second"));
    const refused = await second.message();
    expect(refused.status).toBe(503);
    expect(refused.field("retry-after")).toBe("1");
    expect(JSON.parse(refused.body)).toMatchObject({ reason: "upstream-overloaded" });
    expect(refused.body).toContain("within 200 ms");
    await answer(first as { client: Peer; peer: Peer });
    expect(endpointState(sidecar)).toMatchObject({ waiting: 0, outstanding: 0 });
  });

  test("another endpoint takes what one has no room for", async () => {
    const { sidecar, backend } = await startTrio({ limits: { upstreamConnectionsMax: 1, upstreamWaitingMax: 0 } });
    const other = await startBackend();
    const endpoints = [backend.name, other.name];
    sidecar.publish({ services: { checkout: {} }, sandboxes: { x: { services: { checkout: endpoints } } } });
    const clients = await Promise.all(Array.from({ length: 3 }, () => sidecar.connect()));
    for (const client of clients.slice(0, 2)) client.send(get("/", "baggage: sidelane=x"));
    const peers = [(await backend.request()).peer, (await other.request()).peer];
    // Both are full now, and only then there is no answer but that.
    clients[2]?.send(get("/", "baggage: sidelane=x"));
    expect(JSON.parse((await clients[2]?.message())?.body ?? "")).toMatchObject({ reason: "upstream-overloaded" });
    for (const peer of peers) peer.send(ok("done"));
    for (const client of clients.slice(0, 2)) expect((await client.message()).body).toBe("done");
    for (const name of endpoints) expect(endpointState(sidecar, name)).toMatchObject({ idle: 1, outstanding: 0 });
  });

  test("a client that goes away gives up its place", async () => {
    const { sidecar, backend } = await startTrio({ limits: { upstreamConnectionsMax: 1 } });
    const [first] = await askAtOnce(sidecar, backend, 1);
    const gone = await sidecar.connect();
    gone.send(request("POST", "/gone", "body"));
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ waiting: 1 }));
    const last = await sidecar.connect();
    last.send(get("/last"));
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ waiting: 2 }));
    gone.abort();
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ waiting: 1, outstanding: 2 }));
    expect(await sidecar.metric("sidelane_requests_total", { reason: "client-closed" })).toBe(1);

    first?.peer.send(ok("first"));
    expect((await first?.peer.message())?.start).toBe("GET /last HTTP/1.1");
    first?.peer.send(ok("last"));
    expect((await last.message()).body).toBe("last");
    expect(endpointState(sidecar)).toMatchObject({ idle: 1, active: 0, waiting: 0, outstanding: 0 });
  });
});

test("a client that goes away within an exchange takes the connection along, and every count returns to zero", async () => {
  const { sidecar, backend } = await startTrio();
  const [pair] = await askAtOnce(sidecar, backend, 1);
  pair?.peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun");
  await pair?.client.until("begun");
  pair?.client.abort();
  await pair?.peer.ended();
  await eventually(async () => expect(await upstreamGauges(sidecar)).toEqual({ idle: 0, active: 0, connecting: 0 }));
  expect(endpointState(sidecar)).toMatchObject({ idle: 0, active: 0, outstanding: 0 });
  expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
});
