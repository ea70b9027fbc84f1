// Replicas that ask each other over real sockets, with certificates as they are in a cluster: one for all, without addresses.

import type { IncomingMessage } from "node:http";
import { type Server, createServer, request } from "node:https";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { startWorld } from "../../test/support/api-world.ts";
import { type Authority, type KeyPair, PemFolder, makeAuthority } from "../../test/support/certificates.ts";
import { silentLog } from "../base/log.ts";
import { serveApi } from "./api/serve-api.ts";
import { Credentials } from "./credentials.ts";
import { SIDECARS_PATH } from "./readiness/sidecar-views.ts";
import { ReplicaTls } from "./replica-tls.ts";
import { Replicas } from "./replicas.ts";
import type { ReplicaRecord } from "./store/store.ts";

const times = { pollMs: 5, settleMs: 5 };
const names = ["sidelane-control.sidelane.svc", "sidelane-control", "localhost"];

/** The files of a replica, as a mounted Secret. */
class Mounted {
  readonly folder: PemFolder;
  readonly api: { address: string; tls: { certificate: string; key: string } };
  readonly replicas: { readonly ca: string };

  private constructor(folder: PemFolder) {
    const { path } = folder;
    this.folder = folder;
    this.api = { address: "127.0.0.1:0", tls: { certificate: `${path}/tls.crt`, key: `${path}/tls.key` } };
    this.replicas = { ca: `${path}/ca.crt` };
  }

  static async of(pair: KeyPair, ca: string): Promise<Mounted> {
    const mounted = new Mounted(await PemFolder.make());
    await mounted.write(pair, ca);
    return mounted;
  }

  async write(pair: KeyPair, ca: string): Promise<void> {
    await this.folder.put("ca.crt", ca);
    await this.folder.putPair("tls", pair);
  }
}

const record = (id: string, url: string): ReplicaRecord => ({ id, url, secret: `secret-of-${id}`, startedAt: "" });

/** A replica's API with the certificate of the files; its URL. */
async function serve(mounted: Mounted): Promise<string> {
  const authority = new Credentials({ auth: none, replicaSecret: "secret-of-r-2", log: silentLog });
  const internal = [
    { method: "GET", path: SIDECARS_PATH, answer: async () => ({ revision: 7, sidecars: [] }) },
  ] as const;
  const world = await startWorld({ authority, internal });
  const server = await serveApi({ config: mounted.api, backend: world.backend, log: silentLog, times });
  onTestFinished(async () => {
    await server.close();
    await world.close();
  });
  return `https://${server.address}`;
}

const none = { kind: "none" } as const;

/** Asks as a replica that has these files. */
async function asking({ api, replicas: trusted }: Mounted): Promise<(url: string) => Promise<unknown>> {
  const tls = await ReplicaTls.start({ api, replicas: trusted }, silentLog, times);
  const replicas = new Replicas({ self: record("r-1", ""), tls });
  onTestFinished(() => {
    replicas.close();
    tls.close();
  });
  return (url) => replicas.ask(record("r-2", url), SIDECARS_PATH);
}

const answered = { replica: "r-2", answer: { revision: 7, sidecars: [] } };
const refused = (why: string) => ({ replica: "r-2", why: expect.stringContaining(why) as string });

