import { credentials, status } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import { type KeyPair, PemFolder, makeAuthority } from "../../../test/support/certificates.ts";
import type { Authority } from "../auth.ts";
import { sandboxResource } from "../fixture.ts";
import { TestControl } from "./fixture.ts";

let control: TestControl | undefined;
afterEach(() => control?.close());

/** Knows tokens and certificates by name. */
class Names implements Authority {
  readonly good = new Set(["sidecar-token", "node-1"]);
  readonly shown: (readonly [bearer: string | undefined, certificate: string | undefined])[] = [];

  identify(bearer: string | undefined, certificateName: string | undefined) {
    this.shown.push([bearer, certificateName]);
    const name = bearer ?? certificateName;
    if (name === undefined) return { refused: "send a token: authorization: Bearer ..." };
    if (!this.good.has(name)) return { refused: "the token is not known here" };
    return { name, role: "sidecar" as const, replica: false };
  }
}

/** What the server's certificate says, too. */
const channel = { "grpc.ssl_target_name_override": "localhost" };

function tlsOf(ca: string, pair?: KeyPair) {
  const [key, certificate] = pair === undefined ? [null, null] : [Buffer.from(pair.key), Buffer.from(pair.certificate)];
  return credentials.createSsl(Buffer.from(ca), key, certificate);
}

test("a token decides who may follow", async () => {
  const auth = new Names();
  control = await TestControl.start({ auth });
  const good = control.follow({}, { bearer: "sidecar-token" });
  await good.untilRevision(1);
  const bad = control.follow({}, { bearer: "guess" });
  expect(await bad.untilEnded()).toEqual({ code: status.UNAUTHENTICATED, details: "the token is not known here" });
  const none = control.follow();
  expect(await none.untilEnded()).toEqual({
    code: status.UNAUTHENTICATED,
    details: "send a token: authorization: Bearer ...",
  });
  expect(control.sidecars.list().map(({ instance }) => instance)).toEqual([good.instance]);
  expect(control.server.stats.ends.refused).toBe(2);
});

test.each([
  ["viewer", false],
  ["sidecar", true],
  ["editor", true],
] as const)("a token of a %s may follow: %s", async (role, may) => {
  control = await TestControl.start({ auth: { identify: () => ({ name: "grafana", role, replica: false }) } });
  const sidecar = control.follow({}, { bearer: "token" });
  if (may) return sidecar.untilRevision(1);
  const { code, details } = await sidecar.untilEnded();
  expect(code).toBe(status.PERMISSION_DENIED);
  expect(details).toContain("grafana has the role viewer, which may read but not follow the table");
  expect(control.sidecars.list()).toEqual([]);
});

test("a token that is taken back ends the streams that came with it", async () => {
  const auth = new Names();
  control = await TestControl.start({ auth, times: { authoriseMs: 20 } });
  const sidecar = control.follow({}, { bearer: "sidecar-token" });
  await sidecar.untilRevision(1);
  auth.good.clear();
  expect(await sidecar.untilEnded()).toMatchObject({ code: status.UNAUTHENTICATED });
});

test("with TLS, a certificate that is verified does as well as a token", async () => {
  const [authority, stranger] = await Promise.all([makeAuthority(), makeAuthority("Stranger")]);
  const folder = await PemFolder.make();
  const paths = await folder.putPair("tls", await authority.sign("control", { addresses: ["127.0.0.1"] }));
  const clientCa = await folder.put("ca.crt", authority.certificate);
  const auth = new Names();
  control = await TestControl.start({ auth, config: { address: "127.0.0.1:0", tls: { ...paths, clientCa } } });
  const { certificate: ca } = authority;

  const node = control.follow({}, { channel, credentials: tlsOf(ca, await authority.sign("node-1")) });
  await node.untilRevision(1);
  const token = control.follow({}, { channel, credentials: tlsOf(ca), bearer: "sidecar-token" });
  await token.untilRevision(1);
  const forged = control.follow({}, { channel, credentials: tlsOf(ca, await stranger.sign("node-1")) });
  expect(await forged.untilEnded()).toMatchObject({ code: status.UNAUTHENTICATED });
  expect(auth.shown).toEqual([
    [undefined, "node-1"],
    ["sidecar-token", undefined],
    [undefined, undefined],
  ]);
  const plain = control.follow({}, { bearer: "sidecar-token" });
  expect(await plain.untilEnded()).toMatchObject({ code: status.UNAVAILABLE });

  control.commit([sandboxResource("pr-7", { services: { checkout: ["a:80"] } })]);
  await Promise.all([node.untilRevision(2), token.untilRevision(2)]);
});

test("a certificate that cannot be used is told of at the start", async () => {
  const authority = await makeAuthority();
  const folder = await PemFolder.make();
  const paths = await folder.putPair("tls", await authority.sign("control"));
  await folder.put("tls.key", "");
  await expect(TestControl.start({ config: { address: "127.0.0.1:0", tls: paths } })).rejects.toThrow(
    /TLS of feed: .*tls\.key is empty/,
  );
});

test("a token that has had its time: the sidecar is asked to come again, with the next one", async () => {
  let expired = false;
  const identify: Authority["identify"] = async (bearer) => {
    await Promise.resolve();
    if (expired && bearer === "first") return { refused: "the token has expired", because: "expired" };
    return { name: "checkout", role: "sidecar", replica: false };
  };
  control = await TestControl.start({ auth: { identify }, times: { authoriseMs: 20 } });
  const sidecar = control.follow({}, { bearer: "first" });
  await sidecar.untilRevision(1);
  expired = true;
  await sidecar.untilEnded();
  expect(control.server.stats.ends).toMatchObject({ shutdown: 1, refused: 0 });
  const late = control.follow({}, { bearer: "first" });
  expect(await late.untilEnded()).toEqual({ code: status.UNAUTHENTICATED, details: "the token has expired" });
});

test("where nobody can say whose a token is, it is worth trying again", async () => {
  const refused = "whose the token is cannot be said at the moment";
  const identify: Authority["identify"] = () => Promise.resolve({ refused, because: "unavailable" });
  control = await TestControl.start({ auth: { identify } });
  const sidecar = control.follow({}, { bearer: "token" });
  expect(await sidecar.untilEnded()).toEqual({ code: status.UNAVAILABLE, details: refused });
});
