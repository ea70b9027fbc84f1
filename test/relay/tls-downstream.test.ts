// Clients that come with TLS: which version is spoken, sessions, certificates, what does not begin with TLS, ends.
import { once } from "node:events";
import { Agent, type RequestOptions, request } from "node:https";
import type { IncomingMessage } from "node:http";
import { connect as connectTcp } from "node:net";
import { type ConnectionOptions, type TLSSocket, connect as connectTls } from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { startBodyApp } from "../support/app.ts";
import { startBackend } from "../support/backend.ts";
import { PemFolder, makeAuthority } from "../support/certificates.ts";
import { startHelloApp } from "../support/http2-app.ts";
import { Peer } from "../support/peer.ts";
import { type Sidecar, type SidecarOptions, describeRelay, startSidecar } from "../support/sidecar.ts";
import { bodyStream, streamDigest } from "../support/stream.ts";
import { getHttp2, getHttps, startTlsApp } from "../support/tls-peers.ts";

const authority = await makeAuthority();
const ca = authority.certificate;
const MIB = 1024 * 1024;

/** How a listener differs from one that just has a certificate. */
interface ListenerSetting {
  readonly tls?: object;
  readonly protocol?: string;
}

/** A sidecar whose inbound listener has TLS, before `target`. */
async function startTlsSidecar(
  target: string,
  { tls = {}, protocol = "auto" }: ListenerSetting,
  options: SidecarOptions,
): Promise<Sidecar> {
  const folder = await PemFolder.make();
  const files = await folder.putPair("tls", await authority.sign("checkout", { names: ["checkout"] }));
  await folder.put("ca.crt", ca);
  const ask = "clientCertificates" in tls ? { ca: `${folder.path}/ca.crt` } : {};
  return startSidecar({
    listeners: [{ direction: "inbound", address: "127.0.0.1:0", target, protocol, tls: { ...files, ...ask, ...tls } }],
    ...options,
  });
}

/** An app that speaks both versions, because it has TLS too, and what the sidecar needs to reach it. */
async function startDualApp() {
  const folder = await PemFolder.make();
  const app = await startTlsApp("app", await authority.sign("checkout", { names: ["checkout"] }));
  return { app, upstreamTls: { checkout: { ca: await folder.put("ca.crt", ca) } } };
}

function connect(port: number, options: ConnectionOptions = {}): TLSSocket {
  const socket = connectTls({ host: "127.0.0.1", port, servername: "checkout", ca, ...options });
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  return socket;
}

/** Sends one request and gives its answer, body unread. */
async function exchange(options: RequestOptions, body?: NodeJS.ReadableStream): Promise<IncomingMessage> {
  const sent = request({ host: "127.0.0.1", servername: "checkout", ca, ...options });
  sent.on("error", () => {});
  if (body === undefined) sent.end();
  else body.pipe(sent);
  return ((await once(sent, "response")) as [IncomingMessage])[0];
}

