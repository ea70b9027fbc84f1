import { type KeyObject, createHmac, sign, timingSafeEqual, verify } from "node:crypto";

/** How routing keys are signed: with a secret that both sides have, or with a private key whose public one verifies. */
export const signingAlgorithms = ["hmac", "ed25519"] as const;

export type SigningAlgorithm = (typeof signingAlgorithms)[number];

/** Their names in a token: the one that is written first. `Ed25519` is what RFC 9864 §2.2 calls EdDSA with that curve. */
const names: Readonly<Record<SigningAlgorithm, readonly [string, ...string[]]>> = {
  hmac: ["HS256"],
  ed25519: ["EdDSA", "Ed25519"],
};

/** What an Ed25519 signature has (RFC 8032 §5.1.6). */
const ED25519_SIGNATURE_BYTES = 64;

/** A key by which routing keys are signed or verified, under the name that tokens call it by. */
export class SigningKey {
  /** `kid` of the tokens (RFC 7515 §4.1.4). */
  readonly id: string;
  readonly algorithm: SigningAlgorithm;
  /** The secret, or the public key. */
  readonly #verifier: KeyObject;
  /** The secret, or the private key; undefined when only the public one is known. */
  readonly #signer: KeyObject | undefined;

  constructor(id: string, algorithm: SigningAlgorithm, verifier: KeyObject, signer: KeyObject | undefined) {
    this.id = id;
    this.algorithm = algorithm;
    this.#verifier = verifier;
    this.#signer = signer;
  }

  /** `alg` of the tokens it signs (RFC 7518 §3.1, RFC 8037 §3.1). */
  get algorithmName(): string {
    return names[this.algorithm][0];
  }

  /** Whether a token with this `alg` may be its own. */
  isNamed(name: unknown): boolean {
    return typeof name === "string" && names[this.algorithm].includes(name);
  }

  /** It can sign, not only verify. */
  get canSign(): boolean {
    return this.#signer !== undefined;
  }

  /** The signature of the data; throws when it cannot sign. */
  sign(data: Uint8Array): Buffer {
    if (this.#signer === undefined) throw new Error(`signing key ${this.id} is a public key, which cannot sign`);
    return this.algorithm === "hmac" ? this.#hmac(data) : sign(null, data, this.#signer);
  }

  /** Whether this is its signature of the data. Takes as long for one that is nearly right as for any other. */
  verify(data: Uint8Array, signature: Uint8Array): boolean {
    if (this.algorithm === "hmac") {
      const expected = this.#hmac(data);
      return signature.length === expected.length && timingSafeEqual(signature, expected);
    }
    return signature.length === ED25519_SIGNATURE_BYTES && verify(null, data, this.#verifier, signature);
  }

  #hmac(data: Uint8Array): Buffer {
    return createHmac("sha256", this.#verifier).update(data).digest();
  }
}
