// The command line and a control plane that wants to know who asks: tokens, roles, TLS.
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { makeAuthority, PemFolder } from "../support/certificates.ts";
import { runCommand, startRole } from "../support/command-line.ts";

test("tokens with roles, a certificate of one's own authority, and what to do when something of it is missing", async () => {
  const ended: (() => unknown)[] = [];
  onTestFinished(async () => {
    for (const end of ended.toReversed()) await end();
  });
  const folder = await PemFolder.make();
  const authority = await makeAuthority();
  const ca = await folder.put("ca.crt", authority.certificate);
  const pair = await authority.sign("control", { addresses: ["127.0.0.1"] });
  const person = await folder.putPair("person", await authority.sign("ada"));
  const tls = { ...(await folder.putPair("control", pair)), clientCa: ca };
  const tokens = [
    { name: "bo", role: "viewer", token: "viewer-viewer-viewer" },
    { name: "ci", role: "editor", token: "editor-editor-editor" },
  ];
  const config = {
    store: `file:${join(folder.path, "store")}`,
    api: { address: "127.0.0.1:0", tls },
    feed: { address: "127.0.0.1:0", tls },
    auth: {
      tokens: await folder.put("tokens.yaml", JSON.stringify(tokens)),
      certificates: [{ name: "ada", role: "editor" }],
    },
  };
  const { api } = await startRole(
    ["control", "--config", await folder.put("control.yaml", JSON.stringify(config))],
    ended,
  );
  const url = `https://${api}`;
  const viewer = { SIDELANE_CONTROL: url, SIDELANE_CA: ca, SIDELANE_TOKEN: "viewer-viewer-viewer" };
  const editor = await folder.put("token", "editor-editor-editor\n");
  const stranger = { SIDELANE_CONTROL: url, SIDELANE_CA: ca };

  const [untrusted, plain, nobody, unknown, reading, writing, withFile, withCertificate] = await Promise.all([
    runCommand("sandbox list", { ...viewer, SIDELANE_CA: "" }),
    runCommand("sandbox list", { ...viewer, SIDELANE_CONTROL: `http://${api}` }),
    runCommand("sandbox list", stranger),
    runCommand("sandbox list", { ...stranger, SIDELANE_TOKEN: "stale-stale-stale-stale" }),
    runCommand("sandbox list", viewer),
    runCommand("service create cart", viewer),
    runCommand(`service create checkout --token-file ${editor}`, viewer),
    runCommand(`service create ledger --client-certificate ${person.certificate} --client-key ${person.key}`, stranger),
  ]);
  expect(untrusted.err).toMatch(/cannot be trusted: .*--ca FILE or SIDELANE_CA/u);
  expect(plain.err).toContain("cannot be reached");
  expect(nobody.err).toContain("put your token into SIDELANE_TOKEN, or name its file with --token-file");
  expect(unknown.err).toContain("ask whoever keeps its tokens file");
  expect(reading).toMatchObject({ code: 0, out: "" });
  expect(writing.err).toContain("bo is a viewer");
  expect(writing.err).toContain("for the role 'editor'");
  expect([untrusted, plain, nobody, unknown, writing].map(({ code, out }) => [code, out])).toEqual(
    Array.from({ length: 5 }, () => [1, ""]),
  );
  expect(withFile.code).toBe(0);
  expect(withCertificate.code).toBe(0);
  const audit = await runCommand("audit", viewer);
  expect(audit.out).toMatch(/ci +create service checkout/u);
  expect(audit.out).toMatch(/ada +create service ledger/u);
});
