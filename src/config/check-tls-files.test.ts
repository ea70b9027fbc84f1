import { X509Certificate, createPrivateKey, generateKeyPairSync } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PemFolder, makeAuthority } from "../../test/support/certificates.ts";
import { checkTlsFiles } from "./check-tls-files.ts";
import { loadConfig } from "./load-config.ts";
import { formatProblem } from "./problem.ts";

/** What `check` says about a config in `folder`, without the folder's name. */
function check(folder: PemFolder, text: string, nowMs?: number): { problems: string[]; byTime: string[] } {
  const file = join(folder.path, "sidelane.yaml");
  const loaded = loadConfig(text, file, {});
  if (!loaded.ok) throw new Error(loaded.problems.map(formatProblem).join("\n"));
  const { problems, byTime } = checkTlsFiles(loaded.config, loaded.source, nowMs);
  const told = (all: typeof problems): string[] =>
    all.map((problem) => formatProblem(problem).replaceAll(`${folder.path}/`, ""));
  return { problems: told(problems), byTime: told(byTime) };
}

const config = (listenerTls: string, upstreamTls = "{}"): string => `
service: checkout
listeners:
  - direction: inbound
    address: 127.0.0.1:15006
    target: 127.0.0.1:8080
    tls: ${listenerTls}
table: { file: routes.yaml }
upstreamTls: ${upstreamTls}
`;

test("nothing to say about good files, chains and bundles included", async () => {
  const folder = await PemFolder.make();
  const authority = await makeAuthority();
  const other = await makeAuthority("Other");
  const pair = await authority.sign("checkout");
  await folder.put("tls.crt", pair.certificate + authority.certificate);
  await folder.put("tls.key", pair.key);
  await folder.put("ca.crt", `# the present one\n${authority.certificate}\nand the next\n${other.certificate}`);
  const text = config(
    "{ certificate: tls.crt, key: tls.key, clientCertificates: required, ca: ca.crt }",
    "{ ledger: { ca: ca.crt, certificate: tls.crt, key: tls.key } }",
  );
  expect(check(folder, text)).toEqual({ problems: [], byTime: [] });
});

test("missing, unreadable, empty, not PEM: each at the field that names the file", async () => {
  const folder = await PemFolder.make();
  const pair = await (await makeAuthority()).sign("checkout");
  await folder.putPair("tls", pair);
  await folder.put("empty.crt", "\n");
  await folder.put("der.crt", new X509Certificate(pair.certificate).raw);
  await folder.put("der.key", createPrivateKey(pair.key).export({ format: "der", type: "pkcs8" }));
  await folder.put("locked.key", lockedKey(pair.key));
  await folder.put("cut.crt", pair.certificate.replace(/(\n[A-Za-z0-9+/]{64}){3}/u, ""));
  await folder.put("cut.key", "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\n-----END PRIVATE KEY-----\n");
  await mkdir(join(folder.path, "folder.crt"));
  const upstream = `
  a: { ca: none.crt }
  b: { ca: folder.crt }
  c: { certificate: empty.crt, key: tls.key }
  d: { certificate: der.crt, key: tls.key }
  e: { certificate: tls.crt, key: der.key }
  f: { certificate: tls.crt, key: locked.key }
  g: { certificate: cut.crt, key: tls.key }
  h: { certificate: tls.crt, key: cut.key }
  i: { ca: tls.key }
`;
  const { problems } = check(folder, config("{ certificate: tls.key, key: tls.crt }", upstream));
  expect(problems).toEqual([
    "sidelane.yaml:7:25: listeners[0].tls.certificate: tls.key holds a private key and no certificate, were the two files swapped?",
    "sidelane.yaml:10:12: upstreamTls.a.ca: none.crt does not exist, check the path",
    "sidelane.yaml:11:12: upstreamTls.b.ca: folder.crt is not a file, name a file",
    "sidelane.yaml:12:21: upstreamTls.c.certificate: empty.crt is empty, write it again",
    "sidelane.yaml:13:21: upstreamTls.d.certificate: der.crt is not PEM, there is no line -----BEGIN CERTIFICATE-----, if it is DER, convert it: openssl x509 -inform der",
    "sidelane.yaml:14:35: upstreamTls.e.key: der.key is not PEM, there is no line -----BEGIN PRIVATE KEY-----, if it is DER, convert it: openssl pkey -inform der",
    "sidelane.yaml:15:35: upstreamTls.f.key: locked.key is locked with a passphrase, nobody is there to type it, write one without: openssl pkey -in this.key -out plain.key, readable for Sidelane alone",
    "sidelane.yaml:16:21: upstreamTls.g.certificate: cut.crt holds a certificate that cannot be read, was it cut off? write it again",
    "sidelane.yaml:17:35: upstreamTls.h.key: cut.key holds a private key that cannot be read, was it cut off? write it again",
    "sidelane.yaml:18:12: upstreamTls.i.ca: tls.key holds a private key and no certificate, were the two files swapped?",
  ]);
});

