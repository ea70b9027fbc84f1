import { once } from "node:events";
import { type AddressInfo, type Socket, connect as connectTcp, createServer } from "node:net";
import { type ConnectionOptions, type TLSSocket, connect } from "node:tls";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Authority, PemFolder, makeAuthority } from "../../../test/support/certificates.ts";
import type { LogFields } from "../../base/log.ts";
import { silentLog } from "../../base/log.ts";
import type { ListenerProtocol } from "../../config/proxy-config.ts";
import type { ListenerTlsConfig } from "../../config/tls-config.ts";
import { TlsStats } from "../../telemetry/tls-stats.ts";
import { ListenerTls } from "./listener-tls.ts";

const authority = await makeAuthority();

interface Setting {
  readonly config?: Partial<ListenerTlsConfig>;
  readonly protocol?: ListenerProtocol;
  readonly headMs?: number;
  readonly signedBy?: Authority;
}

/** A listening socket whose connections are secured and then echo what they get. */
async function startEcho(setting: Setting = {}) {
  const folder = await PemFolder.make();
  const files = await folder.putPair("tls", await authority.sign("checkout"));
  const ca = await folder.put("ca.crt", authority.certificate);
  const clientCertificates = setting.config?.clientCertificates ?? "none";
  const config: ListenerTlsConfig = {
    ...files,
    clientCertificates,
    ...(clientCertificates === "none" ? {} : { ca }),
    minVersion: "TLSv1.2",
    plaintext: "refuse",
    ...setting.config,
  };
  const stats = new TlsStats();
  const logged: LogFields[] = [];
  const log = { ...silentLog, info: (_message: string, fields: LogFields = {}) => void logged.push(fields) };
  const deps = { log, stats, headMs: setting.headMs ?? 10_000, pollMs: 5, settleMs: 5 };
  const tls = await ListenerTls.start("inbound", setting.protocol ?? "auto", config, deps);
  const secured: TLSSocket[] = [];
  let failed = 0;
  const plain: string[] = [];
  const owner = {
    secured(socket: TLSSocket): void {
      secured.push(socket);
      socket.on("error", () => {});
      socket.pipe(socket);
    },
    plaintext(socket: Socket, bytes: Uint8Array): void {
      plain.push(String(bytes));
      socket.pipe(socket);
    },
    failed: () => void failed++,
  };
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    tls.accept(socket, owner);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    tls.close();
    for (const socket of secured) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { tls, folder, port, stats, logged, secured, plain, failures: () => failed };
}

function client(port: number, options: ConnectionOptions = {}): TLSSocket {
  const socket = connect({ host: "127.0.0.1", port, ca: authority.certificate, servername: "localhost", ...options });
  onTestFinished(() => void socket.destroy());
  return socket;
}

/** Connects, has a word echoed, and says what was settled. */
async function exchange(port: number, options: ConnectionOptions = {}) {
  const socket = client(port, options);
  let session: Buffer | undefined;
  socket.on("session", (one) => (session = one));
  await once(socket, "secureConnect");
  socket.write("hello");
  const [echoed] = (await once(socket, "data")) as [Buffer];
  expect(echoed.toString()).toBe("hello");
  const names = socket.getPeerCertificate().subject?.CN;
  return {
    socket,
    alpn: socket.alpnProtocol,
    reused: socket.isSessionReused(),
    session,
    version: socket.getProtocol(),
    names,
  };
}

