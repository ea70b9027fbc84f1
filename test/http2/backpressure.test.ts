// Credit end to end: a byte is credited to its sender when the other side has taken it, so that a reader that does not
// read holds back its own sender, and nobody else (RFC 9113 §5.2.2, §6.9).
import { expect, test } from "vitest";
import type { Http2Peer } from "../support/http2-peer.ts";
import { type Exchange, connectTo, exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import type { PeerStream } from "../support/http2-stream.ts";
import { memoryGrowth, untilQuiet } from "../support/quiet.ts";
import { describeRelay } from "../support/sidecar.ts";
import { bodyBlocks, bodyDigest } from "../support/stream.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const LENGTH = 12 * MIB;
/** Room for windows (limits.http2StreamWindowBytesMax, the reader's own) and for what a connection holds on its way. */
const HELD_BYTES_MAX = 3 * MIB;

/** Reads on: gives credit for everything that has come, and from now on at once. */
function readOn(peer: Http2Peer, ...streams: readonly PeerStream[]): void {
  peer.credit = "both";
  for (const stream of streams) {
    if (stream.owed > 0 && !stream.ended) stream.allow(stream.owed);
    stream.owed = 0;
  }
}

describeRelay("backpressure", (mode) => {
  test("a response that its client does not read: the endpoint is held back, and nobody else", async () => {
    const trio = await startHttp2Trio(mode);
    const { client } = trio;
    client.credit = "connection";
    const growth = memoryGrowth();
    const slow = await exchange(trio, get("/slow"));
    slow.got.head([[":status", "200"]]);
    slow.asked.keep = false;
    const poured = slow.got.pour(bodyBlocks(LENGTH));
    await untilQuiet(() => slow.got.bytesSent);
    expect(slow.got.bytesSent).toBeLessThan(HELD_BYTES_MAX);
    expect(growth()).toBeLessThan(16 * MIB);
    // On the same two connections others get megabytes meanwhile.
    const fast = await exchange(trio, get("/fast"));
    expect(fast.got.peer).toBe(slow.got.peer);
    fast.got.head([[":status", "200"]]);
    const pouredFast = fast.got.pour(bodyBlocks(2 * MIB));
    for (let seen = 0; seen < 2 * MIB;) {
      await fast.asked.received(seen + 1);
      const more = fast.asked.bytesReceived - seen;
      seen += more;
      if (!fast.asked.ended) fast.asked.allow(more);
    }
    await fast.asked.complete();
    await pouredFast;
    expect(slow.got.bytesSent).toBeLessThan(HELD_BYTES_MAX);
    readOn(client, slow.asked);
    await poured;
    await slow.asked.complete();
    expect(slow.asked.hash.digest("hex")).toBe(bodyDigest(LENGTH));
    expect(growth()).toBeLessThan(16 * MIB);
  });

  test("a request that its endpoint does not read: the client is held back, and nobody else", async () => {
    const trio = await startHttp2Trio(mode);
    const growth = memoryGrowth();
    const slow = await exchange(trio, post("/slow"), { endStream: false });
    slow.got.peer.credit = "connection";
    slow.got.keep = false;
    const poured = slow.asked.pour(bodyBlocks(LENGTH));
    await untilQuiet(() => slow.asked.bytesSent);
    expect(slow.asked.bytesSent).toBeLessThan(HELD_BYTES_MAX);
    // The same client on the same connection, and another client: both go on.
    for (const client of [trio.client, await connectTo(trio.sidecar)]) {
      const fast = await exchange({ client, backend: trio.backend }, post("/fast"), { endStream: false });
      expect(fast.got.peer).toBe(slow.got.peer);
      const pouredFast = fast.asked.pour(bodyBlocks(2 * MIB));
      for (let seen = 0; seen < 2 * MIB;) {
        await fast.got.received(seen + 1);
        const more = fast.got.bytesReceived - seen;
        seen += more;
        if (!fast.got.ended) fast.got.allow(more);
      }
      await fast.got.complete();
      await pouredFast;
      fast.got.respond(204);
      await fast.asked.complete();
    }
    expect(slow.asked.bytesSent).toBeLessThan(HELD_BYTES_MAX);
    expect(growth()).toBeLessThan(24 * MIB);
    readOn(slow.got.peer, slow.got);
    await poured;
    await slow.got.complete();
    expect(slow.got.hash.digest("hex")).toBe(bodyDigest(LENGTH));
  });

  test("a client that reads nothing at all, not even its socket: others on the same upstream connection go on", async () => {
    const trio = await startHttp2Trio(mode);
    const { client } = trio;
    const growth = memoryGrowth();
    const slow: Exchange[] = [];
    for (let n = 0; n < 8; n++) slow.push(await exchange(trio, get(`/slow/${n}`)));
    // Windows without end: only the socket holds it back.
    client.allow(0, 2 ** 30);
    for (const { asked } of slow) asked.allow(2 ** 30);
    await client.settled();
    client.socket.pause();
    for (const { asked, got } of slow) {
      asked.keep = false;
      got.head([[":status", "200"]]);
      void got.pour(bodyBlocks(LENGTH)).catch(() => {});
    }
    const sent = (): number => slow.reduce((sum, { got }) => sum + got.bytesSent, 0);
    await untilQuiet(sent);
    // Eight windows and the kernel's buffers between the two.
    expect(sent()).toBeLessThan(8 * HELD_BYTES_MAX + 16 * MIB);
    expect(growth()).toBeLessThan(48 * MIB);
    const neighbour = await connectTo(trio.sidecar);
    const fast = await exchange({ client: neighbour, backend: trio.backend });
    expect(fast.got.peer).toBe(slow[0]?.got.peer);
    fast.got.head([[":status", "200"]]);
    const pouredFast = fast.got.pour(bodyBlocks(4 * MIB));
    await fast.asked.complete();
    await pouredFast;
    expect(fast.asked.hash.digest("hex")).toBe(bodyDigest(4 * MIB));
    const [first] = slow;
    client.socket.resume();
    await first?.asked.complete();
    expect(first?.asked.hash.digest("hex")).toBe(bodyDigest(LENGTH));
    client.abort();
  });

  test("an endpoint whose connection window is spent: its requests wait, heads and other endpoints do not", async () => {
    const trio = await startHttp2Trio(mode);
    const first = await exchange(trio, post("/1"), { endStream: false });
    const { peer } = first.got;
    peer.credit = "none";
    first.got.allow(10 * MIB);
    const poured = first.asked.pour(bodyBlocks(MIB));
    await peer.until(() => (peer.receiveWindow === 0 ? true : undefined));
    // A head needs no window.
    const second = await exchange(trio, post("/2"), { endStream: false });
    expect(second.got.peer).toBe(peer);
    second.asked.data("body", { endStream: true });
    await peer.settled();
    expect(second.got.bytesReceived).toBe(0);
    peer.credit = "both";
    peer.allow(0, 2 * MIB);
    expect((await second.got.complete()).body).toBe("body");
    await first.got.complete();
    await poured;
    expect(first.got.hash.digest("hex")).toBe(bodyDigest(MIB));
  });

  test("a client's connection window that is shared by many responses gives each of them its part", async () => {
    const trio = await startHttp2Trio(mode);
    const { client } = trio;
    client.credit = "none";
    const all: (Exchange & { readonly poured: Promise<void> })[] = [];
    for (let n = 0; n < 6; n++) {
      const one = await exchange(trio, get(`/${n}`));
      one.asked.allow(10 * MIB);
      one.got.head([[":status", "200"]]);
      all.push({ ...one, poured: one.got.pour(bodyBlocks(100_000)) });
    }
    let given = 65_535;
    while (all.some(({ asked }) => !asked.ended)) {
      const received = await client.until(() =>
        client.receiveWindow === 0 || all.every(({ asked }) => asked.ended) ? given : undefined,
      );
      client.allow(0, 30_000);
      given = received + 30_000;
    }
    for (const { asked, poured } of all) {
      await poured;
      expect(asked.hash.digest("hex")).toBe(bodyDigest(100_000));
    }
  });

  test("the endpoint's window grows while its reader keeps up: one stream is not bound to 64 KiB a round trip", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio);
    asked.allow(64 * MIB);
    trio.client.allow(0, 64 * MIB);
    asked.keep = false;
    got.head([[":status", "200"]]);
    let largest = 0;
    const watch = (): void => void (largest = Math.max(largest, got.sendWindow));
    got.peer.socket.on("data", watch);
    await got.pour(bodyBlocks(16 * MIB));
    await asked.complete();
    expect(largest).toBeGreaterThan(128 * KIB);
    expect(largest).toBeLessThanOrEqual(MIB + 64 * KIB);
  });

  test("windows that have grown are bounded in sum: one client cannot make the sidecar hold a large one for each stream", async () => {
    const trio = await startHttp2Trio({ ...mode, limits: { http2ConnectionWindowBytes: 4 * MIB } });
    const { client } = trio;
    client.allow(0, 2 ** 30);
    const growth = memoryGrowth();
    const all: Exchange[] = [];
    for (let n = 0; n < 40; n++) {
      const one = await exchange(trio, get(`/${n}`));
      all.push(one);
      one.asked.keep = false;
      one.asked.allow(2 * MIB);
      one.got.head([[":status", "200"]]);
      void one.got.pour(bodyBlocks(30 * MIB)).catch(() => {});
    }
    // They read for a while, as fast as it comes, and then not at all.
    for (const { asked } of all) await asked.received(MIB);
    client.credit = "none";
    client.socket.pause();
    await untilQuiet(() => all.reduce((sum, { got }) => sum + got.bytesSent, 0));
    // Without a bound in sum it would be a megabyte for each of them.
    expect(growth()).toBeLessThan(20 * MIB);
    client.abort();
  });

  test("credit in small pieces does not become frames in small pieces (RFC 9113 §6.9: any frame counts)", async () => {
    const trio = await startHttp2Trio(mode);
    trio.client.creditStep = 1;
    trio.client.credit = "connection";
    const { asked, got } = await exchange(trio);
    got.head([[":status", "200"]]);
    const poured = got.pour(bodyBlocks(LENGTH));
    await untilQuiet(() => got.bytesSent);
    let frames = 0;
    const take = asked.take.bind(asked);
    asked.take = (chunk) => {
      frames++;
      take(chunk);
    };
    // Now every frame is credited as it comes: a small one must not beget small ones for ever.
    trio.client.credit = "both";
    readOn(trio.client, asked);
    await poured;
    await asked.complete();
    expect(LENGTH / frames).toBeGreaterThan(2 * KIB);
  });
});