test("a key of another certificate, and a chain in the wrong order", async () => {
  const folder = await PemFolder.make();
  const authority = await makeAuthority();
  const pair = await authority.sign("checkout");
  await folder.putPair("tls", pair);
  await folder.putPair("other", await authority.sign("ledger"));
  await folder.put("chain.crt", authority.certificate + pair.certificate);
  const upstream = "{ a: { certificate: chain.crt, key: tls.key } }";
  const { problems } = check(folder, config("{ certificate: tls.crt, key: other.key }", upstream));
  expect(problems).toEqual([
    "sidelane.yaml:7:39: listeners[0].tls.key: other.key does not belong to the certificate of checkout, it is the key of another one, write the key that the certificate was made for",
    "sidelane.yaml:9:34: upstreamTls.a.certificate: chain.crt begins with the certificate of Test Authority, the key belongs to certificate 2 of the file, put that one first, the authorities behind it",
  ]);
});

test("expired, not yet valid, and an expired authority in the chain or on its own", async () => {
  const folder = await PemFolder.make();
  const authority = await makeAuthority();
  await folder.putPair("old", await authority.signExpired("checkout"));
  await folder.putPair(
    "new",
    await authority.sign("checkout", {
      notBefore: new Date("2096-01-01T00:00:00Z"),
      notAfter: new Date("2097-01-01T00:00:00Z"),
    }),
  );
  const pair = await authority.sign("ledger");
  const old = (await authority.signExpired("Old Authority")).certificate;
  await folder.putPair("chain", { ...pair, certificate: pair.certificate + old });
  await folder.put("old-ca.crt", old);
  await folder.put("bundle.crt", old + authority.certificate);
  const upstream = `
  a: { certificate: new.crt, key: new.key, ca: bundle.crt }
  b: { certificate: chain.crt, key: chain.key, ca: old-ca.crt }
`;
  const text = config("{ certificate: old.crt, key: old.key }", upstream);
  expect(check(folder, text)).toEqual({
    problems: [],
    byTime: [
      "sidelane.yaml:7:25: listeners[0].tls.certificate: old.crt expired on 2020-06-01 12:00 UTC, whoever verifies it refuses the connection, renew it",
      "sidelane.yaml:10:21: upstreamTls.a.certificate: new.crt begins to be valid on 2096-01-01 00:00 UTC, whoever verifies it refuses the connection until then, correct the clock, or wait",
      "sidelane.yaml:11:21: upstreamTls.b.certificate: chain.crt is of no use: the certificate of Old Authority in it expired on 2020-06-01 12:00 UTC, whoever verifies it refuses the connection, renew it",
      "sidelane.yaml:11:52: upstreamTls.b.ca: old-ca.crt expired on 2020-06-01 12:00 UTC, nothing can be verified by it any more, write the present certificate of the authority",
    ],
  });
});

test("keys that verify signed routing keys: a secret of 32 bytes, or the public half of a pair", async () => {
  const folder = await PemFolder.make();
  const pair = generateKeyPairSync("ed25519");
  await folder.put("good.secret", `${"0123456789abcdef".repeat(2)}\n`);
  await folder.put("bytes.secret", Buffer.alloc(32, 0xff));
  await folder.put("good.pub", pair.publicKey.export({ type: "spki", format: "pem" }));
  await folder.put("short.secret", "0123456789abcdef0123456789abcde\n");
  await folder.put("private.pem", pair.privateKey.export({ type: "pkcs8", format: "pem" }));
  const keys = [
    ["hmac", "good.secret"],
    ["hmac", "bytes.secret"],
    ["ed25519", "good.pub"],
    ["hmac", "none.secret"],
    ["hmac", "short.secret"],
    ["hmac", "good.pub"],
    ["ed25519", "private.pem"],
  ];
  const text = `
service: checkout
listeners: [{ direction: inbound, edge: true, address: 127.0.0.1:15006, target: 127.0.0.1:8080 }]
table: { file: routes.yaml }
tenancy:
  edge:
    carriers: [{ query: sidelane }]
    signedBy:
${keys.map(([algorithm, file], index) => `      - { id: k${index}, algorithm: ${algorithm}, file: ${file} }`).join("\n")}
`;
  const field = (index: number): string => `tenancy.edge.signedBy[${index}].file`;
  expect(check(folder, text).problems).toEqual([
    `sidelane.yaml:12:42: ${field(3)}: none.secret does not exist, check the path`,
    `sidelane.yaml:13:42: ${field(4)}: short.secret has 31 bytes, a secret has at least 32, write one with: sidelane key generate --algorithm hmac`,
    `sidelane.yaml:14:42: ${field(5)}: good.pub is PEM, and the algorithm hmac wants a secret, write algorithm: ed25519, or the path of a secret`,
    `sidelane.yaml:15:45: ${field(6)}: private.pem holds a private key, whoever can read it can sign, and the public one is enough here, write the public one: openssl pkey -in this.key -pubout`,
  ]);
});

function lockedKey(pem: string): string {
  return createPrivateKey(pem)
    .export({ format: "pem", type: "pkcs8", cipher: "aes-256-cbc", passphrase: "secret" })
    .toString();
}
