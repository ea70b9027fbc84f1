// Whether a token is a routing key that somebody may use now. Guarantees:
//
// - What a token says about itself decides nothing: its `kid` names one of our keys, whose own algorithm it then has to have.
//   There is no `none`, and no public key is ever taken for a secret (RFC 8725 §3.1).
// - No claim is read before the signature has been found good.
// - No token has two spellings: one that was changed anywhere is refused, even where the change would mean nothing.
// - It never throws, whatever the bytes are.

import { Buffer } from "node:buffer";
import { TOKEN_BYTES_MAX, TOKEN_TYPE } from "./sign-key.ts";
import type { SigningKey } from "./signing-key.ts";
import { decodeBytes, decodeObject } from "./token-part.ts";

/** A routing key that counts, or the reason why not. */
export type Verified =
  | {
      readonly ok: true;
      readonly key: string;
      /** The same in UTF-8: a token is verified once and its key written many times. */
      readonly keyBytes: Uint8Array;
      /** Seconds since the epoch, the first at which it no longer counts. */
      readonly expiresAtSeconds: number;
      /** Id of the signing key. */
      readonly signedBy: string;
    }
  | {
      readonly ok: false;
      readonly why: "malformed" | "unknown-signer" | "bad-signature" | "expired";
      /** A sentence for the person who holds the link; no full stop, for what answers add behind it. */
      readonly detail: string;
    };

/** End of the year 9999, the last that a date can be written with. */
const SECONDS_MAX = 253_402_300_799;

/** Verifies the token `bytes[start, end)`. `nowSeconds`: since the epoch. */
export function verifyKey(
  bytes: Uint8Array,
  start: number,
  end: number,
  keys: readonly SigningKey[],
  nowSeconds: number,
): Verified {
  if (end - start > TOKEN_BYTES_MAX) return malformed(`it has more than ${TOKEN_BYTES_MAX} bytes`);
  const token = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
  const parts = token.split(".");
  if (parts.length !== 3) return malformed("it does not have three parts with dots between them");
  const [header = "", claims = "", signature = ""] = parts;

  const fields = decodeObject(header);
  if (fields === undefined) return malformed("its first part cannot be read");
  const { alg, typ, kid } = fields;
  if (typ !== TOKEN_TYPE) return malformed(`it is a token for something else, its typ is not ${TOKEN_TYPE}`);
  // RFC 7515 §4.1.11: whoever does not understand an extension that is critical must not accept the token; we have none.
  if (Object.hasOwn(fields, "crit")) return malformed("it asks for extensions that Sidelane does not have (crit)");
  if (typeof kid !== "string") return malformed("it does not name its signing key (kid)");
  const signed = decodeBytes(signature);
  if (signed === undefined) return malformed("its last part cannot be read");

  const by = keys.find(({ id }) => id === kid);
  if (by === undefined) {
    const named = /^[\w.-]{1,64}$/u.test(kid) ? ` ${kid}` : "";
    const detail = `The signed key names a signing key${named} that is not accepted here: ask for a new link`;
    return { ok: false, why: "unknown-signer", detail };
  }
  const data = Buffer.from(token.slice(0, -signature.length - 1), "latin1");
  if (!by.isNamed(alg) || !by.verify(data, signed)) {
    const detail = `The signature is not one of ${by.id}: copy the whole link, unchanged, or ask for a new one`;
    return { ok: false, why: "bad-signature", detail };
  }
  return readClaims(claims, by.id, nowSeconds);
}

/** The id of the signing key that a token names, unverified; undefined when it names none. For choosing a key by hand. */
export function namedSigner(token: string): string | undefined {
  const kid = decodeObject(token.split(".", 1)[0] ?? "")?.["kid"];
  return typeof kid === "string" ? kid : undefined;
}

function readClaims(part: string, signedBy: string, nowSeconds: number): Verified {
  const claims = decodeObject(part);
  if (claims === undefined) return malformed("its second part cannot be read");
  const { sub, exp } = claims;
  // Printable, as every key that a table can have.
  if (typeof sub !== "string" || !/^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(sub))
    return malformed("it holds no routing key (sub)");
  if (typeof exp !== "number" || !Number.isInteger(exp) || exp < 0 || exp > SECONDS_MAX) {
    return malformed("it does not say in whole seconds when it expires (exp)");
  }
  // These restrict a token to some receiver or time; not to look at them would be to widen it (RFC 7519 §4.1.3, §4.1.5).
  for (const name of ["aud", "nbf"]) {
    if (Object.hasOwn(claims, name))
      return malformed(`it is restricted in a way that Sidelane does not check (${name})`);
  }
  if (nowSeconds >= exp) {
    const date = new Date(exp * 1000).toISOString().slice(0, 16).replace("T", " ");
    return { ok: false, why: "expired", detail: `The signed key expired on ${date} UTC: ask for a new link` };
  }
  return { ok: true, key: sub, keyBytes: new TextEncoder().encode(sub), expiresAtSeconds: exp, signedBy };
}

function malformed(what: string): Verified {
  const detail = `The signed key is damaged, ${what}: copy the whole link, or ask for a new one`;
  return { ok: false, why: "malformed", detail };
}
