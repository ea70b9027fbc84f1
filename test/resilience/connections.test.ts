// Clients that are too many, too slow, or just there: what they can hold, and for how long.
import { describe, expect, test } from "vitest";
import { ok, startAnswering } from "../support/backend.ts";
import { Peer } from "../support/peer.ts";
import { eventually, get, openConnections } from "../support/requests.ts";
import { type Sidecar, type SidecarOptions, startSidecar } from "../support/sidecar.ts";

async function startServing(options: SidecarOptions): Promise<Sidecar> {
  const backend = await startAnswering(() => ok("served"));
  return startSidecar({ target: backend.name, ...options });
}

/** Sends one byte at each look until the other side has ended. */
async function drip(peer: Peer, byte: string): Promise<void> {
  const timer = setInterval(() => peer.send(byte), 20);
  await peer.ended();
  clearInterval(timer);
}

describe("a storm of connections above connectionsMax", () => {
  const connectionsMax = 40;
  const storm = 500;

  test("is served as far as the limit, told so or reset beyond it, and leaves nothing behind", async () => {
    const sidecar = await startServing({ limits: { connectionsMax } });
    const peers = await Promise.all(Array.from({ length: storm }, () => sidecar.connect()));
    const outcomes = await Promise.all(
      peers.map(async (peer) => {
        peer.send(get());
        const answer = await peer.message().catch(() => undefined);
        if (answer?.status === 503) {
          expect(JSON.parse(answer.body)).toMatchObject({ reason: "connection-limit" });
          expect(answer.field("connection")).toBe("close");
          expect(answer.field("retry-after")).toBe("1");
          expect(await peer.ended()).toBe("fin");
        }
        return answer?.status ?? 0;
      }),
    );
    expect(outcomes.filter((status) => status === 200)).toHaveLength(connectionsMax);
    expect(outcomes.filter((status) => status === 503).length).toBeGreaterThan(0);
    expect(openConnections(sidecar)).toBe(connectionsMax);
    const turnedAway = await sidecar.metric("sidelane_requests_total", { reason: "connection-limit" });
    expect(turnedAway).toBe(storm - connectionsMax);

    // Who has a connection keeps it; who comes when there is room is served.
    const kept = peers[outcomes.indexOf(200)] as Peer;
    kept.send(get());
    expect((await kept.message()).body).toBe("served");
    for (const peer of peers) peer.abort();
    await eventually(() => expect(openConnections(sidecar)).toBe(0));
    const next = await sidecar.connect();
    next.send(get());
    expect((await next.message()).body).toBe("served");
  });

  test("one that goes on sending after it was turned away is ended all the same", async () => {
    const sidecar = await startServing({ limits: { connectionsMax: 1 } });
    const first = await sidecar.connect();
    first.send(get());
    await first.message();
    const second = await sidecar.connect();
    expect((await second.message()).status).toBe(503);
    await second.ended();
    const closed = new Promise<void>((resolve) => second.socket.once("close", () => resolve()));
    // It has our end of the connection, and does not care.
    const timer = setInterval(() => second.send("x"), 50);
    await closed;
    clearInterval(timer);
  });
});

test("a head that comes one byte at a time is ended by headMs although it makes progress", async () => {
  const sidecar = await startServing({ timeouts: { headMs: 500 } });
  const client = await sidecar.connect();
  client.send("GET / HTTP/1.1\r\nhost: checkout\r\nx: ");
  await drip(client, "x");
  const answer = await client.message();
  expect(answer.status).toBe(408);
  expect(JSON.parse(answer.body)).toMatchObject({ reason: "request-timeout" });
  expect(answer.field("connection")).toBe("close");
  expect(await sidecar.metric("sidelane_requests_total", { reason: "request-timeout" })).toBe(1);
  client.abort();
  await eventually(() => expect(openConnections(sidecar)).toBe(0));
});

test("line ends before a request do not keep a connection open for ever", async () => {
  const sidecar = await startServing({ timeouts: { headMs: 500, idleMs: 500 } });
  const client = await sidecar.connect();
  await drip(client, "\r\n");
  expect(client.ending).toBeDefined();
});

test("a client that never sends anything is ended by idleMs, and one that lingers by lingerMs", async () => {
  const sidecar = await startServing({ timeouts: { idleMs: 300, lingerMs: 300 } });
  const client = await sidecar.connect();
  expect(await client.ended()).toBe("fin");
  // It keeps its side open, and is not waited for.
  await eventually(() => expect(openConnections(sidecar)).toBe(0));
});

test("2,000 idle connections are all kept, all served again, and all ended by idleMs", async () => {
  const count = 2000;
  const sidecar = await startServing({ timeouts: { idleMs: 8000, upstreamWaitMs: 20_000 } });
  const peers: Peer[] = [];
  while (peers.length < count) {
    peers.push(...(await Promise.all(Array.from({ length: 100 }, () => Peer.connect(sidecar.port())))));
  }
  const askAll = async (): Promise<void> => {
    for (const peer of peers) peer.send(get());
    for (const peer of peers) expect((await peer.message()).status).toBe(200);
  };
  await askAll();
  expect(openConnections(sidecar)).toBe(count);
  await askAll();
  expect(new Set(await Promise.all(peers.map((peer) => peer.ended())))).toEqual(new Set(["fin"]));
  for (const peer of peers) peer.finish();
  await eventually(() => expect(openConnections(sidecar)).toBe(0));
});
