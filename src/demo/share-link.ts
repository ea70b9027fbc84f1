import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readSigningKey } from "../protocol/signed-key/read-signing-key.ts";
import { signKey } from "../protocol/signed-key/sign-key.ts";
import { SigningKey } from "../protocol/signed-key/signing-key.ts";

/** How long a link counts. */
const HOUR_SECONDS = 3600;

/** Path of the secret that signs the demo's share links. */
export function secretPath(directory: string): string {
  return join(directory, "share-links.secret");
}

/** Writes a new secret, as `sidelane key generate --algorithm hmac` does. */
export function writeSecret(directory: string): void {
  writeFileSync(secretPath(directory), `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600 });
}

/** A routing key that counts for an hour, as `sidelane key sign` makes them. */
function signedKey(directory: string, key: string): string {
  const by = readSigningKey("k1", "hmac", readFileSync(secretPath(directory)));
  if (!(by instanceof SigningKey)) throw new Error(`the secret for share links ${by.problem}`);
  return signKey({ key, expiresAtSeconds: Math.floor(Date.now() / 1000) + HOUR_SECONDS, by });
}

/** The link that opens the shop's page in a sandbox. `edge`: `host:port` of the front's edge listener. */
export function shareLink(edge: string, directory: string, key: string): string {
  return `http://${edge}/?sidelane=${signedKey(directory, key)}`;
}
