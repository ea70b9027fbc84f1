// WebSocket (RFC 6455) over HTTP/2 (RFC 8441) through the relay, with `ws` on node:http2 on both sides.
import { createHash, randomBytes } from "node:crypto";
import { type ClientHttp2Session, connect } from "node:http2";
import { expect, onTestFinished, test } from "vitest";
import type { WebSocket } from "ws";
import { PemFolder, makeAuthority } from "../support/certificates.ts";
import { connectHttp2, fetchHttp2, startHelloApp } from "../support/http2-app.ts";
import {
  type Http2WebSocketApp,
  extendedConnectOf,
  openWebSocket,
  startHttp2WebSocketApp,
} from "../support/http2-websocket.ts";
import { eventually, memoryGrowth, untilQuiet } from "../support/quiet.ts";
import { endpointState } from "../support/requests.ts";
import { type Sidecar, type SidecarOptions, type WriteMode, describeRelay, startSidecar } from "../support/sidecar.ts";
import { type WebSocketPeer, echo } from "../support/websocket.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const authority = await makeAuthority();

/** A client of a sidecar before an app that serves WebSocket, once it has heard that it may open one. */
interface Scene {
  readonly app: Http2WebSocketApp;
  readonly sidecar: Sidecar;
  readonly session: ClientHttp2Session;
}

async function startScene(
  options: SidecarOptions = {},
  serve: (socket: WebSocket) => void = echo,
  over: "cleartext" | "tls" = "cleartext",
): Promise<Scene> {
  const app = await startHttp2WebSocketApp(serve);
  const sidecar = await (over === "tls"
    ? startTlsSidecar(app.name, options)
    : startSidecar({ target: app.name, ...options }));
  const session = over === "tls" ? connectTls(sidecar) : await connectHttp2(sidecar.port());
  expect((await fetchHttp2(session)).body).toBe("hello");
  await extendedConnectOf(session);
  return { app, sidecar, session };
}

async function startTlsSidecar(target: string, options: SidecarOptions): Promise<Sidecar> {
  const folder = await PemFolder.make();
  const tls = await folder.putPair("tls", await authority.sign("checkout", { names: ["checkout"] }));
  return startSidecar({ listeners: [{ direction: "inbound", address: "127.0.0.1:0", target, tls }], ...options });
}