/** How a client's attempt ends: the code of its error, or "closed". */
async function refusal(socket: Socket): Promise<string> {
  let code = "closed";
  socket.on("error", (error: NodeJS.ErrnoException) => (code = error.code ?? error.message));
  socket.resume();
  await new Promise((resolve) => socket.once("close", resolve));
  return code;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("ListenerTls", () => {
  test.each([
    ["auto", ["h2", "http/1.1"], "h2"],
    ["auto", ["http/1.1"], "http/1.1"],
    ["auto", [], false],
    ["http1", ["h2", "http/1.1"], "http/1.1"],
    ["http2", ["http/1.1", "h2"], "h2"],
    ["tcp", ["h2"], false],
  ] as const)("protocol %s and a client that offers %j: %s", async (protocol, offers, settled) => {
    const { port } = await startEcho({ protocol });
    const options = offers.length === 0 ? {} : { ALPNProtocols: [...offers] };
    expect((await exchange(port, options)).alpn).toBe(settled);
  });

  test("a client that asks for nothing the listener speaks is refused", async () => {
    const { port, failures, stats, logged } = await startEcho({ protocol: "http1" });
    const socket = client(port, { ALPNProtocols: ["h2"] });
    expect(await refusal(socket)).toMatch(/NO_APPLICATION_PROTOCOL/u);
    await until(() => failures() === 1);
    expect(stats.handshakes.downstream).toEqual({ full: 0, resumed: 0, failed: 1 });
    expect(logged[0]?.["why"]).toBe("it asks for a protocol that the listener does not speak (ALPN)");
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)("sessions are resumed with %s", async (version) => {
    const { port, stats } = await startEcho();
    const first = await exchange(port, { maxVersion: version });
    expect(first).toMatchObject({ reused: false, version });
    const second = await exchange(port, { maxVersion: version, session: first.session });
    expect(second).toMatchObject({ reused: true, version });
    expect(stats.handshakes.downstream).toEqual({ full: 1, resumed: 1, failed: 0 });
  });

  test("the lowest version is kept to", async () => {
    const { port, failures, logged } = await startEcho({ config: { minVersion: "TLSv1.3" } });
    expect(await refusal(client(port, { maxVersion: "TLSv1.2" }))).toMatch(/PROTOCOL_VERSION/u);
    await until(() => failures() === 1);
    expect(logged[0]?.["why"]).toBe("it speaks no TLS of minVersion or later");
  });

  test("a client may end its side and still read", async () => {
    const { port, secured } = await startEcho();
    const { socket } = await exchange(port, { allowHalfOpen: true } as ConnectionOptions);
    secured[0]?.unpipe();
    socket.end();
    await once(secured[0] as TLSSocket, "end");
    secured[0]?.end("the rest");
    expect(String((await once(socket, "data"))[0])).toBe("the rest");
  });

  test("a client that does not begin with TLS is left to the owner, with all it has sent", async () => {
    const { port, plain, failures, tls, stats } = await startEcho();
    const socket = connectTcp({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.write("GET / HTTP/1.1\r\n\r\n");
    expect(String((await once(socket, "data"))[0])).toBe("GET / HTTP/1.1\r\n\r\n");
    expect(plain).toEqual(["GET / HTTP/1.1\r\n\r\n"]);
    expect(tls.handshaking).toBe(0);
    socket.end();
    await refusal(socket);
    expect(failures()).toBe(0);
    expect(stats.handshakes.downstream.failed).toBe(0);
  });
});

describe("client certificates", () => {
  test("required: without one, with a foreign one, with a good one", async () => {
    const { port, failures, secured, logged } = await startEcho({ config: { clientCertificates: "required" } });
    expect(await refusal(client(port))).toMatch(/CERTIFICATE_REQUIRED/u);
    await until(() => failures() === 1);
    expect(logged[0]?.["why"]).toBe("it showed no certificate");
    const foreign = await (await makeAuthority("Foreign")).sign("stranger");
    await refusal(client(port, { cert: foreign.certificate, key: foreign.key }));
    await until(() => failures() === 2);
    expect(secured).toHaveLength(0);
    const good = await authority.sign("cart");
    await exchange(port, { cert: good.certificate, key: good.key });
    expect(secured[0]?.getPeerCertificate().subject.CN).toBe("cart");
  });

  test("optional: without one, with a good one; a foreign one is refused all the same", async () => {
    const { port, failures, secured, logged } = await startEcho({ config: { clientCertificates: "optional" } });
    await exchange(port);
    const good = await authority.sign("cart");
    await exchange(port, { cert: good.certificate, key: good.key });
    expect(secured.map((socket) => socket.authorized)).toEqual([false, true]);
    const foreign = await (await makeAuthority("Foreign")).sign("stranger");
    await refusal(client(port, { cert: foreign.certificate, key: foreign.key }));
    await until(() => failures() === 1);
    expect(secured).toHaveLength(2);
    expect(logged[0]?.["why"]).toMatch(/^its certificate is not good/u);
  });

  test("a resumed session has the certificate that it began with", async () => {
    const { port, secured } = await startEcho({ config: { clientCertificates: "required" } });
    const good = await authority.sign("cart");
    const options = { cert: good.certificate, key: good.key };
    const first = await exchange(port, options);
    expect((await exchange(port, { ...options, session: first.session })).reused).toBe(true);
    expect(secured[1]?.authorized).toBe(true);
  });
});

describe("handshakes that come to nothing", () => {
  test("nonsense, an end, a reset: the owner hears of each, once", async () => {
    const { tls, port, failures, logged } = await startEcho();
    const nonsense = connectTcp(port, "127.0.0.1");
    nonsense.write(Uint8Array.of(0x16, 0x03, 0x01, 0x00, 0x04, 0x02, 0xff, 0xff, 0xff));
    await refusal(nonsense);
    await until(() => failures() === 1);
    expect(logged[0]?.["why"]).toBe("it does not speak TLS");

    const reset = connectTcp(port, "127.0.0.1");
    await once(reset, "connect");
    await until(() => tls.handshaking === 1);
    reset.resetAndDestroy();
    await until(() => failures() === 2);

    const probe = connectTcp(port, "127.0.0.1");
    probe.end();
    await refusal(probe);
    await until(() => failures() === 3);
    expect(tls.handshaking).toBe(0);
  });

  test.each([[Uint8Array.of()], [Uint8Array.of(0x16, 0x03, 0x01)]])(
    "a client that says no more than %j is sent away after timeouts.headMs",
    async (said) => {
      const { port, failures, logged } = await startEcho({ headMs: 50 });
      const socket = connectTcp(port, "127.0.0.1");
      socket.write(said);
      await refusal(socket);
      await until(() => failures() === 1);
      expect(logged[0]?.["why"]).toBe("it took longer than timeouts.headMs");
    },
  );

  test("endSilent ends who has said nothing, close everyone", async () => {
    const { tls, port, failures } = await startEcho();
    const begun = connectTcp(port, "127.0.0.1");
    await new Promise((resolve) => begun.write(Uint8Array.of(0x16, 0x03, 0x01), resolve));
    const silent = connectTcp(port, "127.0.0.1");
    await until(() => tls.handshaking === 2);
    // What has arrived before the second connection has been read when this turn is over.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    tls.endSilent();
    expect(await refusal(silent)).toBe("closed");
    await until(() => failures() === 1);
    expect(tls.handshaking).toBe(1);
    tls.close();
    await refusal(begun);
    await until(() => failures() === 2);
  });
});

describe("reload", () => {
  test("new connections get the new certificate, those that exist stay, old sessions are not resumed", async () => {
    const { tls, folder, port, stats } = await startEcho();
    const before = await exchange(port);
    expect(before.names).toBe("checkout");
    await folder.putPair("tls", await authority.sign("checkout-renewed"));
    await until(() => stats.reloads.applied === 1);
    const after = await exchange(port, { session: before.session });
    expect(after).toMatchObject({ names: "checkout-renewed", reused: false });
    before.socket.write("still here");
    expect(String((await once(before.socket, "data"))[0])).toBe("still here");
    expect(tls.status()).toMatchObject({ name: "listener inbound", subject: "checkout-renewed" });
    expect((await exchange(port, { session: after.session })).reused).toBe(true);
  });

  test("another authority for clients counts from the next handshake on", async () => {
    const { folder, port, stats, failures, secured } = await startEcho({ config: { clientCertificates: "required" } });
    const next = await makeAuthority("Next");
    const old = await authority.sign("cart");
    const first = await exchange(port, { cert: old.certificate, key: old.key });
    await folder.put("ca.crt", next.certificate);
    await until(() => stats.reloads.applied === 1);
    await refusal(client(port, { cert: old.certificate, key: old.key, session: first.session }));
    await until(() => failures() === 1);
    const renewed = await next.sign("cart-renewed");
    await exchange(port, { cert: renewed.certificate, key: renewed.key });
    expect(secured.map((socket) => socket.getPeerCertificate().subject.CN)).toEqual(["cart", "cart-renewed"]);
  });
});

test("files that cannot be used are a reason not to start", async () => {
  const folder = await PemFolder.make();
  const files = await folder.putPair("tls", await authority.sign("checkout"));
  const config = {
    ...files,
    key: `${files.key}.none`,
    clientCertificates: "none",
    minVersion: "TLSv1.2",
    plaintext: "refuse",
  } as const;
  const deps = { log: silentLog, stats: new TlsStats(), headMs: 1000 };
  await expect(ListenerTls.start("inbound", "auto", config, deps)).rejects.toThrow(
    /^TLS of listener inbound: \S+tls\.key\.none does not exist$/u,
  );
});
