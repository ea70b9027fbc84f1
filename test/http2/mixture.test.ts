// One listener for all that a service speaks, told apart by the first bytes; and the clear answers of listeners and endpoints
// that do not speak what they are asked in.
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { connect as connectTls } from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { makeAuthority } from "../support/certificates.ts";
import { connectHttp2, fetchHttp2, startHttp2App } from "../support/http2-app.ts";
import { codes } from "../support/http2-frames.ts";
import { connectTo, get } from "../support/http2-sidecar.ts";
import { getPlain } from "../support/plain-clients.ts";
import { eventually } from "../support/quiet.ts";
import { describeRelay, startSidecar } from "../support/sidecar.ts";
import { startTlsApp } from "../support/tls-peers.ts";
import { connectWebSocket, echo, startWebSocketApp } from "../support/websocket.ts";

const ROUNDS = 20;

/** Listens on any free port; closed when the test is over. */
async function listen(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const portOf = (name: string): number => Number(name.slice(name.indexOf(":") + 1));

/** Joins two sockets; either end is passed on. */
function join(a: Socket, b: Socket): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.on("error", () => to.destroy());
    from.pipe(to);
  }
}

/** An app that speaks everything on one port: looks at the first byte and hands the connection to whom it concerns. */
async function startManyTongues(certificate: Parameters<typeof startTlsApp>[1]): Promise<string> {
  const websocket = await startWebSocketApp(echo);
  const http1 = await listen(createHttpServer((request, response) => void response.end(`http1 ${request.url ?? ""}`)));
  const http2 = await startHttp2App((stream, headers) => {
    stream.respond({ ":status": 200 });
    stream.end(`http2 ${headers[":path"] ?? ""}`);
  });
  const tls = await startTlsApp("tls", certificate);
  const lines = await listen(createServer((socket) => void socket.on("error", () => {}).pipe(socket)));
  const choose = (first: Buffer): string => {
    const text = first.toString("latin1");
    if (first[0] === 0x16) return tls.name;
    if (text.startsWith("PRI ")) return http2.name;
    if (text.startsWith("GET /chat ")) return websocket.name;
    return /^[A-Z]+ \S+ HTTP\//.test(text) ? http1 : lines;
  };
  const door = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (first: Buffer) => {
      const inner = connect({ port: portOf(choose(first)), host: "127.0.0.1" });
      inner.write(first);
      join(socket, inner);
    });
  });
  return listen(door);
}

/** Rounds of one kind of client. */
async function rounds(play: (n: number) => Promise<void>): Promise<void> {
  for (let n = 0; n < ROUNDS; n++) await play(n);
}

/** Sends bytes one after the other and resolves with as many as come back. */
async function echoed(port: number, text: string): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  onTestFinished(() => void socket.destroy());
  socket.write(text);
  let got = "";
  while (got.length < text.length) got += String(((await once(socket, "data")) as [Buffer])[0]);
  socket.end();
  await once(socket, "end");
  return got;
}

