// What goes through `sidelane connect`, byte by byte, with real clients and apps at the ends.
import { once } from "node:events";
import { createServer as createHttpServer, request as httpRequest } from "node:http";
import type { IncomingMessage, RequestListener } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { sandboxResource, serviceResource } from "../../src/control/fixture.ts";
import { SharedStore, startMachine, startReplica } from "../support/connect-replica.ts";
import type { TestMachine } from "../support/connect-replica.ts";
import { GrpcClient, startGrpcApp } from "../support/grpc.ts";
import { Peer } from "../support/peer.ts";
import { eventually, memoryGrowth, untilQuiet } from "../support/quiet.ts";
import { bodyDigest, bodyStream, streamDigest } from "../support/stream.ts";
import { connectWebSocket, echo, startWebSocketApp } from "../support/websocket.ts";

const MIB = 1024 * 1024;

/** A raw app; its connections are closed when the test is over. */
async function rawApp(serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    serve(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => void server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

async function httpApp(answer: RequestListener): Promise<number> {
  const server = createHttpServer(answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A machine whose app is at `local`, and the port at which sidecars reach it. */
async function connected(
  local: number,
  options: Parameters<typeof startReplica>[1] = {},
): Promise<{ readonly port: number; readonly machine: TestMachine }> {
  const store = new SharedStore([serviceResource("checkout"), sandboxResource("pr-7")]);
  const replica = await startReplica(store, options);
  const machine = startMachine([replica.url], [`checkout=127.0.0.1:${local}`]);
  const [port = 0] = await machine.ports();
  return { port, machine };
}

async function peerAt(port: number): Promise<Peer> {
  const peer = await Peer.connect(port);
  onTestFinished(() => void peer.socket.destroy());
  return peer;
}

/** A sidecar's connection, and the app's end of it. */
async function pair(): Promise<{ readonly client: Peer; readonly app: Socket }> {
  const accepted: Socket[] = [];
  const { port } = await connected(await rawApp((socket) => void accepted.push(socket.pause())));
  const client = await peerAt(port);
  // The first one was the machine's, which tried whether the app is there.
  await eventually(() => accepted.length === 2);
  const app = accepted[1];
  if (app === undefined) throw new Error("unreachable: two were accepted");
  return { client, app };
}

describe("protocols", () => {
  test("HTTP/1.1: several requests on one connection", async () => {
    const { port, machine } = await connected(
      await httpApp((request, response) => void response.end(`${request.method} ${request.url}`)),
    );
    const client = await peerAt(port);
    for (const path of ["/a", "/b", "/c"]) {
      client.send(`GET ${path} HTTP/1.1\r\nhost: checkout\r\n\r\n`);
      expect((await client.message()).body).toBe(`GET ${path}`);
    }
    client.finish();
    expect(await client.ended()).toBe("fin");
    expect(machine.of("connected")[0]).toMatchObject({ sandbox: "pr-7", key: "pr-7", as: "ada", again: false });
  });

  test("gRPC: unary calls and streams both ways", async () => {
    const app = await startGrpcApp("laptop");
    const { port } = await connected(app.port);
    const client = new GrpcClient(port);
    expect((await client.unary("hello")).message?.toString()).toBe("hello");

    const download = client.download(200, 20_000);
    expect((await download.messages.rest()).map(({ length }) => length)).toEqual(Array(200).fill(20_000));
    expect((await download.outcome).code).toBe(0);

    const upload = client.upload();
    for (let n = 0; n < 200; n++) upload.call.write(Buffer.alloc(20_000, n));
    upload.call.end();
    expect((await upload.outcome).message?.toString()).toMatch(/^200 4000000 /u);

    const chat = client.chat();
    for (let n = 0; n < 50; n++) {
      const sent = Buffer.alloc(n * 100, n);
      chat.call.write(sent);
      expect(await chat.messages.next()).toEqual(sent);
    }
    chat.call.end();
    expect((await chat.outcome).code).toBe(0);
  });

  test("WebSocket: messages both ways until it is closed", async () => {
    const app = await startWebSocketApp(echo);
    const { port } = await connected(Number(app.name.slice(app.name.lastIndexOf(":") + 1)));
    const peer = await connectWebSocket(port);
    for (const size of [1, 1000, 200_000]) {
      const sent = Buffer.alloc(size, size % 251);
      peer.socket.send(sent);
      expect(await peer.message()).toEqual(sent);
    }
    peer.socket.close(4000, "enough");
    expect(await peer.closed()).toEqual({ code: 4000, reason: "enough" });
  });
});

describe("bytes", () => {
  test("a body of 100 MB up, and one down", async () => {
    const length = 100 * MIB;
    const { port } = await connected(
      await httpApp((request, response) => {
        if (request.method === "GET") return void pipeline(bodyStream(length), response);
        void streamDigest(request).then(({ digest }) => response.end(digest));
      }),
    );
    const ask = (method: string): Promise<IncomingMessage> =>
      new Promise((resolve, reject) => {
        const request = httpRequest({ port, host: "127.0.0.1", method, agent: false }, resolve);
        request.on("error", reject);
        if (method === "GET") request.end();
        else pipeline(bodyStream(length), request).catch(reject);
      });
    const digest = bodyDigest(length);
    expect(await streamDigest(await ask("GET"))).toEqual({ digest, length });
    const answer = await (await ask("PUT")).toArray();
    expect(Buffer.concat(answer as Buffer[]).toString()).toBe(digest);
  });

  test("200 connections at once, each with its own bytes", async () => {
    const { port, machine } = await connected(await rawApp((socket) => socket.pipe(socket)));
    const size = 20_000;
    const clients = await Promise.all(Array.from({ length: 200 }, () => peerAt(port)));
    clients.forEach((client, index) => {
      client.send(Buffer.alloc(size, index));
      client.finish();
    });
    const endings = await Promise.all(clients.map((client) => client.ended()));
    expect(new Set(endings)).toEqual(new Set(["fin"]));
    clients.forEach(({ text }, index) => expect(text).toBe(String.fromCodePoint(index).repeat(size)));
    const { services } = await machine.told("connections");
    expect(services[0]?.total).toBeLessThanOrEqual(200);
  });

  test("a connection that stands still does not hold up another one", async () => {
    const { port } = await connected(
      await rawApp((socket) => {
        socket.once("data", (bytes) => {
          if (bytes.toString() === "flood") socket.write(Buffer.alloc(64 * MIB));
          else socket.end(bytes);
        });
      }),
    );
    const still = await peerAt(port);
    still.socket.pause();
    still.send("flood");
    const other = await peerAt(port);
    other.send("hello");
    await other.until("hello");
    expect(await other.ended()).toBe("fin");
  });
});

describe("ends", () => {
  test("a client that has said all gets its answer", async () => {
    const { client, app } = await pair();
    app.resume();
    client.send("question");
    client.finish();
    await once(app, "end");
    app.end("answer");
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("answer");
  });

  test("an app that has said all still hears", async () => {
    const { client, app } = await pair();
    app.end("answer");
    expect(await client.ended()).toBe("fin");
    const heard = app.toArray();
    client.send("more");
    client.send(Buffer.alloc(1000, "x"));
    client.finish();
    expect(Buffer.concat((await heard) as Buffer[]).toString()).toBe(`more${"x".repeat(1000)}`);
  });

  test("many bytes and then the end: all of them arrive before it", async () => {
    const { client, app } = await pair();
    client.send(Buffer.alloc(8 * MIB, 1));
    client.finish();
    const heard = (await app.toArray()) as Buffer[];
    expect(Buffer.concat(heard)).toHaveLength(8 * MIB);
    app.end(Buffer.alloc(8 * MIB, 2));
    await client.untilBytes(8 * MIB);
    expect(await client.ended()).toBe("fin");
  });

  test("the end comes before the app is connected to", async () => {
    const { port, machine } = await connected(await rawApp((socket) => socket.pipe(socket)));
    const [silent, quick] = [await peerAt(port), await peerAt(port)];
    silent.finish();
    quick.send("all");
    quick.finish();
    expect([await silent.ended(), await quick.ended(), quick.text]).toEqual(["fin", "fin", "all"]);
    expect(machine.of("connected")).toHaveLength(1);
  });

  test("a client that resets resets the app's connection", async () => {
    const { client, app } = await pair();
    app.resume();
    const ended: string[] = [];
    app.once("end", () => ended.push("fin"));
    const closed = new Promise<boolean>((resolve) => void app.once("close", resolve));
    client.send("half a quest");
    await once(app, "data");
    client.abort();
    expect({ withError: await closed, ended }).toEqual({ withError: true, ended: [] });
  });

  test("an app that resets in the middle of a body resets the client's connection", async () => {
    const { client, app } = await pair();
    app.write("half an ans");
    await client.until("half an ans");
    app.resetAndDestroy();
    expect(await client.ended()).toBe("reset");
  });

  test("a reset without a byte", async () => {
    const { client, app } = await pair();
    app.resetAndDestroy();
    expect(await client.ended()).toBe("reset");
  });

  test("a machine that ends resets what runs: half a body never looks whole", async () => {
    const accepted: Socket[] = [];
    const { port, machine } = await connected(
      await rawApp((socket) => {
        accepted.push(socket);
        socket.write("half an ans");
        socket.resume();
      }),
    );
    const client = await peerAt(port);
    client.send("question");
    await client.until("half an ans");
    expect(await machine.leave()).toBe("left");
    expect(await client.ended()).toBe("reset");
  });
});

describe("slow readers", () => {
  /** What may be on the way, kernel buffers of four sockets included, before the writer has to wait. */
  const HELD_MAX = 24 * MIB;

  test("a client that does not read stops the app, and costs little memory", async () => {
    const { client, app } = await pair();
    client.socket.pause();
    const growth = memoryGrowth();
    const block = Buffer.alloc(MIB);
    let left = 256;
    const write = (): void => {
      while (left-- > 0) if (!app.write(block)) return void app.once("drain", write);
    };
    write();
    await untilQuiet(() => app.bytesWritten - app.writableLength);
    expect(app.bytesWritten - app.writableLength).toBeLessThan(HELD_MAX);
    expect(growth()).toBeLessThan(4 * MIB);
    client.socket.resume();
    client.forget();
    await client.untilBytes(256 * MIB);
  });

  test("an app that does not read stops the client, and costs little memory", async () => {
    const { client, app } = await pair();
    const growth = memoryGrowth();
    const block = Buffer.alloc(MIB);
    let left = 256;
    const { socket } = client;
    const write = (): void => {
      while (left-- > 0) if (!socket.write(block)) return void socket.once("drain", write);
    };
    write();
    await untilQuiet(() => socket.bytesWritten - socket.writableLength);
    expect(socket.bytesWritten - socket.writableLength).toBeLessThan(HELD_MAX);
    expect(growth()).toBeLessThan(4 * MIB);
    let got = 0;
    app.on("data", (bytes: Buffer) => (got += bytes.length)).resume();
    await eventually(() => got === 256 * MIB);
  });

  test("50 clients that do not read cost no more than their windows", async () => {
    const { port } = await connected(
      await rawApp((socket) => {
        socket.resume();
        socket.once("data", () => void pipeline(bodyStream(64 * MIB), socket).catch(() => {}));
      }),
    );
    const growth = memoryGrowth();
    const clients = await Promise.all(Array.from({ length: 50 }, () => peerAt(port)));
    for (const client of clients) {
      client.socket.pause();
      client.send("go");
    }
    await untilQuiet(() => process.resourceUsage().userCPUTime);
    // 256 KiB in the stream's window, and what the streams at both ends hold of it.
    expect(growth()).toBeLessThan(50 * MIB);
  });
});

describe("limits", () => {
  test("connections beyond the limit of a session are reset, and count no longer when they are gone", async () => {
    const { port } = await connected(await rawApp((socket) => socket.pipe(socket)), { sessionConnectionsMax: 2 });
    const first = await peerAt(port);
    first.send("a");
    await first.until("a");
    const second = await peerAt(port);
    second.send("b");
    await second.until("b");
    expect(await accepted(port)).toBe(false);
    first.finish();
    expect(await first.ended()).toBe("fin");
    await eventually(() => accepted(port));
  });

  /** Whether a connection is carried; the reset of one that is not may come before the client knows that it is connected. */
  async function accepted(port: number): Promise<boolean> {
    try {
      const peer = await peerAt(port);
      peer.send("c");
      await peer.until("c");
      return true;
    } catch {
      return false;
    }
  }
});