describeRelay("TLS of a listener", (mode) => {
  test("HTTP/1.1 and HTTP/2 are told apart by ALPN, without it by the first bytes", async () => {
    const { app, upstreamTls } = await startDualApp();
    const sidecar = await startTlsSidecar(app.name, {}, { upstreamTls, ...mode });
    const port = sidecar.port();
    expect(await getHttps({ port, ca, ALPNProtocols: ["http/1.1"] })).toMatchObject({
      status: 200,
      alpn: "http/1.1",
      subject: "checkout",
      body: "app over 1.1",
    });
    expect(await getHttps({ port, ca })).toMatchObject({ status: 200, body: "app over 1.1" });
    expect(await getHttp2({ port, ca })).toMatchObject({ status: 200, alpn: "h2", body: "app over 2.0" });
    expect(await sidecar.metric("sidelane_requests_total", { protocol: "http1", code: "200" })).toBe(2);
    expect(await sidecar.metric("sidelane_requests_total", { protocol: "http2", code: "200" })).toBe(1);
  });

  test("the app behind it needs no TLS", async () => {
    const http1 = await startTlsSidecar((await startBodyApp()).name, {}, mode);
    const answer = await getHttps({ port: http1.port(), ca, path: "/5" });
    expect([answer.status, answer.body.length]).toEqual([200, 5]);
    const http2 = await startTlsSidecar((await startHelloApp()).name, { protocol: "http2" }, mode);
    expect(await getHttp2({ port: http2.port(), ca })).toMatchObject({ status: 200, body: "hello" });
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)("sessions are resumed: %s", async (maxVersion) => {
    const { app, upstreamTls } = await startDualApp();
    const sidecar = await startTlsSidecar(app.name, {}, { upstreamTls, ...mode });
    const port = sidecar.port();
    const first = await getHttps({ port, ca, maxVersion });
    expect(first.reused).toBe(false);
    expect(await getHttps({ port, ca, maxVersion, session: first.session })).toMatchObject({
      reused: true,
      status: 200,
    });
    expect(await getHttp2({ port, ca, maxVersion, session: first.session })).toMatchObject({
      reused: true,
      status: 200,
    });
    const handshakes = { side: "downstream" };
    expect(await sidecar.metric("sidelane_tls_handshakes_total", { ...handshakes, result: "full" })).toBe(1);
    expect(await sidecar.metric("sidelane_tls_handshakes_total", { ...handshakes, result: "resumed" })).toBe(2);
  });

  test("client certificates: required", async () => {
    const { app, upstreamTls } = await startDualApp();
    const tls = { clientCertificates: "required" };
    const sidecar = await startTlsSidecar(app.name, { tls }, { upstreamTls, ...mode });
    const port = sidecar.port();
    const good = await authority.sign("cart");
    const foreign = await (await makeAuthority("Foreign")).sign("cart");
    expect(await getHttps({ port, ca, cert: good.certificate, key: good.key })).toMatchObject({ status: 200 });
    expect(await getHttp2({ port, ca, cert: good.certificate, key: good.key })).toMatchObject({ status: 200 });
    await expect(getHttps({ port, ca })).rejects.toThrow(/certificate required/u);
    await expect(getHttps({ port, ca, cert: foreign.certificate, key: foreign.key })).rejects.toThrow(
      /ECONNRESET|socket hang up/u,
    );
    expect(await sidecar.metric("sidelane_requests_total")).toBe(2);
    expect(await sidecar.metric("sidelane_tls_handshakes_total", { result: "failed" })).toBe(2);
  });

  test("client certificates: optional", async () => {
    const { app, upstreamTls } = await startDualApp();
    const tls = { clientCertificates: "optional" };
    const sidecar = await startTlsSidecar(app.name, { tls }, { upstreamTls, ...mode });
    const port = sidecar.port();
    const good = await authority.sign("cart");
    const foreign = await (await makeAuthority("Foreign")).sign("cart");
    expect(await getHttps({ port, ca })).toMatchObject({ status: 200 });
    expect(await getHttps({ port, ca, cert: good.certificate, key: good.key })).toMatchObject({ status: 200 });
    await expect(getHttps({ port, ca, cert: foreign.certificate, key: foreign.key })).rejects.toThrow(
      /ECONNRESET|socket hang up/u,
    );
  });

  test("plain HTTP is told to come with TLS, anything else is sent away", async () => {
    const backend = await startBackend();
    const sidecar = await startTlsSidecar(backend.name, {}, mode);
    const plain = await sidecar.connect();
    plain.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const answer = await plain.message();
    expect(answer.start).toBe("HTTP/1.1 400 Bad Request");
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "tls-required" });
    expect(await plain.ended()).toBe("fin");
    plain.socket.destroy();
    const other = await sidecar.connect();
    other.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    expect(await other.ended()).toBe("reset");
    expect(backend.connections).toHaveLength(0);
    expect(await sidecar.metric("sidelane_requests_total", { reason: "tls-required" })).toBe(2);
  });

  test("plaintext: allow takes both on one port", async () => {
    const app = await startBodyApp();
    const sidecar = await startTlsSidecar(app.name, { tls: { plaintext: "allow" } }, mode);
    expect((await getHttps({ port: sidecar.port(), ca, path: "/3" })).status).toBe(200);
    const plain = await sidecar.connect();
    await plain.sendParts(["G", "ET /3 HTTP/1.1\r\nHost: checkout\r\n\r\n"]);
    expect((await plain.message()).start).toBe("HTTP/1.1 200 OK");
  });

  test("tcp: what is inside TLS goes to the app, which may speak first", async () => {
    const backend = await startBackend();
    const sidecar = await startTlsSidecar(backend.name, { protocol: "tcp" }, mode);
    const client = connect(sidecar.port());
    const app = await backend.accept();
    app.send("220 ready\r\n");
    expect(String((await once(client, "data"))[0])).toBe("220 ready\r\n");
    client.write("EHLO me\r\n");
    await app.until("EHLO me\r\n");
    client.end();
    expect(await app.ended()).toBe("fin");
    app.send("221 bye\r\n");
    app.finish();
    expect(String((await once(client, "data"))[0])).toBe("221 bye\r\n");
    await once(client, "end");
  });

  test("large bodies both ways", async () => {
    const app = await startBodyApp();
    const port = (await startTlsSidecar(app.name, {}, mode)).port();
    const expected = await streamDigest(bodyStream(8 * MIB));
    const posted = await exchange({ port, method: "POST", path: "/" }, bodyStream(8 * MIB));
    expect(await new Response(posted as never).text()).toBe(`${expected.digest} ${8 * MIB}`);
    expect(await streamDigest(await exchange({ port, path: `/${8 * MIB}` }))).toEqual(expected);
  });

  test("a response that breaks off does not look complete", async () => {
    const backend = await startBackend();
    const sidecar = await startTlsSidecar(backend.name, {}, mode);
    const client = connect(sidecar.port());
    client.write("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\n\r\nas much as comes until the connection closes");
    await once(client, "data");
    peer.abort();
    client.resume();
    await expect(once(client, "end")).rejects.toThrow("ECONNRESET");
  });

  test("drain: idle connections end, those whose handshake has begun are served", async () => {
    const backend = await startBackend();
    const sidecar = await startTlsSidecar(backend.name, {}, mode);
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const answered = exchange({ port: sidecar.port(), path: "/", agent });
    const { peer } = await backend.request();
    const idle = connect(sidecar.port(), { ALPNProtocols: ["http/1.1"] });
    await once(idle, "secureConnect");
    const silent = await Peer.connect(sidecar.port());
    const drained = sidecar.proxy.drain();
    idle.resume();
    await once(idle, "end");
    expect(await silent.ended()).toMatch(/fin|reset/u);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    const answer = await answered;
    expect(answer.headers.connection).toBe("close");
    expect(await new Response(answer as never).text()).toBe("ok");
    await drained;
  });

  test("who comes on top of limits.connectionsMax is reset, handshakes count", async () => {
    const backend = await startBackend();
    const sidecar = await startTlsSidecar(backend.name, {}, { limits: { connectionsMax: 1 }, ...mode });
    const first = await sidecar.connect();
    const second = connectTcp(sidecar.port(), "127.0.0.1");
    await expect(once(second, "end")).rejects.toThrow("ECONNRESET");
    first.abort();
    await expect
      .poll(async () => (await sidecar.metric("sidelane_tls_handshakes_total", { result: "failed" })) > 0)
      .toBe(true);
    const third = connect(sidecar.port());
    await once(third, "secureConnect");
    expect(await sidecar.metric("sidelane_requests_total", { reason: "connection-limit" })).toBe(1);
  });
});