/** What a server greets and answers a TLS client with, inside. */
async function overTls(port: number, ca: string): Promise<string> {
  const socket = connectTls({ port, host: "127.0.0.1", servername: "localhost", ca, ALPNProtocols: ["http/1.1"] });
  onTestFinished(() => void socket.destroy());
  await once(socket, "secureConnect");
  socket.write("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
  let got = "";
  for await (const chunk of socket) got += String(chunk);
  return got;
}

describeRelay("one listener with protocol: auto", (mode) => {
  test("takes HTTP/1.1, HTTP/2, WebSocket, TLS and bytes of its own at the same time", async () => {
    const authority = await makeAuthority();
    const app = await startManyTongues(await authority.sign("tls"));
    const sidecar = await startSidecar({ ...mode, target: app });
    const port = sidecar.port();
    const session = await connectHttp2(port);
    const chat = await connectWebSocket(port, {}, "/chat");
    await Promise.all([
      rounds(async () => expect(await getPlain(port, "checkout")).toEqual({ status: 200, body: "http1 /" })),
      rounds(async (n) => {
        expect(await fetchHttp2(session, { ":path": `/${n}` })).toMatchObject({ status: 200, body: `http2 /${n}` });
      }),
      rounds(async (n) => {
        chat.socket.send(`message ${n}`);
        expect(await chat.message()).toBe(`message ${n}`);
      }),
      rounds(async () =>
        expect(await overTls(port, authority.certificate)).toMatch(/^HTTP\/1\.1 200[^]*tls over 1\.1/),
      ),
      rounds(async (n) =>
        expect(await echoed(port, `\0\x01\x02 ${"x".repeat(n)}`)).toBe(`\0\x01\x02 ${"x".repeat(n)}`),
      ),
      rounds(async (n) => expect(await echoed(port, `EHLO example ${n}\r\n`)).toBe(`EHLO example ${n}\r\n`)),
    ]);
    chat.socket.close();
    await chat.closed();
    const count = (protocol: string): Promise<number> => sidecar.metric("sidelane_requests_total", { protocol });
    // The WebSocket came as a request of HTTP/1.1.
    await eventually(async () => (await count("http1")) === ROUNDS + 1 && (await count("tcp")) === 3 * ROUNDS);
    expect(await count("http2")).toBe(ROUNDS);
    expect(await sidecar.metric("sidelane_requests_total")).toBe(5 * ROUNDS + 1);
  });

  test("a service whose app speaks both versions gets each request in the one that it was sent in", async () => {
    const app = await startManyTongues(await (await makeAuthority()).sign("tls"));
    const sidecar = await startSidecar({
      ...mode,
      target: "127.0.0.1:1",
      table: { services: { checkout: {} }, sandboxes: { "pr-7": { services: { checkout: [app] } } } },
    });
    const key = { baggage: "sidelane=pr-7" };
    const session = await connectHttp2(sidecar.port());
    expect(await getPlain(sidecar.port(), "checkout", key)).toEqual({ status: 200, body: "http1 /" });
    expect((await fetchHttp2(session, { ":path": "/7", ...key })).body).toBe("http2 /7");
    expect((await getPlain(sidecar.port(), "checkout")).status).toBe(503);
    expect((await fetchHttp2(session)).status).toBe(503);
  });
});

describeRelay("one version is never translated into another", (mode) => {
  test("HTTP/2 before an app that speaks HTTP/1.1 alone: 502 upstream-version-unsupported", async () => {
    const app = await listen(createHttpServer((_, response) => void response.end("hello")));
    const sidecar = await startSidecar({ ...mode, target: app });
    const client = await connectTo(sidecar);
    const asked = await Promise.all([get("/a"), get("/b")].map((fields) => client.request(fields).complete()));
    for (const { heads, body } of asked) {
      expect(heads[0]?.status).toBe(502);
      expect(JSON.parse(body)).toMatchObject({ reason: "upstream-version-unsupported", endpoint: app });
    }
    expect(client.goaways).toEqual([]);
    expect(await sidecar.metric("sidelane_requests_total", { reason: "upstream-version-unsupported" })).toBe(2);
    // The other version goes on beside it.
    expect(await getPlain(sidecar.port(), "checkout")).toEqual({ status: 200, body: "hello" });
  });

  test("HTTP/1.1 before an app that speaks HTTP/2 alone: 502 upstream-version-unsupported", async () => {
    const server = createHttp2Server((_, response) => void response.end("hello"));
    server.on("sessionError", () => {});
    const sidecar = await startSidecar({ ...mode, target: await listen(server) });
    const answer = await getPlain(sidecar.port(), "checkout");
    expect(answer.status).toBe(502);
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "upstream-version-unsupported" });
    expect((await fetchHttp2(await connectHttp2(sidecar.port()))).body).toBe("hello");
  });

  test("a listener with protocol: http1 tells an HTTP/2 client in HTTP/1.1: 505", async () => {
    const sidecar = await startSidecar({
      ...mode,
      listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: "127.0.0.1:1", protocol: "http1" }],
    });
    const client = await sidecar.connect();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    const answer = await client.message();
    expect(answer.start).toMatch(/^HTTP\/1\.1 505 /);
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "version-unsupported" });
    expect(await client.ended()).toBe("fin");
  });

  test("a listener with protocol: http2 tells an HTTP/1.1 client in HTTP/2: GOAWAY with a sentence", async () => {
    const sidecar = await startSidecar({
      ...mode,
      listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: "127.0.0.1:1", protocol: "http2" }],
    });
    const client = await connectTo(sidecar, { preface: false });
    client.send(Buffer.from("GET / HTTP/1.1\r\nhost: checkout\r\n\r\n"));
    const goaway = await client.goneAway();
    expect(goaway.code).toBe(codes.protocolError);
    expect(goaway.debug).toContain("preface of HTTP/2");
    expect(await client.ended()).toBe("fin");
  });
});
