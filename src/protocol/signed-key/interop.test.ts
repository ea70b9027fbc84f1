// The other implementation: what `jose` signs we accept, what we sign it accepts.
import { createSecretKey, createPrivateKey, createPublicKey } from "node:crypto";
import { SignJWT, jwtVerify } from "jose";
import { describe, expect, test } from "vitest";
import { signKey } from "./sign-key.ts";
import { keyOf, makePair, verifyText } from "./testing.ts";

const secret = "0123456789abcdef0123456789abcdef";
const pair = makePair();
const NOW = Math.floor(Date.now() / 1000);

const theirs = {
  hmac: { sign: createSecretKey(Buffer.from(secret)), verify: createSecretKey(Buffer.from(secret)) },
  ed25519: { sign: createPrivateKey(pair.privateKey), verify: createPublicKey(pair.publicKey) },
} as const;
const ours = {
  hmac: { sign: keyOf("k1", "hmac", `${secret}\n`), verify: keyOf("k1", "hmac", secret) },
  ed25519: { sign: keyOf("k1", "ed25519", pair.privateKey), verify: keyOf("k1", "ed25519", pair.publicKey) },
} as const;

describe.each([
  ["hmac", "HS256"],
  ["ed25519", "EdDSA"],
  ["ed25519", "Ed25519"],
] as const)("%s, called %s", (algorithm, alg) => {
  const sign = (typ: string): Promise<string> =>
    new SignJWT({ scope: "beyond what we read" })
      .setProtectedHeader({ alg, typ, kid: "k1" })
      .setSubject("pr-7")
      .setIssuedAt()
      .setJti("1")
      .setExpirationTime(NOW + 60)
      .sign(theirs[algorithm].sign);

  test("we accept theirs", async () => {
    const good = {
      ok: true,
      key: "pr-7",
      keyBytes: new TextEncoder().encode("pr-7"),
      expiresAtSeconds: NOW + 60,
      signedBy: "k1",
    };
    expect(verifyText(await sign("sidelane+jwt"), [ours[algorithm].verify], NOW)).toEqual(good);
    expect(verifyText(await sign("JWT"), [ours[algorithm].verify], NOW)).toMatchObject({ why: "malformed" });
    expect(verifyText(await sign("sidelane+jwt"), [ours[algorithm].verify], NOW + 60)).toMatchObject({
      why: "expired",
    });
  });
});

describe.each(["hmac", "ed25519"] as const)("%s", (algorithm) => {
  const { algorithmName } = ours[algorithm].sign;
  const options = { algorithms: [algorithmName], typ: "sidelane+jwt", requiredClaims: ["sub", "exp"] };

  test("they accept ours", async () => {
    const token = signKey({ key: "pr-7", expiresAtSeconds: NOW + 60, by: ours[algorithm].sign });
    const { payload, protectedHeader } = await jwtVerify(token, theirs[algorithm].verify, options);
    expect(payload).toEqual({ sub: "pr-7", exp: NOW + 60 });
    expect(protectedHeader).toEqual({ alg: algorithmName, typ: "sidelane+jwt", kid: "k1" });
  });

  test("they refuse ours when it has expired", async () => {
    const token = signKey({ key: "pr-7", expiresAtSeconds: NOW - 60, by: ours[algorithm].sign });
    await expect(jwtVerify(token, theirs[algorithm].verify, options)).rejects.toThrow("exp");
  });
});
