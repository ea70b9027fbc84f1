// Signing keys and tokens for tests.
import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import { readSigningKey } from "./read-signing-key.ts";
import { type SigningAlgorithm, SigningKey } from "./signing-key.ts";
import { type Verified, verifyKey } from "./verify-key.ts";

/** A key that the file certainly holds. */
export function keyOf(id: string, algorithm: SigningAlgorithm, bytes: Uint8Array | string): SigningKey {
  const read = readSigningKey(id, algorithm, Buffer.from(bytes));
  if (read instanceof SigningKey) return read;
  throw new Error(`${id} ${read.problem}, ${read.hint}`);
}

/** Both halves of a fresh Ed25519 pair, PEM. */
export function makePair(): { readonly publicKey: string; readonly privateKey: string } {
  return generateKeyPairSync("ed25519", {
    publicKeyEncoding: { format: "pem", type: "spki" },
    privateKeyEncoding: { format: "pem", type: "pkcs8" },
  });
}

/** Verifies a token that lies in the middle of other bytes, as in a request. */
export function verifyText(token: string, keys: readonly SigningKey[], nowSeconds: number): Verified {
  const bytes = Buffer.from(`before${token}behind`, "latin1");
  return verifyKey(bytes, 6, bytes.length - 6, keys, nowSeconds);
}

/** A token of any header and claims, text or object, signed as it stands. */
export function forge(header: object | string, claims: object | string, by: SigningKey): string {
  const part = (value: object | string): string =>
    Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
  const signed = `${part(header)}.${part(claims)}`;
  return `${signed}.${by.sign(Buffer.from(signed)).toString("base64url")}`;
}
