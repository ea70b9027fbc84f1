// Attack, or a phone in a tunnel: a peer that takes its bytes slowly or not at all, while the other side sends as fast as
// it can. What is on its way must stay in the kernel's buffers: a proxy that reads ahead keeps it all in its own memory.
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import type { Peer } from "../support/peer.ts";
import { memoryGrowth, untilQuiet } from "../support/quiet.ts";
import { describeRelay, startTrio } from "../support/sidecar.ts";
import { bodyBlocks, bodyDigest } from "../support/stream.ts";

const MIB = 1024 * 1024;
const LENGTH = 200 * MIB;
const PAIRS = 8;
const expected = bodyDigest(LENGTH);

/** Sends a whole body as fast as it is taken; the returned object counts what has left. */
function pour(peer: Peer): { sent: number } {
  const count = { sent: 0 };
  const blocks = bodyBlocks(LENGTH);
  const more = (): void => {
    for (;;) {
      const next = blocks.next();
      if (next.done === true) return;
      count.sent += next.value.length;
      if (!peer.socket.write(next.value)) return;
    }
  };
  peer.socket.on("drain", more);
  more();
  return count;
}

/** Reads on and resolves to the digest of the next `length` bytes behind the head. */
async function drain(peer: Peer): Promise<string> {
  const hash = createHash("sha256");
  const head = peer.text;
  const bodyStart = head.indexOf("\r\n\r\n") + 4;
  hash.update(Buffer.from(head.slice(bodyStart), "latin1"));
  peer.forget();
  peer.socket.on("data", (chunk: Buffer) => hash.update(chunk));
  const total = peer.bytesReceived - head.length + bodyStart + LENGTH;
  peer.socket.resume();
  await peer.untilBytes(total);
  return hash.digest("hex");
}

const sum = (counts: readonly { readonly sent: number }[]): number =>
  counts.reduce((total, { sent }) => total + sent, 0);

describeRelay("backpressure", (mode) => {
  test("clients that do not read 200 MB responses: little is taken from the app; read on, they get all of it", async () => {
    const { client, sidecar, backend } = await startTrio(mode);
    const clients = [client];
    while (clients.length < PAIRS) clients.push(await sidecar.connect());
    const growth = memoryGrowth();
    const counts = await Promise.all(
      clients.map(async (each) => {
        each.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
        const { peer } = await backend.request();
        peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${LENGTH}\r\n\r\n`);
        await each.until("\r\n\r\n");
        each.socket.pause();
        return pour(peer);
      }),
    );
    await untilQuiet(() => sum(counts));
    // Four socket buffers of a few megabytes each are between the two.
    expect(sum(counts) / PAIRS).toBeLessThan(32 * MIB);
    expect(growth()).toBeLessThan(64 * MIB);
    expect(await drain(client)).toBe(expected);
    expect(growth()).toBeLessThan(64 * MIB);
    for (const each of clients) each.abort();
  });

  test("endpoints that do not read 200 MB requests: little is taken from the client; read on, they get all of it", async () => {
    const { client, sidecar, backend } = await startTrio(mode);
    const clients = [client];
    while (clients.length < PAIRS) clients.push(await sidecar.connect());
    const growth = memoryGrowth();
    const endpoints: Peer[] = [];
    const counts: { sent: number }[] = [];
    for (const each of clients) {
      each.send(`POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: ${LENGTH}\r\n\r\n`);
      const peer = await backend.accept();
      await peer.until("\r\n\r\n");
      peer.socket.pause();
      endpoints.push(peer);
      counts.push(pour(each));
    }
    await untilQuiet(() => sum(counts));
    expect(sum(counts) / PAIRS).toBeLessThan(32 * MIB);
    expect(growth()).toBeLessThan(64 * MIB);
    const [first] = endpoints as [Peer];
    expect(await drain(first)).toBe(expected);
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await client.message()).body).toBe("ok");
    expect(growth()).toBeLessThan(64 * MIB);
    for (const each of clients) each.abort();
  });

  test("a body that waits for a connection is not read ahead", async () => {
    const { client, sidecar, backend } = await startTrio({ ...mode, limits: { upstreamConnectionsMax: 1 } });
    const holder = await sidecar.connect();
    holder.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    client.send(`POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: ${LENGTH}\r\n\r\n`);
    const count = pour(client);
    const growth = memoryGrowth();
    await untilQuiet(() => count.sent);
    expect(count.sent).toBeLessThan(32 * MIB);
    expect(growth()).toBeLessThan(16 * MIB);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    await holder.message();
    await peer.until("\r\n\r\n");
    peer.socket.pause();
    expect(await drain(peer)).toBe(expected);
    client.abort();
  });
});
