import { expect, test } from "vitest";
import { type Trio, describeRelay, startTrio } from "../support/sidecar.ts";
import type { Peer } from "../support/peer.ts";

/** Makes one idle upstream connection. */
async function idleConnection({ client, backend }: Trio): Promise<Peer> {
  client.send("GET /first HTTP/1.1\r\nHost: checkout\r\n\r\n");
  const { peer } = await backend.request();
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  await client.message();
  return peer;
}

describeRelay("an endpoint that closes a kept-alive connection as the next request comes (RFC 9112 §9.3.1)", (mode) => {
  test.each(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])("%s is sent again on a fresh connection", async (method) => {
    const trio = await startTrio(mode);
    const { client, sidecar, backend } = trio;
    const peer = await idleConnection(trio);
    client.send(`${method} / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 2\r\n\r\nhi`);
    const lost = await peer.message();
    peer.finish();
    const next = await backend.request();
    expect(next.request.raw).toBe(lost.raw);
    next.peer.send("HTTP/1.1 204 No Content\r\n\r\n");
    expect((await client.message()).status).toBe(204);
    expect(await sidecar.metric("sidelane_retries_total")).toBe(1);
  });

  test("POST is not, because it may have been processed", async () => {
    const trio = await startTrio(mode);
    const peer = await idleConnection(trio);
    trio.client.send("POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 2\r\n\r\nhi");
    await peer.message();
    peer.finish();
    expect((await trio.client.message()).status).toBe(502);
    expect(trio.backend.connections).toHaveLength(1);
  });

  test("nothing is sent a third time", async () => {
    const trio = await startTrio(mode);
    const peer = await idleConnection(trio);
    trio.client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    await peer.message();
    peer.finish();
    const next = await trio.backend.request();
    next.peer.finish();
    expect((await trio.client.message()).status).toBe(502);
    expect(trio.backend.connections).toHaveLength(2);
  });

  test("a request larger than limits.replayBytesMax is not kept for it", async () => {
    const trio = await startTrio({ ...mode, limits: { replayBytesMax: 100 } });
    const peer = await idleConnection(trio);
    trio.client.send(`PUT / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 100\r\n\r\n${"x".repeat(100)}`);
    await peer.message();
    peer.finish();
    expect((await trio.client.message()).status).toBe(502);
  });

  test("so it is with a body that is still to come, and with one used connection after the other", async () => {
    const trio = await startTrio(mode);
    const { client, sidecar, backend } = trio;
    const clients = [await sidecar.connect(), await sidecar.connect(), await sidecar.connect()];
    const peers: Peer[] = [];
    for (const each of clients) {
      each.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
      peers.push((await backend.request()).peer);
    }
    for (const peer of peers) peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for (const each of clients) await each.message();
    // Before the sidecar takes its next turn three connections have ended and a request has come.
    client.send("POST /once HTTP/1.1\r\nHost: checkout\r\nContent-Length: 4\r\n\r\nhi");
    for (const peer of peers) peer.finish();
    const fresh = await backend.accept();
    await fresh.until("\r\n\r\nhi");
    client.send("ho");
    expect((await fresh.message()).body).toBe("hiho");
    fresh.send("HTTP/1.1 204 No Content\r\n\r\n");
    expect((await client.message()).status).toBe(204);
    for (const peer of peers) expect(peer.text).toBe("");
    expect(await sidecar.metric("sidelane_retries_total")).toBe(0);
  });

  test("the end comes in the same turn as the request: nobody has seen it, so even POST goes to another connection", async () => {
    for (let n = 0; n < 20; n++) {
      const trio = await startTrio(mode);
      const { client, backend } = trio;
      const peer = await idleConnection(trio);
      client.send("POST /once HTTP/1.1\r\nHost: checkout\r\nContent-Length: 2\r\n\r\nhi");
      peer.finish();
      const next = await backend.request();
      expect(next.request.start).toBe("POST /once HTTP/1.1");
      next.peer.send("HTTP/1.1 204 No Content\r\n\r\n");
      expect((await client.message()).status).toBe(204);
      expect(peer.text).toBe("");
    }
  });
});
