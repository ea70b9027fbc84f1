// Endpoints that are connected to with TLS: whom the sidecar trusts, what it asks for, what it says when that fails.
import { expect, onTestFinished, test } from "vitest";
import { startBackend } from "../support/backend.ts";
import { type Authority, type CertificateOptions, PemFolder, makeAuthority } from "../support/certificates.ts";
import { getH2c, getPlain } from "../support/plain-clients.ts";
import { type Sidecar, type SidecarOptions, describeRelay, startSidecar } from "../support/sidecar.ts";
import { type TlsApp, startTlsApp } from "../support/tls-peers.ts";
import type { TlsOptions } from "node:tls";

const authority = await makeAuthority();
const folderOf = async (): Promise<{ readonly folder: PemFolder; readonly ca: string }> => {
  const folder = await PemFolder.make();
  return { folder, ca: await folder.put("ca.crt", authority.certificate) };
};

async function startApp(
  answer: string,
  certificate: CertificateOptions = { names: ["ledger"] },
  options: TlsOptions = {},
  signedBy: Authority = authority,
): Promise<TlsApp> {
  return startTlsApp(answer, await signedBy.sign(answer, certificate), options);
}

/** A sidecar beside checkout, whose way to ledger has TLS. */
async function startOutbound(
  endpoints: { readonly baseline: string; readonly sandbox?: string },
  tls: object,
  options: SidecarOptions,
): Promise<Sidecar> {
  const { ca } = await folderOf();
  return startSidecar({
    listeners: [{ direction: "outbound", address: "127.0.0.1:0" }],
    table: {
      services: { ledger: { baseline: [endpoints.baseline] } },
      sandboxes: { "pr-7": { services: { ledger: [endpoints.sandbox ?? endpoints.baseline] } } },
    },
    upstreamTls: { ledger: { ca, ...tls } },
    ...options,
  });
}

const inSandbox = { baggage: "sidelane=pr-7" };

describeRelay("TLS to endpoints", (mode) => {
  test("baseline and sandbox, in the version that the client speaks; both are asked for the service", async () => {
    const baseline = await startApp("baseline");
    const sandbox = await startApp("sandbox");
    const sidecar = await startOutbound({ baseline: baseline.name, sandbox: sandbox.name }, {}, mode);
    const port = sidecar.port("outbound");
    expect(await getPlain(port, "ledger")).toMatchObject({ status: 200, body: "baseline over 1.1" });
    expect(await getPlain(port, "ledger", inSandbox)).toMatchObject({ status: 200, body: "sandbox over 1.1" });
    expect(await getH2c(port, "ledger")).toMatchObject({ status: 200, body: "baseline over 2.0" });
    expect(await getH2c(port, "ledger", inSandbox)).toMatchObject({ status: 200, body: "sandbox over 2.0" });
    expect([...baseline.asked, ...sandbox.asked]).toEqual(["ledger", "ledger", "ledger", "ledger"]);
  });

  test("an endpoint that has a name is asked for that, or for serverName", async () => {
    const app = await startApp("app", { names: ["localhost", "ledger.example"] });
    const port = app.name.slice(app.name.indexOf(":"));
    const named = await startOutbound({ baseline: `localhost${port}` }, {}, mode);
    expect((await getPlain(named.port("outbound"), "ledger")).status).toBe(200);
    const told = await startOutbound({ baseline: `localhost${port}` }, { serverName: "ledger.example" }, mode);
    expect((await getPlain(told.port("outbound"), "ledger")).status).toBe(200);
    expect(app.asked).toEqual(["localhost", "ledger.example"]);
  });

  test("the app beside the sidecar too, when the config's own service has TLS", async () => {
    const { ca } = await folderOf();
    const app = await startApp("checkout", { names: ["checkout"] });
    const sidecar = await startSidecar({ target: app.name, upstreamTls: { checkout: { ca } }, ...mode });
    expect((await getPlain(sidecar.port(), "checkout")).body).toBe("checkout over 1.1");
    expect((await getH2c(sidecar.port(), "checkout")).body).toBe("checkout over 2.0");
  });

  test("what passes through is not secured, whatever it calls itself", async () => {
    const backend = await startBackend();
    const sidecar = await startOutbound({ baseline: "127.0.0.1:1" }, {}, mode);
    const client = await sidecar.connect("outbound");
    client.send(`GET / HTTP/1.1\r\nHost: ${backend.name}\r\n\r\n`);
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect((await client.message()).start).toBe("HTTP/1.1 200 OK");
  });

  test("sessions are resumed", async () => {
    const app = await startApp("app");
    const sidecar = await startOutbound({ baseline: app.name }, {}, { timeouts: { upstreamIdleMs: 100 }, ...mode });
    const port = sidecar.port("outbound");
    await getPlain(port, "ledger");
    await expect.poll(async () => sidecar.metric("sidelane_upstream_connections", { state: "idle" })).toBe(0);
    await getPlain(port, "ledger");
    expect(app.reused).toEqual([false, true]);
    expect(await sidecar.metric("sidelane_tls_handshakes_total", { side: "upstream", result: "resumed" })).toBe(1);
  });

  test("a certificate is shown to an endpoint that asks for one", async () => {
    const app = await startApp("app", { names: ["ledger"] }, { requestCert: true, ca: authority.certificate });
    const { folder } = await folderOf();
    const pair = await folder.putPair("client", await authority.sign("checkout"));
    const sidecar = await startOutbound({ baseline: app.name }, pair, mode);
    expect((await getPlain(sidecar.port("outbound"), "ledger")).status).toBe(200);
    expect((await getH2c(sidecar.port("outbound"), "ledger")).status).toBe(200);
    expect(app.shown).toEqual(["checkout", "checkout"]);
  });
});

