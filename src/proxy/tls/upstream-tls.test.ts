import { once } from "node:events";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { type TLSSocket, type TlsOptions, createServer } from "node:tls";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Authority, PemFolder, makeAuthority } from "../../../test/support/certificates.ts";
import { silentLog } from "../../base/log.ts";
import type { UpstreamTlsConfig } from "../../config/tls-config.ts";
import { TlsStats } from "../../telemetry/tls-stats.ts";
import { UpstreamTls } from "./upstream-tls.ts";

const authority = await makeAuthority();

/** An endpoint that greets whoever has come through the handshake. */
async function startEndpoint(
  options: TlsOptions = {},
  names: readonly string[] = ["ledger"],
  signedBy: Authority = authority,
) {
  const pair = await signedBy.sign("ledger", { names });
  const asked: (string | boolean | null)[] = [];
  const shown: unknown[] = [];
  const server = createServer({ cert: pair.certificate, key: pair.key, ...options }, (socket) => {
    asked.push(socket.servername);
    shown.push(socket.getPeerCertificate().subject?.CN);
    socket.on("error", () => {});
    socket.end("hello");
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, server, asked, shown };
}

async function startTls(config: Partial<UpstreamTlsConfig> = {}, stats = new TlsStats()) {
  const folder = await PemFolder.make();
  const ca = await folder.put("ca.crt", authority.certificate);
  const full: UpstreamTlsConfig = { verify: true, ...(config.verify === false ? {} : { ca }), ...config };
  const tls = await UpstreamTls.start("ledger", full, { log: silentLog, stats, pollMs: 5, settleMs: 5 });
  onTestFinished(() => tls.close());
  return { tls, folder, stats };
}

interface Outcome {
  readonly text: string;
  readonly error: string | undefined;
  readonly reused: boolean;
  readonly alpn: string | false | null;
}

/** One connection, to its end. */
async function outcome(
  tls: UpstreamTls,
  port: number,
  protocols: readonly string[] = [],
  host = "10.0.0.7",
): Promise<Outcome> {
  const socket: TLSSocket = tls.forEndpoint(`${host}:443`).connect({ host: "127.0.0.1", port }, protocols);
  let text = "";
  let error: string | undefined;
  let reused = false;
  let alpn: string | false | null = null;
  socket.on("error", (raised) => (error = raised.message));
  socket.on("data", (bytes: Buffer) => (text += String(bytes)));
  socket.on("secureConnect", () => {
    reused = socket.isSessionReused();
    alpn = socket.alpnProtocol;
  });
  await new Promise((resolve) => socket.once("close", resolve));
  return { text, error, reused, alpn };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("which name is asked for and verified", () => {
  test.each([
    [undefined, "10.0.0.7", "ledger"],
    [undefined, "[fd00::7]", "ledger"],
    [undefined, "ledger.shop.svc.cluster.local", "ledger.shop.svc.cluster.local"],
    [undefined, "ledger.shop.", "ledger.shop"],
    ["ledger.example", "10.0.0.7", "ledger.example"],
    ["ledger.example", "ledger-7", "ledger.example"],
  ])("serverName %s, endpoint %s: %s", async (serverName, host, name) => {
    const { port, asked } = await startEndpoint({}, [name]);
    const { tls } = await startTls(serverName === undefined ? {} : { serverName });
    expect(await outcome(tls, port, [], host)).toMatchObject({ text: "hello", error: undefined });
    expect(asked).toEqual([name]);
  });
});

describe("what cannot be trusted is an error in one sentence", () => {
  test("another authority", async () => {
    const { port } = await startEndpoint({}, ["ledger"], await makeAuthority("Foreign"));
    const { tls, stats } = await startTls();
    expect(await outcome(tls, port)).toMatchObject({
      text: "",
      error: "its certificate does not come from an authority in upstreamTls.ledger.ca",
    });
    expect(stats.handshakes.upstream).toEqual({ full: 0, resumed: 0, failed: 1 });
  });

  test("no public authority", async () => {
    const { port } = await startEndpoint();
    const stats = new TlsStats();
    const tls = await UpstreamTls.start("ledger", { verify: true }, { log: silentLog, stats });
    onTestFinished(() => tls.close());
    expect((await outcome(tls, port)).error).toBe(
      "its certificate does not come from a public authority, write the one it comes from as upstreamTls.ledger.ca",
    );
  });

  test("another name", async () => {
    const { port } = await startEndpoint({}, ["payments", "payments.shop"]);
    const { tls } = await startTls();
    expect((await outcome(tls, port)).error).toBe(
      "its certificate is not for ledger, but for payments, payments.shop, write the right name as upstreamTls.ledger.serverName",
    );
  });

  test("expired", async () => {
    const { certificate, key } = await authority.signExpired("ledger");
    const { port } = await startEndpoint({ cert: certificate, key });
    const { tls } = await startTls();
    expect((await outcome(tls, port)).error).toBe("its certificate, or one above it, has expired");
  });

  test("no TLS there", async () => {
    const server = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { tls } = await startTls();
    expect((await outcome(tls, (server.address() as AddressInfo).port)).error).toBe(
      "it does not speak TLS on this port, remove upstreamTls.ledger or write the right port",
    );
  });

  test("closed in the middle", async () => {
    const server = createTcpServer((socket) => socket.destroy());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { tls } = await startTls();
    expect((await outcome(tls, (server.address() as AddressInfo).port)).error).toMatch(
      /^it closed the connection in the TLS handshake$|ECONNRESET/u,
    );
  });

  test("nobody there: not a matter of TLS", async () => {
    const { tls, stats } = await startTls();
    expect((await outcome(tls, 1)).error).toMatch(/ECONNREFUSED/u);
    expect(stats.handshakes.upstream.failed).toBe(0);
  });

  test("only older versions", async () => {
    const { port } = await startEndpoint({ minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" });
    const { tls } = await startTls();
    expect((await outcome(tls, port)).error).toBe("it speaks no TLS of version 1.2 or later");
  });

  test("verify: false believes all of that", async () => {
    const { port } = await startEndpoint({}, ["payments"], await makeAuthority("Foreign"));
    const { tls } = await startTls({ verify: false });
    expect(await outcome(tls, port)).toMatchObject({ text: "hello", error: undefined });
  });
});

describe("client certificates", () => {
  test("asked for and there", async () => {
    const { port, shown } = await startEndpoint({ requestCert: true, ca: authority.certificate });
    const folder = await PemFolder.make();
    const { tls } = await startTls(await folder.putPair("client", await authority.sign("checkout")));
    expect((await outcome(tls, port)).text).toBe("hello");
    expect(shown).toEqual(["checkout"]);
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)("asked for and not there, %s", async (maxVersion) => {
    const { port } = await startEndpoint({ requestCert: true, ca: authority.certificate, maxVersion });
    const { tls } = await startTls();
    expect((await outcome(tls, port)).error).toMatch(/asks for a client certificate/u);
  });
});

describe("ALPN", () => {
  test("h2 and http/1.1 are offered as asked", async () => {
    const { port } = await startEndpoint({ ALPNProtocols: ["http/1.1", "h2"] });
    const { tls } = await startTls();
    expect((await outcome(tls, port, ["h2"])).alpn).toBe("h2");
    expect((await outcome(tls, port, ["http/1.1"])).alpn).toBe("http/1.1");
    expect((await outcome(tls, port)).alpn).toBe(false);
  });

  test("an endpoint that does not settle on h2 does not speak HTTP/2", async () => {
    const { tls } = await startTls();
    const http1 = await startEndpoint({ ALPNProtocols: ["http/1.1"] });
    expect((await outcome(tls, http1.port, ["h2"])).error).toBe(
      "it does not speak the HTTP version of the request over TLS (ALPN)",
    );
    const mute = await startEndpoint();
    expect((await outcome(tls, mute.port, ["h2"])).error).toBe("it does not speak h2 over TLS (ALPN)");
    expect((await outcome(tls, mute.port, ["http/1.1"])).text).toBe("hello");
  });
});

describe("sessions", () => {
  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "are resumed with %s, each endpoint's and protocol's its own",
    async (maxVersion) => {
      const { port } = await startEndpoint({ maxVersion, ALPNProtocols: ["h2", "http/1.1"] });
      const { port: otherPort } = await startEndpoint({ maxVersion });
      const { tls, stats } = await startTls();
      expect((await outcome(tls, port, ["http/1.1"])).reused).toBe(false);
      expect((await outcome(tls, port, ["http/1.1"])).reused).toBe(true);
      expect((await outcome(tls, port, ["http/1.1"])).reused).toBe(true);
      expect((await outcome(tls, port, ["h2"])).reused).toBe(false);
      expect((await outcome(tls, otherPort, ["http/1.1"])).reused).toBe(false);
      expect(stats.handshakes.upstream).toEqual({ full: 3, resumed: 2, failed: 0 });
    },
  );

  test("an endpoint that does not know the session any more is connected to all the same", async () => {
    const { port, server } = await startEndpoint();
    const { tls } = await startTls();
    await outcome(tls, port);
    server.setTicketKeys(Buffer.alloc(48, 7));
    expect(await outcome(tls, port)).toMatchObject({ text: "hello", reused: false });
  });
});

test("a new authority counts from the next connection on, and what the old one vouched for is not resumed", async () => {
  const next = await makeAuthority("Next");
  const old = await startEndpoint();
  const renewed = await startEndpoint({}, ["ledger"], next);
  const { tls, folder, stats } = await startTls();
  expect((await outcome(tls, old.port)).text).toBe("hello");
  await folder.put("ca.crt", next.certificate);
  await until(() => stats.reloads.applied === 1);
  expect((await outcome(tls, old.port)).error).toMatch(/does not come from an authority/u);
  expect((await outcome(tls, renewed.port)).text).toBe("hello");
  expect(tls.status()).toEqual({ name: "upstream ledger" });
});
