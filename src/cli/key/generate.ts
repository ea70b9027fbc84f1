import { RefusedError } from "../../base/refused-error.ts";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import type { ExitCode, FlagValues } from "../command.ts";

/** As many as the hash has (RFC 7518 §3.2). */
const SECRET_BYTES = 32;

/** `sidelane key generate`: writes a new signing key. */
export function generateCommand(flags: FlagValues): ExitCode {
  const file = String(flags["out"]);
  if (flags["algorithm"] === "hmac") {
    // As text: it goes through mails, environment variables and Kubernetes secrets undamaged.
    writeNew(file, `${randomBytes(SECRET_BYTES).toString("base64url")}\n`, 0o600);
    process.stdout.write(`${file}: the secret, for those who sign and for tenancy.edge.signedBy\n`);
    return 0;
  }
  const { publicKey, privateKey } = generateKeyPairSync("ed25519", {
    publicKeyEncoding: { format: "pem", type: "spki" },
    privateKeyEncoding: { format: "pem", type: "pkcs8" },
  });
  const publicFile = `${file}.pub`;
  writeNew(publicFile, publicKey, 0o644);
  try {
    writeNew(file, privateKey, 0o600);
  } catch (error) {
    rmSync(publicFile);
    throw error;
  }
  process.stdout.write(
    `${file}: the private key, for those who sign\n${publicFile}: the public key, for tenancy.edge.signedBy\n`,
  );
  return 0;
}

const causes: Readonly<Record<string, string>> = {
  ENOENT: "there is no such directory, make it first or choose another",
  ENOTDIR: "what should be its directory is a file, choose another",
  EACCES: "no permission to write there, choose another directory",
  EROFS: "the file system is read-only, choose another directory",
};

function writeNew(file: string, content: string, mode: number): void {
  try {
    writeFileSync(file, content, { mode, flag: "wx" });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") throw new RefusedError(`${file}: is there already and stays as it is, choose another name`);
    const cause = causes[code ?? ""] ?? `choose another place (${code ?? String(error)})`;
    throw new RefusedError(`${file}: cannot be written, ${cause}`);
  }
}
