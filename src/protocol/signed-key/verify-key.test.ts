import { describe, expect, test } from "vitest";
import { signKey } from "./sign-key.ts";
import type { SigningKey } from "./signing-key.ts";
import { forge, keyOf, makePair, verifyText } from "./testing.ts";
import { namedSigner } from "./verify-key.ts";

const NOW = 1_800_000_000;
const LATER = NOW + 60;

const secret = keyOf("k1", "hmac", "0123456789abcdef0123456789abcdef");
const pair = makePair();
const privateKey = keyOf("k2", "ed25519", pair.privateKey);
const publicKey = keyOf("k2", "ed25519", pair.publicKey);
const keys = [secret, publicKey];

const why = (token: string, accepted: readonly SigningKey[] = keys, nowSeconds = NOW): string => {
  const verified = verifyText(token, accepted, nowSeconds);
  return verified.ok ? `ok ${verified.key}` : verified.why;
};
const detail = (token: string, nowSeconds = NOW): string => {
  const verified = verifyText(token, keys, nowSeconds);
  return verified.ok ? "" : verified.detail;
};

describe.each([
  ["hmac", secret, secret],
  ["ed25519", privateKey, publicKey],
] as const)("%s", (_name, signer, verifier) => {
  const token = signKey({ key: "pr-7", expiresAtSeconds: LATER, by: signer });

  test("what was signed is accepted until it expires", () => {
    const good = {
      ok: true,
      key: "pr-7",
      keyBytes: new TextEncoder().encode("pr-7"),
      expiresAtSeconds: LATER,
      signedBy: signer.id,
    };
    expect(verifyText(token, [verifier], NOW)).toEqual(good);
    expect(verifyText(token, [verifier], LATER - 1)).toEqual(good);
    expect(verifyText(token, [verifier], LATER)).toEqual({
      ok: false,
      why: "expired",
      detail: "The signed key expired on 2027-01-15 08:01 UTC: ask for a new link",
    });
  });

  test("a token that was changed at any place, in any way, is refused", () => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\0\u00e9";
    for (let at = 0; at < token.length; at++) {
      for (const other of alphabet) {
        if (other === token[at]) continue;
        expect(verifyText(token.slice(0, at) + other + token.slice(at + 1), [verifier], NOW).ok).toBe(false);
      }
      expect(verifyText(token.slice(0, at) + token.slice(at + 1), [verifier], NOW).ok).toBe(false);
      expect(verifyText(token.slice(0, at), [verifier], NOW).ok).toBe(false);
    }
  });

  test("the key of another is refused", () => {
    const other = signer.algorithm === "hmac" ? keyOf(signer.id, "hmac", "x".repeat(32)) : undefined;
    const stranger = other ?? keyOf(signer.id, "ed25519", makePair().privateKey);
    expect(why(token, [stranger])).toBe("bad-signature");
  });
});

describe("a token decides nothing about how it is verified", () => {
  const claims = { sub: "pr-7", exp: LATER };
  const header = { alg: "HS256", typ: "sidelane+jwt", kid: "k1" };

  test("the unchanged forgery is good, so the others fail for their own reason", () => {
    expect(why(forge(header, claims, secret))).toBe("ok pr-7");
  });

  test.each([["none"], ["None"], ["HS512"], ["hs256"], ["EdDSA"], [undefined], [["HS256"]], [{}]])(
    "alg %j for an HMAC key",
    (alg) => {
      expect(why(forge({ ...header, alg }, claims, secret))).toBe("bad-signature");
    },
  );

  test("alg none without a signature", () => {
    const [head, body] = forge({ ...header, alg: "none" }, claims, secret).split(".");
    expect(why(`${head}.${body}.`)).toBe("bad-signature");
  });

  test("the public key as a secret", () => {
    const confused = keyOf("k2", "hmac", Buffer.from(pair.publicKey).toString("base64"));
    expect(why(forge({ ...header, kid: "k2" }, claims, confused))).toBe("bad-signature");
    expect(why(forge({ ...header, kid: "k2", alg: "EdDSA" }, claims, confused))).toBe("bad-signature");
  });

  test("both names of EdDSA with Ed25519, and keys that the token brings with it", () => {
    const ed = { alg: "Ed25519", typ: "sidelane+jwt", kid: "k2" };
    expect(why(forge(ed, claims, privateKey))).toBe("ok pr-7");
    const own = keyOf("k2", "ed25519", makePair().privateKey);
    expect(why(forge({ ...ed, jwk: { kty: "OKP", crv: "Ed25519", x: "AA" } }, claims, own))).toBe("bad-signature");
  });
});

