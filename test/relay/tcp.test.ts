// Connections that are relayed as bytes: `protocol: tcp`, and what `auto` takes for neither HTTP nor its own.
import { createHash, randomBytes } from "node:crypto";
import { connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { startBackend } from "../support/backend.ts";
import type { Ending, Peer } from "../support/peer.ts";
import { eventually, swept, untilQuiet } from "../support/quiet.ts";
import { endpointState, openConnections } from "../support/requests.ts";
import {
  type Sidecar,
  type SidecarOptions,
  type Trio,
  type WriteMode,
  describeRelay,
  startSidecar,
} from "../support/sidecar.ts";
import { bodyBlocks, bodyDigest } from "../support/stream.ts";

const MIB = 1024 * 1024;

/** The trio with a listener of that protocol. */
async function startTcp(mode: WriteMode, protocol: "tcp" | "auto" = "tcp", more: SidecarOptions = {}): Promise<Trio> {
  const backend = await startBackend();
  const listeners = [{ direction: "inbound", address: "127.0.0.1:0", target: backend.name, protocol }];
  const sidecar = await startSidecar({ ...mode, listeners, ...more });
  return { client: await sidecar.connect(), sidecar, backend };
}

/** How a client's connection ends that is not served; perhaps so soon that it never learns of having been accepted. */
async function turnedAway(sidecar: Sidecar): Promise<Ending> {
  const client = await sidecar.connect().catch(() => undefined);
  return client === undefined ? "reset" : client.ended();
}

/** Sends a body as fast as it is taken, and ends. */
async function pour(peer: Peer, length: number): Promise<void> {
  for (const block of bodyBlocks(length)) {
    if (!peer.socket.write(block)) await new Promise((resolve) => peer.socket.once("drain", resolve));
  }
  peer.finish();
}

/** Reads to the end. */
async function digest(peer: Peer): Promise<string> {
  peer.forget();
  const hash = createHash("sha256");
  peer.socket.on("data", (chunk: Buffer) => hash.update(chunk));
  expect(await peer.ended()).toBe("fin");
  return hash.digest("hex");
}

describeRelay("protocol: tcp", (mode) => {
  test("a server that speaks first is heard by a client that waits for it", async () => {
    const { client, backend } = await startTcp(mode);
    const peer = await backend.accept();
    peer.send("SSH-2.0-OpenSSH_9.2p1\r\n");
    expect(await client.until("\r\n")).toBe("SSH-2.0-OpenSSH_9.2p1\r\n");
    client.send("SSH-2.0-client\r\n");
    expect(await peer.until("\r\n")).toBe("SSH-2.0-client\r\n");
  });

  test("bytes pass unchanged whatever they look like, also HTTP", async () => {
    const { client, backend } = await startTcp(mode);
    const peer = await backend.accept();
    const request = "GET / HTTP/1.1\r\nHost: x\r\nbaggage: sidelane=pr-7\r\nConnection: close\r\n\r\n";
    client.send(request);
    expect(await peer.until((text) => text.length >= request.length)).toBe(request);
    const bytes = Buffer.concat([randomBytes(3000), Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))]);
    peer.send(bytes);
    expect(Buffer.from(await client.until((text) => text.length >= bytes.length), "latin1").equals(bytes)).toBe(true);
  });

  test("what the client sends before the endpoint is there is not lost, nor is its end", async () => {
    const { sidecar, backend } = await startTcp(mode);
    const socket = connect({ host: "127.0.0.1", port: sidecar.port(), allowHalfOpen: true });
    onTestFinished(() => void socket.destroy());
    socket.end("all that I have to say");
    await backend.accept();
    const peer = await backend.accept();
    expect(await peer.ended()).toBe("fin");
    expect(peer.text).toBe("all that I have to say");
  });

  test("large amounts pass both ways at the same time", async () => {
    const { client, backend } = await startTcp(mode);
    const peer = await backend.accept();
    const up = 20 * MIB + 1;
    const down = 30 * MIB + 7;
    const digests = Promise.all([digest(peer), digest(client)]);
    await Promise.all([pour(client, up), pour(peer, down)]);
    expect(await digests).toEqual([bodyDigest(up), bodyDigest(down)]);
  });

  test.each(["client", "endpoint"])("a %s that does not read holds back the other, and nobody else", async (slow) => {
    const { client, sidecar, backend } = await startTcp(mode);
    const peer = await backend.accept();
    const [reader, writer] = slow === "client" ? [client, peer] : [peer, client];
    reader.socket.pause();
    let sent = 0;
    const blocks = bodyBlocks(200 * MIB);
    const more = (): void => {
      for (const block of blocks) {
        sent += block.length;
        if (!writer.socket.write(block)) return;
      }
    };
    writer.socket.on("drain", more);
    more();
    await untilQuiet(() => sent);
    expect(sent).toBeLessThan(32 * MIB);
    const other = await sidecar.connect();
    const otherPeer = await backend.accept();
    other.send("ping");
    await otherPeer.until("ping");
    // Nobody would notice a reset by the one that is held back: its bytes, and its end, are not read.
    reader.abort();
    expect(await writer.ended()).toBe("reset");
  });

  test("each side ends on its own", async () => {
    const { client, sidecar, backend } = await startTcp(mode);
    const peer = await backend.accept();
    client.send("request");
    client.finish();
    expect(await peer.ended()).toBe("fin");
    expect(peer.text).toBe("request");
    peer.send("answer");
    await client.until("answer");
    expect(client.ending).toBeUndefined();
    peer.send(" and more");
    peer.finish();
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("answer and more");
    await eventually(() => openConnections(sidecar) === 0);
  });

  test("a server may end first", async () => {
    const { client, sidecar, backend } = await startTcp(mode);
    const peer = await backend.accept();
    peer.send("bye");
    peer.finish();
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("bye");
    client.send("still here");
    await peer.until("still here");
    client.finish();
    expect(await peer.ended()).toBe("fin");
    await eventually(() => openConnections(sidecar) === 0);
  });

  test("a reset is passed on as a reset, whoever sent it", async () => {
    const { client, sidecar, backend } = await startTcp(mode);
    const peer = await backend.accept();
    peer.send("x");
    await client.until("x");
    client.abort();
    expect(await peer.ended()).toBe("reset");
    const second = await sidecar.connect();
    const secondPeer = await backend.accept();
    second.send("x");
    await secondPeer.until("x");
    secondPeer.abort();
    expect(await second.ended()).toBe("reset");
    await eventually(async () => (await sidecar.metric("sidelane_active_requests", { protocol: "tcp" })) === 0);
    expect(await sidecar.metric("sidelane_requests_total", { protocol: "tcp", reason: "client-closed" })).toBe(1);
    expect(await sidecar.metric("sidelane_requests_total", { protocol: "tcp", reason: "response-aborted" })).toBe(1);
  });

  test("an endpoint that has ended and then refuses what still comes is noticed", async () => {
    const { client, sidecar, backend } = await startTcp(mode);
    const peer = await backend.accept();
    peer.finish();
    expect(await client.ended()).toBe("fin");
    peer.abort();
    const closed = new Promise((resolve) => {
      client.socket.once("close", resolve);
    });
    const babble = setInterval(() => client.send("is anybody there?"), 20);
    onTestFinished(() => clearInterval(babble));
    await closed;
    await eventually(() => openConnections(sidecar) === 0);
    expect(endpointState(sidecar)).toMatchObject({ active: 0, outstanding: 0 });
  });

  test("a target that cannot be reached is a reset, and counted", async () => {
    const backend = await startBackend();
    const listeners = [{ direction: "inbound", address: "127.0.0.1:0", target: backend.name, protocol: "tcp" }];
    await backend.close();
    const sidecar = await startSidecar({ ...mode, listeners, accessLog: true });
    expect(await turnedAway(sidecar)).toBe("reset");
    await eventually(() => openConnections(sidecar) === 0);
    expect(
      await sidecar.metric("sidelane_requests_total", { protocol: "tcp", reason: "upstream-unavailable", code: "503" }),
    ).toBe(1);
    expect(endpointState(sidecar)).toMatchObject({ active: 0, connecting: 0, outstanding: 0 });
    const [line] = await sidecar.logLines();
    expect(line).toMatchObject({
      protocol: "TCP",
      reason: "upstream-unavailable",
      status: 503,
      endpoint: backend.name,
    });
  });

  test("no more than limits.upstreamConnectionsMax at a time", async () => {
    const { client, sidecar, backend } = await startTcp(mode, "tcp", { limits: { upstreamConnectionsMax: 1 } });
    const peer = await backend.accept();
    expect(await turnedAway(sidecar)).toBe("reset");
    const refused = { protocol: "tcp", reason: "upstream-overloaded" };
    await eventually(async () => (await sidecar.metric("sidelane_requests_total", refused)) === 1);
    client.finish();
    peer.finish();
    await eventually(() => endpointState(sidecar)?.active === 0);
    await sidecar.connect();
    await backend.accept();
  });

  test("an idle tunnel ends after timeouts.tunnelIdleMs, one at work does not", async () => {
    const { client, sidecar, backend } = await startTcp(mode, "tcp", { timeouts: { tunnelIdleMs: 500 } });
    const peer = await backend.accept();
    const busy = await sidecar.connect();
    const busyPeer = await backend.accept();
    const work = setInterval(() => busyPeer.send("."), 50);
    onTestFinished(() => clearInterval(work));
    expect(await client.ended()).toBe("reset");
    expect(await peer.ended()).toBe("reset");
    await swept(600);
    expect(busy.ending).toBeUndefined();
  });

  test("one line of the access log and one request in the metrics for each", async () => {
    const { client, sidecar, backend } = await startTcp(mode, "tcp", { accessLog: true });
    const peer = await backend.accept();
    client.send("12345");
    await peer.until("12345");
    expect(await sidecar.metric("sidelane_active_requests", { protocol: "tcp" })).toBe(1);
    expect(endpointState(sidecar)).toMatchObject({ active: 1, outstanding: 1 });
    peer.send("123");
    peer.finish();
    expect(await client.ended()).toBe("fin");
    client.finish();
    await eventually(() => openConnections(sidecar) === 0);
    expect(await sidecar.metric("sidelane_active_requests", { protocol: "tcp" })).toBe(0);
    expect(await sidecar.metric("sidelane_upstream_connections", { state: "active" })).toBe(0);
    const labels = { protocol: "tcp", service: "checkout", destination: "baseline", reason: "no-key" };
    expect(await sidecar.metric("sidelane_requests_total", labels)).toBe(1);
    const lines = await sidecar.logLines();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      protocol: "TCP",
      service: "checkout",
      destination: "baseline",
      reason: "no-key",
      status: 0,
      endpoint: backend.name,
      requestBytes: 5,
      responseBytes: 3,
    });
  });

  test("a drain waits for tunnels until its deadline", async () => {
    const { client, sidecar, backend } = await startTcp(mode, "tcp", { timeouts: { drainMs: 400 } });
    const peer = await backend.accept();
    const drained = sidecar.proxy.drain();
    client.send("still at work");
    await peer.until("still at work");
    await drained;
    expect(client.ending).toBeUndefined();
    await sidecar.close();
    expect(await client.ended()).toBe("reset");
    expect(await peer.ended()).toBe("reset");
  });

  test("a drain is over when the last tunnel has ended", async () => {
    const { client, sidecar, backend } = await startTcp(mode);
    const peer = await backend.accept();
    const drained = sidecar.proxy.drain();
    client.finish();
    await peer.ended();
    peer.finish();
    await drained;
    expect(openConnections(sidecar)).toBe(0);
  });
});

