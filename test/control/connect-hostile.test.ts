// The two ends of `sidelane connect` against strangers: a machine that misbehaves ends its own session and nothing else, and a
// control plane that asks for more than was declared gets nothing.
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { connect as connectHttp2, performServerHandshake } from "node:http2";
import type { ClientHttp2Session, ServerHttp2Session } from "node:http2";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { describe, expect, onTestFinished, test } from "vitest";
import { WebSocket, WebSocketServer, createWebSocketStream } from "ws";
import { SUBPROTOCOL } from "../../src/control/connect/wire.ts";
import { sandboxResource, serviceResource } from "../../src/control/fixture.ts";
import { SharedStore, startMachine, startReplica } from "../support/connect-replica.ts";
import type { TestReplica } from "../support/connect-replica.ts";
import { Peer } from "../support/peer.ts";
import { eventually } from "../support/quiet.ts";

/** An app that counts its connections. */
async function countingApp(): Promise<{ readonly port: number; readonly count: () => number }> {
  let count = 0;
  const server = createServer((socket) => {
    count++;
    socket.on("error", () => {});
    socket.end("secret");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, count: () => count };
}

/** A control plane of a stranger: takes the machine, and is an HTTP/2 client of its own. */
async function strangeControl(): Promise<{ readonly url: string; readonly session: Promise<ClientHttp2Session> }> {
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => SUBPROTOCOL });
  const server = createHttpServer();
  const session = Promise.withResolvers<ClientHttp2Session>();
  server.on("upgrade", (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on("error", () => {});
      const stream = createWebSocketStream(webSocket);
      stream.on("error", () => {});
      const http2 = connectHttp2("http://machine", { createConnection: () => stream });
      http2.on("error", () => {});
      session.resolve(http2);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const client of sockets.clients) client.terminate();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, session: session.promise };
}

describe("a control plane of a stranger", () => {
  test("reaches the declared apps by number, and nothing else", async () => {
    const declared = await countingApp();
    const other = await countingApp();
    const control = await strangeControl();
    startMachine([control.url], [`checkout=127.0.0.1:${declared.port}`]);
    const session = await control.session;
    const status = (head: Record<string, string>): Promise<string> =>
      new Promise((resolve) => {
        const stream = session.request(head);
        stream.on("response", (answer) => resolve(String(answer[":status"])));
        stream.on("error", (error) => resolve(error.message));
        stream.on("close", () => resolve("closed"));
        stream.resume();
        stream.end();
      });
    const authority = (text: string): Promise<string> => status({ ":method": "CONNECT", ":authority": text });
    expect(await authority("0")).toBe("200");
    const wrong = [`127.0.0.1:${other.port}`, "1", "00001", "-1", "0x0", "constructor", "__proto__", String(2 ** 32)];
    for (const one of wrong) expect([one, await authority(one)]).toEqual([one, "404"]);
    expect(await status({ ":method": "GET", ":authority": `127.0.0.1:${other.port}` })).toBe("404");
    expect(other.count()).toBe(0);
    // The machine itself has tried once.
    expect(declared.count()).toBe(2);
  });

  test("what is no conversation ends the connection, which is tried again", async () => {
    const control = await strangeControl();
    const machine = startMachine([control.url], ["checkout=3000"]);
    const session = await control.session;
    const stream = session.request({ ":method": "POST", ":path": "/conversation" });
    stream.on("error", () => {});
    stream.write("this is no JSON\n");
    expect((await machine.told("disconnected")).why).toContain("no conversation");
  });
});

const secret = "s".repeat(43);

/** A machine of a stranger, up to the open WebSocket; what comes waits in the stream. */
async function strangeMachine(replica: TestReplica): Promise<{ readonly socket: WebSocket; readonly stream: Duplex }> {
  const url = `${replica.url.replace("http", "ws")}/v1/connect?sandbox=pr-7&service=checkout&machine=m`;
  const socket = new WebSocket(url, [SUBPROTOCOL], { headers: { "sidelane-session": secret } });
  socket.on("error", () => {});
  onTestFinished(() => socket.terminate());
  const stream = createWebSocketStream(socket);
  stream.on("error", () => {});
  await once(socket, "open");
  return { socket, stream };
}