describe("what is malformed", () => {
  const head = `"alg":"HS256","typ":"sidelane+jwt","kid":"k1"`;
  const body = `"sub":"pr-7","exp":${LATER}`;
  const good = `{${head}}`;

  test.each([
    ["another type", `{"alg":"HS256","typ":"JWT","kid":"k1"}`, "its typ is not sidelane+jwt"],
    ["the type in other letters", `{"alg":"HS256","typ":"SIDELANE+JWT","kid":"k1"}`, "its typ is not sidelane+jwt"],
    ["no type", `{"alg":"HS256","kid":"k1"}`, "its typ is not sidelane+jwt"],
    ["no kid", `{"alg":"HS256","typ":"sidelane+jwt"}`, "signing key (kid)"],
    ["a kid that is none", `{"alg":"HS256","typ":"sidelane+jwt","kid":1}`, "signing key (kid)"],
    ["crit", `{${head},"crit":["exp"],"exp":1}`, "(crit)"],
    ["an empty crit", `{${head},"crit":[]}`, "(crit)"],
    ["alg twice", `{${head},"alg":"HS256"}`, "its first part cannot be read"],
    ["alg twice, once in disguise", String.raw`{${head},"\u0061lg":"HS256"}`, "its first part cannot be read"],
    ["something twice, further in", `{${head},"x":[{"a":1,"a":1}]}`, "its first part cannot be read"],
    ["a list", `[${good}]`, "its first part cannot be read"],
    ["null", `null`, "its first part cannot be read"],
    ["a byte order mark", `\u{feff}${good}`, "its first part cannot be read"],
    ["more behind it", `${good}{}`, "its first part cannot be read"],
    ["nothing", ``, "its first part cannot be read"],
  ])("header: %s", (_name, header, reason) => {
    const token = forge(header, `{${body}}`, secret);
    expect(why(token)).toBe("malformed");
    expect(detail(token)).toContain(reason);
  });

  test.each([
    ["no exp", `{"sub":"pr-7"}`, "(exp)"],
    ["exp as text", `{"sub":"pr-7","exp":"${LATER}"}`, "(exp)"],
    ["a part of a second", `{"sub":"pr-7","exp":${LATER}.5}`, "(exp)"],
    ["an exp beyond all time", `{"sub":"pr-7","exp":1e300}`, "(exp)"],
    ["an infinite exp", `{"sub":"pr-7","exp":1e999}`, "(exp)"],
    ["an exp before all time", `{"sub":"pr-7","exp":-1}`, "(exp)"],
    ["exp twice", `{${body},"exp":${LATER}}`, "its second part cannot be read"],
    ["sub twice", `{"sub":"pr-8",${body}}`, "its second part cannot be read"],
    ["no sub", `{"exp":${LATER}}`, "(sub)"],
    ["an empty sub", `{"sub":"","exp":${LATER}}`, "(sub)"],
    ["a list as sub", `{"sub":["pr-7"],"exp":${LATER}}`, "(sub)"],
    ["a line end in sub", String.raw`{"sub":"pr-7\n","exp":${LATER}}`, "(sub)"],
    ["half a character in sub", String.raw`{"sub":"\ud800","exp":${LATER}}`, "(sub)"],
    ["a receiver", `{${body},"aud":"shop"}`, "(aud)"],
    ["a beginning", `{${body},"nbf":1}`, "(nbf)"],
    ["nothing", "", "its second part cannot be read"],
  ])("claims: %s", (_name, claims, reason) => {
    const token = forge(good, claims, secret);
    expect(why(token)).toBe("malformed");
    expect(detail(token)).toContain(reason);
  });

  test("claims that nobody asked for do no harm, nor do colons and braces in texts", () => {
    const extra = String.raw`"iat":1,"jti":"a:b\"{:}\\","__proto__":{"sub":"pr-8"},"deep":[[{"a":{"b":[]}}],null,true]`;
    expect(why(forge(`{"x":":",${head}}`, `{${extra},${body}}`, secret))).toBe("ok pr-7");
    expect(why(forge(` {\n ${head}\t} `, `{${body}}`, secret))).toBe("ok pr-7");
    expect(why(forge(good, `{"sub":"käse und brot","exp":${LATER}}`, secret))).toBe("ok käse und brot");
  });

  test("what is not UTF-8", () => {
    const header = Buffer.from(`{${head},"x":"é"}`, "latin1").toString("base64url");
    expect(why(`${header}.e30.e30`)).toBe("malformed");
  });

  test.each([
    ["pr-7", "three parts"],
    ["", "three parts"],
    ["..", "first part"],
    ["...", "three parts"],
  ])("%j is no token", (token, reason) => {
    expect(why(token)).toBe("malformed");
    expect(detail(token)).toContain(reason);
  });

  test("the length is bounded, signature good or not", () => {
    const longest = Math.floor(((1024 - 43 - 2) * 3) / 4) - good.length - `{${body},"x":""}`.length - 1;
    const token = (length: number): string => forge(good, `{${body},"x":"${"y".repeat(length)}"}`, secret);
    expect(token(longest).length).toBeLessThanOrEqual(1024);
    expect(why(token(longest))).toBe("ok pr-7");
    expect(token(longest + 3).length).toBeGreaterThan(1024);
    expect(why(token(longest + 3))).toBe("malformed");
    expect(detail(token(9000))).toContain("more than 1024 bytes");
  });

  test("deeply nested values", () => {
    expect(why(forge(`{${head},"x":${"[".repeat(300)}${"]".repeat(300)}}`, `{${body}}`, secret))).toBe("ok pr-7");
  });
});

