// Upgrade (RFC 9110 §7.8): the request is routed like any other, and a 101 joins the two connections.
import { createHash } from "node:crypto";
import { expect, onTestFinished, test } from "vitest";
import { ok, startBackend } from "../support/backend.ts";
import type { Peer } from "../support/peer.ts";
import { eventually, swept, untilQuiet } from "../support/quiet.ts";
import { endpointState, get, openConnections } from "../support/requests.ts";
import { type SidecarOptions, type Trio, describeRelay, startSidecar, startTrio } from "../support/sidecar.ts";
import { bodyBlocks, bodyDigest } from "../support/stream.ts";
import { switching, upgradeRequest } from "../support/upgrade.ts";

const MIB = 1024 * 1024;

interface Switched extends Trio {
  /** The endpoint's side. */
  readonly peer: Peer;
}

/** The trio, behind a handshake. */
async function startSwitched(options: SidecarOptions = {}): Promise<Switched> {
  const trio = await startTrio(options);
  trio.client.send(upgradeRequest());
  const { peer } = await trio.backend.request();
  peer.send(switching());
  await trio.client.message();
  return { ...trio, peer };
}

async function pour(peer: Peer, length: number): Promise<void> {
  for (const block of bodyBlocks(length)) {
    if (!peer.socket.write(block)) await new Promise((resolve) => peer.socket.once("drain", resolve));
  }
  peer.finish();
}

async function digest(peer: Peer): Promise<string> {
  peer.forget();
  const hash = createHash("sha256");
  peer.socket.on("data", (chunk: Buffer) => hash.update(chunk));
  expect(await peer.ended()).toBe("fin");
  return hash.digest("hex");
}

