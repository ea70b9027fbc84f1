import { RefusedError } from "../../base/refused-error.ts";
import { type KeyFault, readSigningKey, readVerifyingKey } from "../../protocol/signed-key/read-signing-key.ts";
import { type SigningAlgorithm, SigningKey } from "../../protocol/signed-key/signing-key.ts";
import { readFile } from "../read-file.ts";

/**
 * The signing key in a file. `algorithm`: as the flag has it; without one, by what the file holds: PEM is for Ed25519, all else
 * a secret.
 */
export function readKeyFile(id: string, algorithm: SigningAlgorithm | undefined, file: string): SigningKey {
  const bytes = readFile(file);
  const held = bytes.includes("-----BEGIN ") ? "ed25519" : "hmac";
  if (algorithm !== undefined && algorithm !== held && bytes.length > 0) {
    const what =
      held === "ed25519" ? "is PEM, and hmac wants a secret" : "is not PEM, and ed25519 wants a private key in PEM";
    throw new RefusedError(`${file}: ${what}, write --algorithm ${held} or leave it out, or name another file`);
  }
  return found(file, readSigningKey(id, algorithm ?? held, bytes));
}

/** The signing key in a file that a sidecar's config names, if the sidecar would take it. */
export function readSidecarKeyFile(id: string, algorithm: SigningAlgorithm, file: string): SigningKey {
  return found(file, readVerifyingKey(id, algorithm, readFile(file)));
}

function found(file: string, key: SigningKey | KeyFault): SigningKey {
  if (key instanceof SigningKey) return key;
  throw new RefusedError(`${file}: ${key.problem}, ${key.hint}`);
}
