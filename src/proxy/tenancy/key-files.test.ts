import { rm } from "node:fs/promises";
import { expect, onTestFinished, test } from "vitest";
import { PemFolder } from "../../../test/support/certificates.ts";
import { silentLog } from "../../base/log.ts";
import type { SigningKeyConfig } from "../../config/proxy-config.ts";
import { signKey } from "../../protocol/signed-key/sign-key.ts";
import { keyOf, makePair } from "../../protocol/signed-key/testing.ts";
import { KeyFiles } from "./key-files.ts";

const [first, second] = ["1".repeat(32), "2".repeat(32)];
const pair = makePair();

const token = (id: string, algorithm: "hmac" | "ed25519", content: string): Uint8Array =>
  Buffer.from(signKey({ key: "pr-7", expiresAtSeconds: 100, by: keyOf(id, algorithm, content) }));

async function follow(signedBy: readonly SigningKeyConfig[]) {
  const said: string[] = [];
  const note = (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
    const why = fields["why"] === undefined ? "" : `: ${String(fields["why"]).replace(/^\S*\//u, "")}`;
    said.push(`${message} ${String(fields["id"])}${why}`);
  };
  const log = { ...silentLog, info: note, warn: note, error: note };
  const reloads = { applied: 0, rejected: 0 };
  const files = await KeyFiles.start(signedBy, { log, reloads, pollMs: 5, settleMs: 5 });
  onTestFinished(() => files.close());
  const accepts = (bytes: Uint8Array): boolean => files.verifier.verify(bytes, 0, bytes.length, 1000).ok;
  return { files, said, accepts, reloads };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("a change of one file replaces that key, and what cannot be used leaves the last good one", async () => {
  const folder = await PemFolder.make();
  const k1 = { id: "k1", algorithm: "hmac", file: await folder.put("k1.secret", `${first}\n`) } as const;
  const k2 = { id: "k2", algorithm: "ed25519", file: await folder.put("k2.pub", pair.publicKey) } as const;
  const { files, said, accepts, reloads } = await follow([k1, k2]);
  const ofFirst = token("k1", "hmac", first);
  const ofSecond = token("k1", "hmac", second);
  const ofPair = token("k2", "ed25519", pair.privateKey);
  expect([ofFirst, ofSecond, ofPair].map(accepts)).toEqual([true, false, true]);

  await folder.put("k1.secret", "short");
  await until(() => said.length === 1);
  await rm(k1.file);
  await until(() => said.length === 2);
  await folder.put("k2.pub", pair.privateKey);
  await until(() => said.length === 3);
  expect(said).toEqual([
    "signing key cannot be used, the last good one stays k1: k1.secret has 5 bytes, a secret has at least 32, write one with: sidelane key generate --algorithm hmac",
    "signing key cannot be used, the last good one stays k1: k1.secret does not exist",
    "signing key cannot be used, the last good one stays k2: k2.pub holds a private key, whoever can read it can sign, and the public one is enough here, write the public one: openssl pkey -in this.key -pubout",
  ]);
  expect([ofFirst, ofSecond, ofPair].map(accepts)).toEqual([true, false, true]);
  expect(files.status()).toEqual([
    { id: "k1", algorithm: "hmac", error: `${k1.file} does not exist` },
    { id: "k2", algorithm: "ed25519", error: expect.stringContaining("holds a private key") as string },
  ]);

  await folder.put("k1.secret", second);
  await until(() => said.length === 4);
  await folder.put("k2.pub", pair.publicKey);
  await until(() => said.length === 5);
  expect(said.slice(3)).toEqual(["signing key reloaded k1", "signing key is the one in use again k2"]);
  expect(reloads).toEqual({ applied: 1, rejected: 3 });
  expect([ofFirst, ofSecond, ofPair].map(accepts)).toEqual([false, true, true]);
  expect(files.status()).toEqual([
    { id: "k1", algorithm: "hmac" },
    { id: "k2", algorithm: "ed25519" },
  ]);
});

test("it does not start with a file that cannot be used", async () => {
  const folder = await PemFolder.make();
  const good = { id: "k1", algorithm: "hmac", file: await folder.put("k1.secret", first) } as const;
  const start = (file: string): Promise<unknown> => follow([good, { id: "k2", algorithm: "ed25519", file }]);
  await expect(start(folder.path)).rejects.toThrow(`signing key k2: ${folder.path} is not a file, name a file`);
  await expect(start(good.file)).rejects.toThrow(/^signing key k2: \S+k1\.secret is not PEM, there is no line/u);
  const big = await folder.put("big", "x".repeat(70_000));
  await expect(start(big)).rejects.toThrow("has 70000 bytes, more than any key");
});
