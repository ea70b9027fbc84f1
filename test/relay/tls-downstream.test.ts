// Clients that come with TLS: which version is spoken, sessions, certificates, and what does not begin with TLS.
import { once } from "node:events";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { startApp } from "../support/app.ts";
import { type Authority, PemFolder, makeAuthority } from "../support/certificates.ts";
import { Peer } from "../support/peer.ts";
import { type Sidecar, describeRelay, startSidecar } from "../support/sidecar.ts";
import { startBackend } from "../support/backend.ts";
import { getHttp2, getHttps } from "../support/tls-peers.ts";

const authority = await makeAuthority();
const trust = { ca: authority.certificate };

interface TlsSidecar {
  readonly sidecar: Sidecar;
  readonly folder: PemFolder;
  readonly port: number;
}

async function startTlsSidecar(target: string, tls: object = {}, listener: object = {}, rest: object = {}): Promise<TlsSidecar> {
  const folder = await PemFolder.make();
  const files = await folder.putPair("tls", await authority.sign("checkout", { names: ["checkout"] }));
  await folder.put("ca.crt", authority.certificate);
  const sidecar = await startSidecar({
    listeners: [
      { direction: "inbound", address: "127.0.0.1:0", target, tls: { ...files, ...tls }, ...listener },
    ],
    ...rest,
  });
  return { sidecar, folder, port: sidecar.port() };
}

/** What `tls` needs to ask for client certificates. */
function asking(folder: { readonly path: string }, clientCertificates: "optional" | "required"): object {
  return { clientCertificates, ca: `${folder.path}/ca.crt` };
}

describeRelay("TLS of a listener", (mode) => {
  test("HTTP/1.1, by ALPN and by first bytes", async () => {
    const app = await startApp("app");
    const { port } = await startTlsSidecar(app.name, {}, {}, mode);
    const settled = await getHttps({ port, ...trust, ALPNProtocols: ["http/1.1"] });
    expect(settled).toMatchObject({ status: 200, alpn: "http/1.1", subject: "checkout" });
    const unsettled = await getHttps({ port, ...trust, ALPNProtocols: [] });
    expect(unsettled).toMatchObject({ status: 200, alpn: false, body: settled.body });
  });
});