function strangeServer(stream: Duplex): ServerHttp2Session {
  const session = performServerHandshake(stream);
  session.on("error", () => {});
  return session;
}

describe("a machine of a stranger", () => {
  const misbehaviours: readonly (readonly [string, (socket: WebSocket, stream: Duplex) => void])[] = [
    ["sends what is no HTTP/2", (socket) => socket.send(Buffer.from("GET / HTTP/1.1\r\n\r\n".repeat(10)))],
    ["sends text", (socket) => socket.send("hello ".repeat(10))],
    ["sends an endless message", (socket) => socket.send(Buffer.alloc(32 * 1024 * 1024))],
    ["speaks of a conversation without a line end", (_, stream) => speak(stream, "x".repeat(200_000))],
    ["speaks no JSON", (_, stream) => speak(stream, "{\n")],
    ["ends the conversation", (_, stream) => speak(stream, undefined)],
    ["sends GOAWAY", (_, stream) => strangeServer(stream).goaway(2)],
    ["breaks off", (socket) => socket.terminate()],
  ];

  function speak(bytes: Duplex, text: string | undefined): void {
    strangeServer(bytes).on("stream", (stream) => {
      stream.on("error", () => {});
      stream.respond({ ":status": 200 });
      if (text === undefined) stream.close();
      else stream.write(text);
    });
  }

  test.each(misbehaviours)("that %s loses its connection, and the replica goes on", async (_, misbehave) => {
    const store = new SharedStore([serviceResource("checkout"), serviceResource("ledger"), sandboxResource("pr-7")]);
    const replica = await startReplica(store);
    const app = await countingApp();
    const honest = startMachine([replica.url], [`ledger=127.0.0.1:${app.port}`]);
    const [port = 0] = await honest.ports();
    const { socket, stream } = await strangeMachine(replica);
    const closed = once(socket, "close");
    misbehave(socket, stream);
    await closed;
    await eventually(
      () => replica.connections.list().find(({ targets }) => targets[0] === "checkout")?.connected === false,
    );
    const peer = await Peer.connect(port);
    await peer.until("secret");
    expect(await peer.ended()).toBe("fin");
    peer.finish();
  });

  test("nonsense in messages changes nothing", async () => {
    const replica = await startReplica(new SharedStore([serviceResource("checkout"), sandboxResource("pr-7")]));
    const { stream: bytes } = await strangeMachine(replica);
    const heard: string[] = [];
    strangeServer(bytes).on("stream", (stream) => {
      stream.on("error", () => {});
      stream.respond({ ":status": 200 });
      stream.on("data", (bytes: Buffer) => heard.push(bytes.toString()));
      for (const message of [
        { kind: "unreachable", targets: [7, -1, "0", null, 1.5] },
        { kind: "unreachable" },
        { kind: "__proto__" },
        {},
        { kind: "goodbye" },
      ]) {
        stream.write(`${JSON.stringify(message)}\n`);
      }
    });
    await eventually(() => heard.join("").includes('"kind":"removed"'));
    expect(replica.state.find("sandbox", "pr-7")?.spec.connected).toBeUndefined();
  });

  test.each([
    ["without a secret", {}, "400"],
    ["with a secret that can be guessed", { "sidelane-session": "abc" }, "400"],
    ["that is a web page", { "sidelane-session": secret, origin: "http://evil.example" }, "403"],
  ])("%s is refused", async (_, headers, status) => {
    const replica = await startReplica(new SharedStore([serviceResource("checkout"), sandboxResource("pr-7")]));
    const url = `${replica.url.replace("http", "ws")}/v1/connect?sandbox=pr-7&service=checkout`;
    const socket = new WebSocket(url, [SUBPROTOCOL], { headers });
    const [error] = (await once(socket, "error")) as [Error];
    expect(error.message).toContain(status);
    expect(replica.connections.list()).toEqual([]);
  });
});
