import { Buffer, isUtf8 } from "node:buffer";
import { type KeyObject, createPrivateKey, createPublicKey, createSecretKey } from "node:crypto";
import { type SigningAlgorithm, SigningKey } from "./signing-key.ts";

/** Why a file cannot be a signing key. The sentence is: the file's name, `problem`, `hint`. */
export interface KeyFault {
  readonly problem: string;
  readonly hint: string;
}

/** RFC 7518 §3.2: a secret is at least as long as the hash. */
const SECRET_BYTES_MIN = 32;

/**
 * The signing key in the bytes of a file. For `hmac` the bytes are the secret, as they are; of a text the final line end
 * does not count, since editors add one. For `ed25519` they are PEM: a public key (SPKI) to verify, or a private one
 * (PKCS #8) to sign and verify.
 */
export function readSigningKey(id: string, algorithm: SigningAlgorithm, bytes: Uint8Array): SigningKey | KeyFault {
  return algorithm === "hmac" ? readSecret(id, bytes) : readEd25519(id, bytes);
}

/** As `readSigningKey`, for who only verifies: what could sign as well is refused where there is something that cannot. */
export function readVerifyingKey(id: string, algorithm: SigningAlgorithm, bytes: Uint8Array): SigningKey | KeyFault {
  const key = readSigningKey(id, algorithm, bytes);
  if (!(key instanceof SigningKey) || algorithm === "hmac" || !key.canSign) return key;
  return {
    problem: "holds a private key, whoever can read it can sign, and the public one is enough here",
    hint: "write the public one: openssl pkey -in this.key -pubout",
  };
}

function readSecret(id: string, bytes: Uint8Array): SigningKey | KeyFault {
  // A public key taken for a secret is the classic confusion: everybody may know it (RFC 8725 §2.1).
  if (pemLabels(bytes).length > 0) {
    return {
      problem: "is PEM, and the algorithm hmac wants a secret",
      hint: "write algorithm: ed25519, or the path of a secret",
    };
  }
  const secret = withoutLineEnd(bytes);
  if (secret.length < SECRET_BYTES_MIN) {
    const has = secret.length === 0 ? "is empty" : `has ${secret.length} bytes`;
    return {
      problem: `${has}, a secret has at least ${SECRET_BYTES_MIN}`,
      hint: "write one with: sidelane key generate --algorithm hmac",
    };
  }
  const key = createSecretKey(secret);
  return new SigningKey(id, "hmac", key, key);
}

/** A file of random bytes ends with what looks like a line end once in 256 times; so that only counts in a text. */
function withoutLineEnd(bytes: Uint8Array): Uint8Array {
  if (bytes.at(-1) !== 0x0a || !isUtf8(bytes)) return bytes;
  const text = bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1);
  return text.every((byte) => byte >= 0x20 && byte !== 0x7f) ? text : bytes;
}

function readEd25519(id: string, bytes: Uint8Array): SigningKey | KeyFault {
  const labels = pemLabels(bytes);
  const generate = "write one with: sidelane key generate --algorithm ed25519";
  if (labels.includes("ENCRYPTED PRIVATE KEY")) {
    return {
      problem: "is locked with a passphrase",
      hint: "write one without: openssl pkey -in this.key -out plain.key",
    };
  }
  if (labels.includes("OPENSSH PRIVATE KEY")) return { problem: "is a key in the form of OpenSSH", hint: generate };
  const isPrivate = labels.some((label) => label.endsWith("PRIVATE KEY"));
  if (!isPrivate && !labels.includes("PUBLIC KEY")) {
    if (labels.includes("CERTIFICATE")) {
      return {
        problem: "is a certificate",
        hint: "write its public key: openssl x509 -in this.crt -noout -pubkey",
      };
    }
    return {
      problem: bytes.length === 0 ? "is empty" : "is not PEM, there is no line -----BEGIN PUBLIC KEY-----",
      hint: generate,
    };
  }
  const pem = Buffer.from(bytes);
  let key: KeyObject;
  try {
    key = isPrivate ? createPrivateKey(pem) : createPublicKey(pem);
  } catch {
    return { problem: "holds a key that cannot be read", hint: "was it cut off? write it again" };
  }
  if (key.asymmetricKeyType !== "ed25519") {
    return { problem: `is a key for ${key.asymmetricKeyType ?? "something else"}, not for ed25519`, hint: generate };
  }
  return isPrivate
    ? new SigningKey(id, "ed25519", createPublicKey(key), key)
    : new SigningKey(id, "ed25519", key, undefined);
}

/** What the file says it holds, when it is PEM (RFC 7468). */
function pemLabels(bytes: Uint8Array): readonly string[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  return [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/gu)].map(([, label = ""]) => label);
}
