import { Buffer } from "node:buffer";
import type { SigningKey } from "./signing-key.ts";
import { encodeObject } from "./token-part.ts";

/** `typ` of a signed routing key: a token made for something else is none (RFC 8725 §3.11). */
export const TOKEN_TYPE = "sidelane+jwt";
/** Longest token: a header or a URL holds it, and a flood of them costs little. */
export const TOKEN_BYTES_MAX = 1024;

/** What is signed, until when it counts (seconds since the epoch), and with what. */
export interface KeyToSign {
  readonly key: string;
  readonly expiresAtSeconds: number;
  readonly by: SigningKey;
}

/**
 * A routing key as a signed token: a JWT (RFC 7519) in the compact form of RFC 7515 §3.1. Throws when `by` cannot sign. One
 * that is longer than `TOKEN_BYTES_MAX` is nothing that `verifyKey` accepts.
 */
export function signKey({ key, expiresAtSeconds, by }: KeyToSign): string {
  const header = encodeObject({ alg: by.algorithmName, typ: TOKEN_TYPE, kid: by.id });
  const signed = `${header}.${encodeObject({ sub: key, exp: expiresAtSeconds })}`;
  return `${signed}.${by.sign(Buffer.from(signed)).toString("base64url")}`;
}