describeRelay("an upgrade", (mode) => {
  test("is relayed with the bytes that come right behind either head", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(`${upgradeRequest("/chat", "foo/2", "X-End: 1")}early bytes`);
    const { request, peer } = await backend.request();
    expect(request.start).toBe("GET /chat HTTP/1.1");
    expect(request.lines.filter((line) => !line.startsWith("via:"))).toEqual([
      "Host: checkout",
      "Upgrade: foo/2",
      "X-End: 1",
      "connection: Upgrade",
    ]);
    peer.send(`${switching("Foo/2")}first words`);
    const answer = await client.message();
    expect(answer.start).toBe("HTTP/1.1 101 Switching Protocols");
    expect(answer.lines).toEqual(["Upgrade: Foo/2", "connection: Upgrade"]);
    expect(await client.until("words")).toBe("first words");
    expect(await peer.until("bytes")).toBe("early bytes");
    client.send("\0\x01\xff");
    expect(await peer.until("\xff")).toBe("early bytes\0\x01\xff");
    peer.send("\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    expect(await client.until("OK\r\n\r\n")).toBe("first words\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
  });

  test("does not reach the endpoint with more than its head before it is answered", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(upgradeRequest());
    const { peer } = await backend.request();
    await client.sendParts(["early", " bytes"]);
    const received = peer.bytesReceived;
    expect(await untilQuiet(() => peer.bytesReceived)).toBe(received);
    peer.send(switching());
    expect(await peer.until("bytes")).toBe("early bytes");
  });

  test("may come in any segments, both heads and what follows them", async () => {
    const { client, backend } = await startTrio(mode);
    const early = "\0\r\n\r\n";
    await client.sendParts(`${upgradeRequest()}${early}`.split(""));
    const { peer } = await backend.request();
    await peer.sendParts(`${switching()}${early}`.split(""));
    expect((await client.message()).status).toBe(101);
    expect(await client.until((text) => text.length === early.length)).toBe(early);
    expect(await peer.until((text) => text.length === early.length)).toBe(early);
  });

  test("may be one of several that are offered", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(upgradeRequest("/", "foo/2, websocket, bar"));
    const { peer } = await backend.request();
    peer.send(switching("WEBSOCKET"));
    expect((await client.message()).status).toBe(101);
    peer.send("hello");
    expect(await client.until("hello")).toBe("hello");
  });

  test("may be preceded by interim responses", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(upgradeRequest("/", "foo", "Expect: 100-continue"));
    const { peer } = await backend.request();
    peer.send(`HTTP/1.1 100 Continue\r\n\r\n${switching("foo")}x`);
    expect((await client.message()).status).toBe(100);
    expect((await client.message()).status).toBe(101);
    expect(await client.until("x")).toBe("x");
  });

  test("that is answered otherwise is a request like any other, and the connection stays", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(upgradeRequest());
    const { peer } = await backend.request();
    peer.send(
      "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: foo/3\r\nContent-Length: 4\r\n\r\nnope",
    );
    const answer = await client.message();
    expect([answer.status, answer.body]).toEqual([426, "nope"]);
    expect(answer.lines).toEqual(["Upgrade: foo/3", "Content-Length: 4", "connection: Upgrade"]);
    client.send(get("/next"));
    expect((await peer.message()).start).toBe("GET /next HTTP/1.1");
    peer.send(ok("served"));
    expect((await client.message()).body).toBe("served");
    client.send(upgradeRequest("/again"));
    expect((await peer.message()).start).toBe("GET /again HTTP/1.1");
    peer.send(switching());
    expect((await client.message()).status).toBe(101);
  });

  test("follows its key to the sandbox, and never elsewhere", async () => {
    const sandbox = await startBackend();
    const table = {
      services: { checkout: {} },
      sandboxes: { "pr-7": { services: { checkout: [sandbox.name] } } },
    };
    const { client, sidecar, backend } = await startTrio({ ...mode, table });
    client.send(upgradeRequest("/", "websocket", "baggage: sidelane=pr-7", "x-sidelane-debug: 1"));
    const { peer } = await sandbox.request();
    peer.send(switching());
    const answer = await client.message();
    expect(answer.field("x-sidelane-route")).toBe("checkout=pr-7;reason=sandbox;table=1");
    sidecar.publish({ services: { checkout: {} } });
    client.send("stays where it is");
    await peer.until("stays where it is");
    await sandbox.close();
    const late = await sidecar.connect();
    sidecar.publish(table);
    late.send(upgradeRequest("/", "websocket", "baggage: sidelane=pr-7"));
    expect((await late.message()).status).toBe(503);
    expect(backend.connections).toHaveLength(0);
  });

  test("passes large amounts both ways at the same time", async () => {
    const { client, peer } = await startSwitched(mode);
    const up = 20 * MIB + 1;
    const down = 30 * MIB + 7;
    const digests = Promise.all([digest(peer), digest(client)]);
    await Promise.all([pour(client, up), pour(peer, down)]);
    expect(await digests).toEqual([bodyDigest(up), bodyDigest(down)]);
  });

  test.each(["client", "endpoint"])("with a slow %s holds back the other side", async (slow) => {
    const { client, peer } = await startSwitched(mode);
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
    reader.abort();
    expect(await writer.ended()).toBe("reset");
  });

  test("ends each way on its own", async () => {
    const { client, sidecar, peer } = await startSwitched(mode);
    client.send("last words");
    client.finish();
    expect(await peer.ended()).toBe("fin");
    expect(peer.text).toBe("last words");
    peer.send("answer");
    peer.finish();
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("answer");
    await eventually(() => openConnections(sidecar) === 0);
    expect(endpointState(sidecar)).toMatchObject({ idle: 0, active: 0, outstanding: 0 });
  });

  test("of a client that has closed its side before the answer", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(upgradeRequest());
    client.finish();
    const { peer } = await backend.request();
    // Until the sidecar has seen that, too.
    await peer.sendParts(["HTTP/1.1 103 Early Hints\r\n\r\n"]);
    await client.message();
    peer.send(`${switching()}hello`);
    await client.message();
    expect(await client.until("hello")).toBe("hello");
    expect(await peer.ended()).toBe("fin");
  });

  test("that breaks on one side is a reset on the other", async () => {
    const first = await startSwitched(mode);
    first.client.abort();
    expect(await first.peer.ended()).toBe("reset");
    const second = await startSwitched(mode);
    second.peer.abort();
    expect(await second.client.ended()).toBe("reset");
    const reset = { code: "101", reason: "response-aborted" };
    await eventually(async () => (await second.sidecar.metric("sidelane_requests_total", reset)) === 1);
  });

  test("is one exchange in metrics, log and connections, from its request to its end", async () => {
    const { client, sidecar, backend, peer } = await startSwitched({ ...mode, accessLog: true });
    expect(await sidecar.metric("sidelane_active_requests")).toBe(1);
    expect(endpointState(sidecar)).toMatchObject({ idle: 0, active: 1, outstanding: 1 });
    client.send("12345");
    await peer.until("12345");
    peer.send("123");
    await client.until("123");
    await swept(200);
    client.finish();
    peer.finish();
    await eventually(() => openConnections(sidecar) === 0);
    expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
    expect(await sidecar.metric("sidelane_requests_total", { code: "101", reason: "no-key" })).toBe(1);
    expect(await sidecar.metric("sidelane_request_duration_seconds_sum")).toBeGreaterThan(0.2);
    expect(await sidecar.metric("sidelane_upstream_connections", { state: "active" })).toBe(0);
    const lines = await sidecar.logLines();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      method: "GET",
      status: 101,
      reason: "no-key",
      endpoint: backend.name,
      requestBytes: 5,
      responseBytes: 3,
    });
  });

  test("outlives the deadlines of requests, and ends when it is idle for timeouts.tunnelIdleMs", async () => {
    const timeouts = {
      requestMs: 300,
      responseHeadMs: 300,
      bodyMs: 300,
      stalledMs: 300,
      idleMs: 300,
      tunnelIdleMs: 900,
    };
    const { client, sidecar, peer } = await startSwitched({ ...mode, timeouts });
    const work = setInterval(() => peer.send("."), 50);
    onTestFinished(() => clearInterval(work));
    await swept(1200);
    expect(client.ending).toBeUndefined();
    clearInterval(work);
    expect(await client.ended()).toBe("reset");
    expect(await peer.ended()).toBe("reset");
    expect(await sidecar.metric("sidelane_requests_total", { code: "101", reason: "no-key" })).toBe(1);
  });

  test("that is not answered runs into timeouts.responseHeadMs", async () => {
    const { client, backend } = await startTrio({ ...mode, timeouts: { responseHeadMs: 100 } });
    client.send(upgradeRequest());
    await backend.request();
    expect((await client.message()).status).toBe(504);
  });

  test("lives through a drain until its deadline", async () => {
    const { client, sidecar, peer } = await startSwitched({ ...mode, timeouts: { drainMs: 400 } });
    const drained = sidecar.proxy.drain();
    client.send("still at work");
    await peer.until("still at work");
    await drained;
    expect(client.ending).toBeUndefined();
    await sidecar.close();
    expect(await client.ended()).toBe("reset");
    expect(await peer.ended()).toBe("reset");
  });

  test("keeps its connection to itself: the next request gets another one", async () => {
    const { client, sidecar, backend, peer } = await startSwitched(mode);
    client.finish();
    peer.finish();
    await eventually(() => openConnections(sidecar) === 0);
    const next = await sidecar.connect();
    next.send(get("/next"));
    const { peer: other } = await backend.request();
    other.send(ok("served"));
    expect((await next.message()).body).toBe("served");
    expect(other).not.toBe(peer);
  });

  test("is retried like any request when a kept connection turns out to be closed", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(get());
    const { peer } = await backend.request();
    peer.send(ok("kept"));
    await client.message();
    client.send(upgradeRequest());
    await peer.message();
    peer.finish();
    const { peer: other } = await backend.request();
    other.send(`${switching()}hello`);
    await client.message();
    expect(await client.until("hello")).toBe("hello");
  });

  test("finds no endpoint: 503, and the connection stays", async () => {
    const backend = await startBackend();
    await backend.close();
    const sidecar = await startSidecar({ ...mode, target: backend.name });
    const client = await sidecar.connect();
    client.send(upgradeRequest());
    expect((await client.message()).status).toBe(503);
    client.send(get());
    expect((await client.message()).status).toBe(503);
  });
});