describeRelay("endpoints that cannot be trusted", (mode) => {
  const refused = { reason: "upstream-tls-failed", status: 502 };

  test.each([
    ["another authority", "its certificate does not come from an authority in upstreamTls.ledger.ca"],
    ["another name", "its certificate is not for ledger, but for payments"],
    ["expired", "its certificate, or one above it, has expired"],
    ["no TLS", "it does not speak TLS on this port"],
  ])("%s", async (kind, detail) => {
    const name = await startUntrusted(kind);
    const sidecar = await startOutbound({ baseline: name }, {}, mode);
    for (const get of [getPlain, getH2c]) {
      const { status, body } = await get(sidecar.port("outbound"), "ledger");
      const problem = JSON.parse(body) as { detail: string; reason: string };
      expect({ status, reason: problem.reason }).toEqual(refused);
      expect(problem.detail).toContain(`${name}: ${detail}`);
    }
  });

  test("a sandbox that cannot be trusted is unavailable, and the baseline does not step in", async () => {
    const baseline = await startApp("baseline");
    const sandbox = await startUntrusted("another authority");
    const sidecar = await startOutbound({ baseline: baseline.name, sandbox }, {}, mode);
    for (const get of [getPlain, getH2c]) {
      const { status, body } = await get(sidecar.port("outbound"), "ledger", inSandbox);
      expect(status).toBe(503);
      expect(JSON.parse(body)).toMatchObject({
        reason: "sandbox-unavailable",
        detail: expect.stringContaining("does not come from an authority") as string,
      });
    }
    expect(baseline.asked).toEqual([]);
  });

  test("an endpoint without HTTP/2 says so to clients that speak it, and serves the others", async () => {
    const app = await startApp("app", { names: ["ledger"] }, { ALPNProtocols: ["http/1.1"] });
    const sidecar = await startOutbound({ baseline: app.name }, {}, mode);
    const { status, body } = await getH2c(sidecar.port("outbound"), "ledger");
    expect(status).toBe(502);
    expect(body).toContain("it does not speak the HTTP version of the request over TLS (ALPN)");
    await expect.poll(async () => (await getPlain(sidecar.port("outbound"), "ledger")).status).toBe(200);
  });

  test("once the right authority is there, it is trusted without a restart", async () => {
    const next = await makeAuthority("Next");
    const app = await startApp("app", { names: ["ledger"] }, {}, next);
    const { folder, ca } = await folderOf();
    const sidecar = await startOutbound({ baseline: app.name }, { ca }, mode);
    const port = sidecar.port("outbound");
    expect((await getPlain(port, "ledger")).status).toBe(502);
    await folder.put("ca.crt", authority.certificate + next.certificate);
    await expect.poll(() => sidecar.telemetry.tls.reloads.applied, { timeout: 5000 }).toBe(1);
    expect((await getPlain(port, "ledger")).status).toBe(200);
  });
});

/** `host:port` of an endpoint with a flaw. */
async function startUntrusted(kind: string): Promise<string> {
  switch (kind) {
    case "another authority":
      return (await startApp("app", { names: ["ledger"] }, {}, await makeAuthority("Foreign"))).name;
    case "another name":
      return (await startApp("app", { names: ["payments"] })).name;
    case "expired":
      return (await startTlsApp("app", await authority.signExpired("ledger"))).name;
    default: {
      const backend = await startBackend();
      void (async () => {
        for (;;) {
          const peer = await backend.accept();
          peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
          peer.finish();
        }
      })();
      onTestFinished(() => backend.close());
      return backend.name;
    }
  }
}