describe("rotation", () => {
  const old = keyOf("k1", "hmac", "o".repeat(32));
  const fresh = keyOf("k3", "hmac", "f".repeat(32));
  const ofOld = signKey({ key: "pr-7", expiresAtSeconds: LATER, by: old });
  const ofFresh = signKey({ key: "pr-7", expiresAtSeconds: LATER, by: fresh });

  test("while both are accepted, so are the tokens of both; afterwards those of the new one", () => {
    expect([why(ofOld, [old]), why(ofFresh, [old])]).toEqual(["ok pr-7", "unknown-signer"]);
    expect([why(ofOld, [fresh, old]), why(ofFresh, [fresh, old])]).toEqual(["ok pr-7", "ok pr-7"]);
    expect([why(ofOld, [fresh]), why(ofFresh, [fresh])]).toEqual(["unknown-signer", "ok pr-7"]);
    expect(why(ofOld, [])).toBe("unknown-signer");
  });

  test("the sentence names the signing key only when its name is harmless", () => {
    expect(detail(ofFresh)).toBe("The signed key names a signing key k3 that is not accepted here: ask for a new link");
    const odd = forge({ alg: "HS256", typ: "sidelane+jwt", kid: "<script>" }, {}, old);
    expect(detail(odd)).toBe("The signed key names a signing key that is not accepted here: ask for a new link");
  });

  test("the name of the signing key can be read before anything is verified", () => {
    expect(namedSigner(ofFresh)).toBe("k3");
    expect([namedSigner(""), namedSigner("pr-7"), namedSigner("e30.e30.e30")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});