describeRelay("protocol: auto", (mode) => {
  test.each([
    "PING\r\n",
    "SSH-2.0-client\r\n",
    "EHLO mail.example\r\n",
    "\0\0\0\x08\x04\xd2\x16\x2f",
    "AMQP\0\0\x09\x01",
  ])("passes %j to the baseline, the first bytes included", async (hello) => {
    const { client, backend } = await startTcp(mode, "auto");
    client.send(hello);
    const peer = await backend.accept();
    expect(await peer.until((text) => text.length >= hello.length)).toBe(hello);
    peer.send("welcome");
    expect(await client.until("welcome")).toBe("welcome");
  });

  test("passes TLS on as it is where the listener does not end it", async () => {
    const { client, backend } = await startTcp(mode, "auto");
    client.send("\x16\x03\x01\0\x05\x01\0\0\x01\0");
    const peer = await backend.accept();
    expect(await peer.until((text) => text.length === 10)).toBe("\x16\x03\x01\0\x05\x01\0\0\x01\0");
  });

  test("waits for no byte too many, and takes them one by one", async () => {
    const { client, backend } = await startTcp(mode, "auto");
    await client.sendParts(["E", "H", "LO", " x", "\r", "\n"]);
    const peer = await backend.accept();
    expect(await peer.until("\n")).toBe("EHLO x\r\n");
  });

  test("still speaks HTTP/1.1", async () => {
    const { client, backend } = await startTcp(mode, "auto");
    await client.sendParts(["GET / HT", "TP/1.1\r\nHost: x\r\n\r\n"]);
    const { request, peer } = await backend.request();
    expect(request.start).toBe("GET / HTTP/1.1");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await client.message()).body).toBe("ok");
  });

  test("a request with a broken first line is refused, never passed to the baseline unread", async () => {
    const { client, backend } = await startTcp(mode, "auto");
    client.send("GET /a b HTTP/1.1\r\nHost: x\r\nbaggage: sidelane=pr-7\r\n\r\n");
    expect((await client.message()).status).toBe(400);
    expect(backend.connections).toHaveLength(0);
  });

  test("of an outbound listener cannot tell where TCP wants to go", async () => {
    const listeners = [{ direction: "outbound", address: "127.0.0.1:0", protocol: "auto" }];
    const sidecar = await startSidecar({ ...mode, listeners });
    const client = await sidecar.connect("outbound");
    client.send("PING\r\n");
    expect(await client.ended()).toBe("reset");
    await eventually(() => openConnections(sidecar) === 0);
    expect(
      await sidecar.metric("sidelane_requests_total", { protocol: "tcp", reason: "destination-unknown", code: "421" }),
    ).toBe(1);
  });
});