function connectTls(sidecar: Sidecar): ClientHttp2Session {
  const options = { ca: authority.certificate, servername: "checkout" };
  const session = connect(`https://127.0.0.1:${sidecar.port()}`, options);
  onTestFinished(() => session.destroy());
  session.on("error", () => {});
  return session;
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

for (const over of ["cleartext", "tls"] as const) {
  describeRelay(`WebSocket over HTTP/2, ${over}`, (mode) => {
    const start = (serve?: (socket: WebSocket) => void, options: SidecarOptions = {}): Promise<Scene> =>
      startScene({ ...mode, ...options }, serve, over);

    test("text and binary messages of all lengths are echoed", async () => {
      const { session } = await start();
      const client = await openWebSocket(session);
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

    test("messages of several MiB, both ways at once", async () => {
      const outgoing = randomBytes(9 * MIB + 1);
      const heard: string[] = [];
      const { app, session } = await start((socket) => {
        socket.on("message", (message) => heard.push(digestOf(message as Buffer)));
      });
      const client = await openWebSocket(session);
      const incoming = randomBytes(7 * MIB - 3);
      app.served[0]?.socket.send(outgoing);
      client.socket.send(incoming);
      expect(digestOf((await client.message()) as Buffer)).toBe(digestOf(outgoing));
      await eventually(() => heard.length === 1);
      expect(heard).toEqual([digestOf(incoming)]);
    });

    test("fragments and many small messages keep their order", async () => {
      const { session } = await start();
      const client = await openWebSocket(session);
      for (let n = 0; n < 2000; n++) {
        client.socket.send(`${n}-`, { fin: false });
        client.socket.send("end", { fin: true });
      }
      for (let n = 0; n < 2000; n++) expect(await client.message()).toBe(`${n}-end`);
    });

    test("pings are answered by the other side, either way", async () => {
      const { app, session } = await start();
      const client = await openWebSocket(session);
      for (const side of [client.socket, app.served[0]?.socket]) {
        const pong = new Promise<Buffer>((resolve) => side?.once("pong", resolve));
        side?.ping("are you there?");
        expect((await pong).toString()).toBe("are you there?");
      }
    });

    test.each([
      [1000, "done"],
      [1008, ""],
      [4999, "ours"],
    ])("close code %d passes, whoever closes, and the connections stay", async (code, reason) => {
      const { app, sidecar, session } = await start();
      const client = await openWebSocket(session);
      const heard = closingOf(app.served[0]?.socket);
      client.socket.close(code, reason);
      expect(await heard).toEqual({ code, reason });
      expect(await client.closed()).toEqual({ code, reason });

      const second = await openWebSocket(session);
      app.served[1]?.socket.close(code, reason);
      expect(await second.closed()).toEqual({ code, reason });
      await eventually(async () => (await sidecar.metric("sidelane_active_requests")) === 0);
      expect(endpointState(sidecar)).toMatchObject({ idle: 1, active: 0, outstanding: 0 });
      expect(app.sessions).toHaveLength(1);
      expect((await fetchHttp2(session)).body).toBe("hello");
    });

    test("a side that dies is 1006 to the other, and to no other WebSocket", async () => {
      const { app, session } = await start();
      const bystander = await openWebSocket(session);
      const client = await openWebSocket(session);
      app.served[1]?.socket.terminate();
      expect((await client.closed()).code).toBe(1006);
      const second = await openWebSocket(session);
      const heard = closingOf(app.served[2]?.socket);
      second.socket.terminate();
      expect((await heard).code).toBe(1006);
      const other = await openWebSocket(session);
      // All three run on one connection to the app.
      app.sessions[0]?.destroy();
      expect((await other.closed()).code).toBe(1006);
      expect((await bystander.closed()).code).toBe(1006);
      expect((await fetchHttp2(session)).body).toBe("hello");
    });

    test.each(["client", "server"])(
      "a %s that does not read holds the other side back, and nobody else",
      async (slow) => {
        const { app, session } = await start((socket) => {
          socket.on("message", (message: Buffer) => {
            if (message.length < 100) socket.send(message);
          });
        });
        const client = await openWebSocket(session);
        const neighbour = await openWebSocket(session);
        const server = (app.served[0] as { readonly socket: WebSocket }).socket;
        const [reader, writer] = slow === "client" ? [client.socket, server] : [server, client.socket];
        let received = 0;
        reader.on("message", () => received++);
        reader.pause();
        const block = randomBytes(64 * KIB);
        let sent = 0;
        const more = (error?: Error): void => {
          if (error instanceof Error || sent >= 1000) return;
          sent++;
          writer.send(block, more);
        };
        const growth = memoryGrowth();
        more();
        // Windows of the two connections' streams, and what the two ends keep themselves.
        expect(await untilQuiet(() => sent)).toBeLessThan(100);
        expect(received).toBe(0);
        expect(growth()).toBeLessThan(16 * MIB);
        for (let n = 0; n < 100; n++) {
          neighbour.socket.send(`${n}`);
          expect(String(await neighbour.message())).toBe(`${n}`);
        }
        expect((await fetchHttp2(session)).body).toBe("hello");
        const held = sent;
        reader.resume();
        await eventually(() => received >= held && sent > held);
        reader.terminate();
      },
    );

    test("many at once, with ordinary requests between them, do not disturb one another", async () => {
      const { app, sidecar, session } = await start();
      const clients = await Promise.all(Array.from({ length: 20 }, () => openWebSocket(session)));
      const talk = async (client: WebSocketPeer, n: number): Promise<void> => {
        for (let round = 0; round < 20; round++) {
          const bytes = randomBytes((n * 7919 + round * 104_729) % 40_000);
          client.socket.send(bytes);
          expect(bytes.equals((await client.message()) as Buffer)).toBe(true);
          if (round % 5 === 0) expect((await fetchHttp2(session)).body).toBe("hello");
        }
        client.socket.close(4000 + n);
        expect((await client.closed()).code).toBe(4000 + n);
      };
      await Promise.all(clients.map(talk));
      expect(app.sessions).toHaveLength(1);
      await eventually(async () => (await sidecar.metric("sidelane_active_requests")) === 0);
      expect(await sidecar.metric("sidelane_requests_total", { protocol: "http2", code: "200" })).toBe(20 + 1 + 80);
    });
  });
}

function closingOf(socket: WebSocket | undefined): Promise<{ readonly code: number; readonly reason: string }> {
  return new Promise((resolve) => {
    socket?.once("close", (code: number, reason: Buffer) => resolve({ code, reason: reason.toString() }));
  });
}

describeRelay("the handshake of WebSocket over HTTP/2", (mode: WriteMode) => {
  test("follows its key to the sandbox, message after message, and never elsewhere", async () => {
    const named = (name: string): Promise<Http2WebSocketApp> =>
      startHttp2WebSocketApp((socket) => socket.on("message", (message) => socket.send(`${name}: ${String(message)}`)));
    const [app, sandbox] = await Promise.all([named("baseline"), named("pr-7")]);
    const without = await startHelloApp();
    const table = {
      services: { checkout: {} },
      sandboxes: {
        "pr-7": { services: { checkout: [sandbox.name] } },
        "pr-8": { services: { checkout: [without.name] } },
        "pr-9": { services: { checkout: ["127.0.0.1:1"] } },
      },
    };
    const sidecar = await startSidecar({ target: app.name, table, ...mode });
    const session = await connectHttp2(sidecar.port());
    await fetchHttp2(session);
    await extendedConnectOf(session);
    const plain = await openWebSocket(session);
    const keyed = await openWebSocket(session, { baggage: "user=ada,sidelane=pr-7" });
    for (let n = 0; n < 3; n++) {
      plain.socket.send(`${n}`);
      keyed.socket.send(`${n}`);
      expect(await plain.message()).toBe(`baseline: ${n}`);
      expect(await keyed.message()).toBe(`pr-7: ${n}`);
    }
    keyed.socket.close();
    const labels = { protocol: "http2", destination: "pr-7", reason: "sandbox", code: "200" };
    await eventually(async () => (await sidecar.metric("sidelane_requests_total", labels)) === 1);
    // A sandbox that cannot take it is an error, never the baseline.
    await expect(openWebSocket(session, { baggage: "sidelane=pr-8" })).rejects.toThrow("answered 501");
    await expect(openWebSocket(session, { baggage: "sidelane=pr-9" })).rejects.toThrow("answered 503");
    expect(app.served).toHaveLength(1);
    // Those that run notice nothing.
    plain.socket.send("still");
    expect(await plain.message()).toBe("baseline: still");
  });

  test("arrives with path, query and subprotocols, and its answer with the one that was chosen", async () => {
    const { app, session } = await startScene(mode);
    const headers = { ":path": "/chat?room=1", "sec-websocket-protocol": "v2.chat", origin: "http://shop" };
    const client = await openWebSocket(session, headers);
    expect(client.head["sec-websocket-protocol"]).toBe("v2.chat");
    expect(app.served[0]?.headers).toMatchObject({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": "http",
      ":authority": "checkout",
      "sec-websocket-version": "13",
      ...headers,
    });
  });

  test("that the app refuses is an ordinary answer, and the next one is served", async () => {
    const { sidecar, session } = await startScene(mode);
    const answer = await fetchHttp2(session, {
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": "http",
      ":path": "/refused",
    });
    expect([answer.status, answer.body]).toEqual([403, "not you"]);
    await expect(openWebSocket(session, { ":path": "/refused" })).rejects.toThrow("answered 403");
    const client = await openWebSocket(session);
    client.socket.send("hello");
    expect(await client.message()).toBe("hello");
    await eventually(async () => (await sidecar.metric("sidelane_active_requests")) === 1);
    expect(await sidecar.metric("sidelane_requests_total", { code: "403" })).toBe(2);
  });
});