describe("replicas with one certificate", () => {
  test("ask each other at addresses, which it does not have", async () => {
    const authority = await makeAuthority();
    const mounted = await Mounted.of(await authority.sign("control", { names }), authority.certificate);
    const [one, other] = [await serve(mounted), await serve(mounted)];
    const ask = await asking(mounted);
    expect(await ask(one)).toEqual(answered);
    expect(await ask(other)).toEqual(answered);
    // By a name that it has, too.
    expect(await ask(one.replace("127.0.0.1", "localhost"))).toEqual(answered);
  });

  test("refuse one of another authority, and one of the same authority for somebody else", async () => {
    const authority = await makeAuthority();
    const strangers = await makeAuthority("Strangers");
    const own = await Mounted.of(await authority.sign("control", { names }), authority.certificate);
    const foreign = await Mounted.of(await strangers.sign("control", { names }), strangers.certificate);
    const webhook = ["sidelane-webhook.sidelane.svc", "localhost"];
    const elsewhere = await Mounted.of(await authority.sign("webhook", { names: webhook }), authority.certificate);
    const ask = await asking(own);
    expect(await ask(await serve(foreign))).toEqual(refused("name the authority that signed it in replicas.ca"));
    expect(await ask(await serve(elsewhere))).toEqual(
      refused("its certificate is not for 127.0.0.1 or sidelane-control.sidelane.svc, it is for DNS:sidelane-webhook"),
    );
  });

  test("with another for each, that have the addresses, ask each other as well", async () => {
    const authority = await makeAuthority();
    const sign = (name: string): Promise<KeyPair> => authority.sign(name, { names: [name], addresses: ["127.0.0.1"] });
    const own = await Mounted.of(await sign("control-0"), authority.certificate);
    const other = await Mounted.of(await sign("control-1"), authority.certificate);
    expect(await (await asking(own))(await serve(other))).toEqual(answered);
  });

  test("follow a renewal, and another authority, without a restart", async () => {
    const [before, after] = [await makeAuthority("Before"), await makeAuthority("After")];
    const mounted = await Mounted.of(await before.sign("control", { names }), before.certificate);
    const url = await serve(mounted);
    const ask = await asking(mounted);
    expect(await ask(url)).toEqual(answered);
    expect(await issuerAt(url, [before, after])).toBe("Before");

    await mounted.write(await before.sign("control", { names }), before.certificate);
    await mounted.write(await after.sign("control", { names }), after.certificate);
    await vi.waitFor(async () => expect(await issuerAt(url, [before, after])).toBe("After"), 5000);
    await vi.waitFor(async () => expect(await ask(url)).toEqual(answered), 5000);
    // One that has stayed with the old one is not believed any more, on no connection that was kept.
    const stayed = await Mounted.of(await before.sign("control", { names }), before.certificate);
    expect(await ask(await serve(stayed))).toEqual(refused("cannot be trusted"));
  });

  test("show their certificate to one that wants one, the renewed one once there is one", async () => {
    const authority = await makeAuthority();
    const pair = await authority.sign("control-before", { names });
    const mounted = await Mounted.of(pair, authority.certificate);
    const shown: unknown[] = [];
    const url = await demanding(pair, authority, (subject) => shown.push(subject));
    const ask = await asking(mounted);
    await ask(url);
    await mounted.write(await authority.sign("control-after", { names }), authority.certificate);
    await vi.waitFor(async () => {
      await ask(url);
      expect(shown.at(-1)).toBe("control-after");
    }, 5000);
    expect(shown[0]).toBe("control-before");
  });
});

test("files that cannot be used are refused with a sentence", async () => {
  const authority = await makeAuthority();
  const mounted = await Mounted.of(await authority.sign("control", { names }), "nothing");
  const starting = ReplicaTls.start(mounted, silentLog, times);
  await expect(starting).rejects.toThrow(/^TLS of replicas: .*ca\.crt is not PEM/u);
});

/** Common name of the authority whose certificate a server shows to a new connection. */
async function issuerAt(url: string, authorities: readonly Authority[]): Promise<unknown> {
  const ca = authorities.map(({ certificate }) => certificate);
  const sent = request(`${url}/live`, { ca, agent: false, servername: "localhost" });
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  response.resume();
  return (response.socket as TLSSocket).getPeerCertificate().issuer.CN;
}

/** A server that lets nobody in without a certificate, and tells whose each request has. */
async function demanding(pair: KeyPair, { certificate: ca }: Authority, tell: (subject: unknown) => void) {
  const settings = { cert: pair.certificate, key: pair.key, ca, requestCert: true, rejectUnauthorized: true };
  const server: Server = createServer(settings, ({ socket }, response) => {
    tell((socket as TLSSocket).getPeerCertificate().subject.CN);
    response.end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
