import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { makeAuthority } from "../../../test/support/certificates.ts";
import { readSigningKey, readVerifyingKey } from "./read-signing-key.ts";
import { signKey } from "./sign-key.ts";
import { SigningKey } from "./signing-key.ts";
import { keyOf, makePair, verifyText } from "./testing.ts";

const text = "0123456789abcdef0123456789abcdef";

/** Whether both sign alike. */
const same = (one: SigningKey, other: SigningKey): boolean =>
  signKey({ key: "a", expiresAtSeconds: 1, by: one }) === signKey({ key: "a", expiresAtSeconds: 1, by: other });

const sentence = (read: SigningKey | { problem: string; hint: string }): string =>
  read instanceof SigningKey ? "good" : `${read.problem}, ${read.hint}`;

describe("a secret", () => {
  test("of text: one final line end does not count", () => {
    const plain = keyOf("k1", "hmac", text);
    expect(same(keyOf("k1", "hmac", `${text}\n`), plain)).toBe(true);
    expect(same(keyOf("k1", "hmac", `${text}\r\n`), plain)).toBe(true);
    expect(same(keyOf("k1", "hmac", `${text} `), plain)).toBe(false);
    expect(same(keyOf("k1", "hmac", `${text}\n\n`), plain)).toBe(false);
  });

  test("of bytes: all of them count, whatever the last one is", () => {
    const bytes = Buffer.alloc(32, 0x07);
    bytes[31] = 0x0a;
    expect(sentence(readSigningKey("k1", "hmac", bytes))).toBe("good");
    expect(same(keyOf("k1", "hmac", bytes), keyOf("k1", "hmac", Buffer.concat([bytes, Buffer.of(0x0a)])))).toBe(false);
  });

  test.each([
    ["", "is empty, a secret has at least 32, write one with: sidelane key generate --algorithm hmac"],
    ["\n", "is empty, a secret has at least 32, write one with: sidelane key generate --algorithm hmac"],
    [
      `${text.slice(1)}\n`,
      "has 31 bytes, a secret has at least 32, write one with: sidelane key generate --algorithm hmac",
    ],
    [
      makePair().publicKey,
      "is PEM, and the algorithm hmac wants a secret, write algorithm: ed25519, or the path of a secret",
    ],
  ])("refused: %j", (bytes, expected) => {
    expect(sentence(readSigningKey("k1", "hmac", Buffer.from(bytes)))).toBe(expected);
  });
});

describe("an Ed25519 key", () => {
  const pair = makePair();

  test("the private one signs and verifies, the public one verifies", () => {
    const privateKey = keyOf("k2", "ed25519", pair.privateKey);
    const publicKey = keyOf("k2", "ed25519", `a comment\r\n${pair.publicKey.replaceAll("\n", "\r\n")}\r\n`);
    const token = signKey({ key: "pr-7", expiresAtSeconds: 2, by: privateKey });
    expect(verifyText(token, [privateKey], 1)).toMatchObject({ ok: true, key: "pr-7" });
    expect(verifyText(token, [publicKey], 1)).toMatchObject({ ok: true, key: "pr-7" });
    expect([privateKey.canSign, publicKey.canSign]).toEqual([true, false]);
    expect(() => signKey({ key: "pr-7", expiresAtSeconds: 2, by: publicKey })).toThrow(
      "signing key k2 is a public key",
    );
  });

  test("who only verifies gets no private key", () => {
    const of = (pem: string): string => sentence(readVerifyingKey("k2", "ed25519", Buffer.from(pem)));
    expect(of(pair.publicKey)).toBe("good");
    expect(of(pair.privateKey)).toMatch(/^holds a private key, whoever can read it can sign/u);
    expect(sentence(readVerifyingKey("k1", "hmac", Buffer.from(text)))).toBe("good");
  });

  test("anything else is refused with what to do about it", async () => {
    const generate = "write one with: sidelane key generate --algorithm ed25519";
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const locked = generateKeyPairSync("ed25519").privateKey.export({
      format: "pem",
      type: "pkcs8",
      cipher: "aes-256-cbc",
      passphrase: "x",
    });
    const of = (bytes: string | Buffer): string => sentence(readSigningKey("k2", "ed25519", Buffer.from(bytes)));
    expect(of("")).toBe(`is empty, ${generate}`);
    expect(of(text)).toBe(`is not PEM, there is no line -----BEGIN PUBLIC KEY-----, ${generate}`);
    expect(of(publicKey.export({ format: "pem", type: "spki" }))).toBe(`is a key for ec, not for ed25519, ${generate}`);
    expect(of(privateKey.export({ format: "pem", type: "sec1" }))).toBe(
      `is a key for ec, not for ed25519, ${generate}`,
    );
    expect(of(pair.publicKey.replace("MCow", "MCov"))).toBe(
      "holds a key that cannot be read, was it cut off? write it again",
    );
    expect(of(pair.privateKey.slice(0, -30))).toBe("holds a key that cannot be read, was it cut off? write it again");
    expect(of(locked)).toBe("is locked with a passphrase, write one without: openssl pkey -in this.key -out plain.key");
    expect(of((await makeAuthority()).certificate)).toBe(
      "is a certificate, write its public key: openssl x509 -in this.crt -noout -pubkey",
    );
    const openssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    expect(of(openssh)).toBe(`is a key in the form of OpenSSH, ${generate}`);
  });
});
