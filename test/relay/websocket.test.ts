// WebSocket (RFC 6455) through the relay, with the package `ws` on both sides.
import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import type { WebSocket } from "ws";
import { eventually, memoryGrowth, untilQuiet } from "../support/quiet.ts";
import { endpointState, openConnections } from "../support/requests.ts";
import { type Sidecar, type SidecarOptions, describeRelay, startSidecar } from "../support/sidecar.ts";
import { type WebSocketApp, connectWebSocket, echo, startWebSocketApp } from "../support/websocket.ts";

const MIB = 1024 * 1024;

async function startEcho(
  mode: SidecarOptions,
  options: Parameters<typeof startWebSocketApp>[1] = {},
): Promise<{ readonly app: WebSocketApp; readonly sidecar: Sidecar }> {
  const app = await startWebSocketApp(echo, { maxPayload: 200 * MIB, ...options });
  return { app, sidecar: await startSidecar({ target: app.name, ...mode }) };
}

/** The server's side of the next connection. */
function nextConnection(app: WebSocketApp): Promise<WebSocket> {
  return new Promise((resolve) => {
    app.server.once("connection", resolve);
  });
}

describeRelay("WebSocket", (mode) => {
  test.each([false, true])("text and binary messages are echoed (compression: %j)", async (perMessageDeflate) => {
    const { sidecar } = await startEcho(mode, { perMessageDeflate });
    const client = await connectWebSocket(sidecar.port(), { perMessageDeflate });
    expect(client.socket.extensions).toBe(perMessageDeflate ? "permessage-deflate" : "");
    for (const message of ["", "hello", "ümläut €🙂", "x".repeat(70_000)]) {
      client.socket.send(message);
      expect(await client.message()).toBe(message);
    }
    for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 300_000]) {
      const message = randomBytes(length);
      client.socket.send(message);
      expect(message.equals((await client.message()) as Buffer)).toBe(true);
    }
  });

  test("a message of 50 MB comes back as it was", async () => {
    const { sidecar } = await startEcho(mode);
    const client = await connectWebSocket(sidecar.port(), { maxPayload: 200 * MIB, perMessageDeflate: false });
    const message = randomBytes(50 * MIB);
    client.socket.send(message);
    expect(message.equals((await client.message()) as Buffer)).toBe(true);
  });

  test("fragments and many messages keep their order", async () => {
    const { sidecar } = await startEcho(mode);
    const client = await connectWebSocket(sidecar.port());
    for (let n = 0; n < 2000; n++) {
      client.socket.send(`${n}-`, { fin: false });
      client.socket.send("end", { fin: true });
    }
    for (let n = 0; n < 2000; n++) expect(await client.message()).toBe(`${n}-end`);
  });

  test("pings are answered by the other side, either way", async () => {
    const { app, sidecar } = await startEcho(mode);
    const connected = nextConnection(app);
    const client = await connectWebSocket(sidecar.port());
    const server = await connected;
    for (const side of [client.socket, server]) {
      const pong = new Promise<Buffer>((resolve) => side.once("pong", resolve));
      side.ping("are you there?");
      expect((await pong).toString()).toBe("are you there?");
    }
  });

  test.each([
    [1000, "done"],
    [1001, "going away"],
    [1008, ""],
    [1013, "try again later"],
    [3000, "registered"],
    [4999, "ours"],
  ])("close code %d passes, whoever closes", async (code, reason) => {
    const { app, sidecar } = await startEcho(mode);
    const connected = nextConnection(app);
    const client = await connectWebSocket(sidecar.port());
    const server = await connected;
    const heard = new Promise((resolve) => {
      server.once("close", (said: number, why: Buffer) => resolve([said, why.toString()]));
    });
    client.socket.close(code, reason);
    expect(await heard).toEqual([code, reason]);
    expect(await client.closed()).toEqual({ code, reason });

    const again = nextConnection(app);
    const second = await connectWebSocket(sidecar.port());
    (await again).close(code, reason);
    expect(await second.closed()).toEqual({ code, reason });
    await eventually(() => openConnections(sidecar) === 0);
    expect(endpointState(sidecar)).toMatchObject({ active: 0, outstanding: 0 });
  });

  test("a server that dies is 1006 to the client, and a client that dies to the server", async () => {
    const { app, sidecar } = await startEcho(mode);
    const connected = nextConnection(app);
    const client = await connectWebSocket(sidecar.port());
    (await connected).terminate();
    expect((await client.closed()).code).toBe(1006);
    const again = nextConnection(app);
    const second = await connectWebSocket(sidecar.port());
    const server = await again;
    const heard = new Promise<number>((resolve) => server.once("close", resolve));
    second.socket.terminate();
    expect(await heard).toBe(1006);
  });

  test.each(["client", "server"])("a %s that does not read holds the other side back", async (slow) => {
    const app = await startWebSocketApp(() => {});
    const sidecar = await startSidecar({ target: app.name, ...mode });
    const connected = nextConnection(app);
    const client = await connectWebSocket(sidecar.port());
    const server = await connected;
    const [reader, writer] = slow === "client" ? [client.socket, server] : [server, client.socket];
    let received = 0;
    reader.on("message", () => received++);
    reader.pause();
    const block = randomBytes(64 * 1024);
    let sent = 0;
    // Answered once the kernel has taken it.
    const more = (error?: Error): void => {
      if (error instanceof Error || sent >= 1000) return;
      sent++;
      writer.send(block, more);
    };
    more();
    const growth = memoryGrowth();
    expect(await untilQuiet(() => sent)).toBeLessThan(640);
    expect(received).toBe(0);
    expect(growth()).toBeLessThan(32 * MIB);
    reader.resume();
    const held = sent;
    await eventually(() => received >= held && sent > held);
    reader.terminate();
  });

  test("follows the key of its handshake, message after message", async () => {
    const named = (name: string): Promise<WebSocketApp> =>
      startWebSocketApp((socket) => socket.on("message", (message) => socket.send(`${name}: ${String(message)}`)));
    const [app, sandbox] = await Promise.all([named("baseline"), named("pr-7")]);
    const table = { services: { checkout: {} }, sandboxes: { "pr-7": { services: { checkout: [sandbox.name] } } } };
    const sidecar = await startSidecar({ target: app.name, table, ...mode });
    const plain = await connectWebSocket(sidecar.port());
    const keyed = await connectWebSocket(sidecar.port(), { headers: { baggage: "user=ada,sidelane=pr-7" } });
    for (let n = 0; n < 3; n++) {
      plain.socket.send(`${n}`);
      keyed.socket.send(`${n}`);
      expect(await plain.message()).toBe(`baseline: ${n}`);
      expect(await keyed.message()).toBe(`pr-7: ${n}`);
    }
    const labels = { protocol: "http1", destination: "pr-7", reason: "sandbox", code: "101" };
    keyed.socket.close();
    await eventually(async () => (await sidecar.metric("sidelane_requests_total", labels)) === 1);
    // A sandbox that is gone is an error, never the baseline.
    await sandbox.close();
    await expect(connectWebSocket(sidecar.port(), { headers: { baggage: "sidelane=pr-7" } })).rejects.toThrow(
      "Unexpected server response: 503",
    );
  });

  test.each([401, 403, 429])("a handshake that the app refuses with %d is refused", async (status) => {
    const { sidecar } = await startEcho(mode, {
      verifyClient: (_info: unknown, decide: (accept: boolean, code: number) => void) => decide(false, status),
    });
    await expect(connectWebSocket(sidecar.port())).rejects.toThrow(`Unexpected server response: ${status}`);
    await eventually(() => openConnections(sidecar) === 0);
    expect(await sidecar.metric("sidelane_requests_total", { code: String(status) })).toBe(1);
  });

  test("a handshake that is not one is the app's to refuse", async () => {
    const { sidecar } = await startEcho(mode);
    const client = await sidecar.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    expect((await client.message()).status).toBe(400);
    const second = await sidecar.connect();
    second.send(
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 777\r\n\r\n",
    );
    const answer = await second.message();
    expect([answer.status >= 400, answer.field("sec-websocket-version")]).toEqual([true, "13, 8"]);
  });

  test("a subprotocol is agreed between the two, and the path and its query arrive", async () => {
    const app = await startWebSocketApp(() => {}, { handleProtocols: (offered) => [...offered].at(-1) ?? false });
    const asked = new Promise<string | undefined>((resolve) => {
      app.server.once("connection", (_socket, request) => resolve(request.url));
    });
    const sidecar = await startSidecar({ target: app.name, ...mode });
    const client = await connectWebSocket(sidecar.port(), {}, "/chat?room=1");
    expect(await asked).toBe("/chat?room=1");
    client.socket.terminate();
  });
});
