import fc from "fast-check";
import { expect, test } from "vitest";
import { signKey } from "./sign-key.ts";
import { forge, keyOf, makePair, verifyText } from "./testing.ts";
import { verifyKey } from "./verify-key.ts";

const secret = keyOf("k1", "hmac", "s".repeat(32));
const ed25519 = keyOf("k2", "ed25519", makePair().privateKey);
const keys = [secret, ed25519];
const signers = fc.constantFrom(...keys);
/** Printable, as a key of a table is. */
const routingKeys = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 60 })
  .filter((text) => /^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(text));
const seconds = fc.integer({ min: 1, max: 253_402_300_799 });

test("whatever is signed is accepted until it expires, and never after", () => {
  fc.assert(
    fc.property(routingKeys, seconds, signers, fc.integer({ min: 0, max: 1e9 }), (key, exp, by, other) => {
      const token = signKey({ key, expiresAtSeconds: exp, by });
      expect(token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/u);
      fc.pre(token.length <= 1024);
      const good = { ok: true, key, keyBytes: new TextEncoder().encode(key), expiresAtSeconds: exp, signedBy: by.id };
      expect(verifyText(token, keys, exp - 1)).toEqual(good);
      expect(verifyText(token, keys, Math.max(0, exp - 1 - other))).toEqual(good);
      expect(verifyText(token, keys, exp + other)).toMatchObject({ ok: false, why: "expired" });
    }),
  );
});

test("any other bytes in the place of some are refused", () => {
  fc.assert(
    fc.property(
      ...[signers, fc.nat(), fc.nat({ max: 8 }), fc.uint8Array({ maxLength: 8 })],
      (by, place, cut, bytes) => {
        const token = Buffer.from(signKey({ key: "pr-7", expiresAtSeconds: 9, by }));
        const at = place % token.length;
        const changed = Buffer.concat([token.subarray(0, at), bytes, token.subarray(at + cut)]);
        fc.pre(!changed.equals(token));
        expect(verifyKey(changed, 0, changed.length, keys, 1).ok).toBe(false);
      },
    ),
    { numRuns: 1000 },
  );
});

test("garbage never throws and never passes", () => {
  const word = fc.oneof(
    fc.base64String(),
    fc.json().map((text) => Buffer.from(text).toString("base64url")),
  );
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 1100 }),
    fc.array(word, { minLength: 2, maxLength: 4 }).map((words) => Buffer.from(words.join("."))),
  );
  fc.assert(
    fc.property(garbage, (bytes) => {
      const verified = verifyKey(bytes, 0, bytes.length, keys, 1);
      expect(verified.ok ? "accepted" : verified.detail).toMatch(
        /^The sign[\w ]+[^]*(?:ask for a new link|a new one)$/u,
      );
    }),
    { numRuns: 1000 },
  );
});

test("duplicate members are found, and only those, in any JSON", () => {
  const header = { alg: "HS256", typ: "sidelane+jwt", kid: "k1" };
  fc.assert(
    fc.property(fc.json({ maxDepth: 3 }), (json) => {
      const claims = (more: string): string => `{"sub":"pr-7","exp":9,"x":${json}${more}}`;
      const [good, twice] = [forge(header, claims(""), secret), forge(header, claims(`,"x":1`), secret)];
      fc.pre(twice.length <= 1024);
      expect(verifyText(good, keys, 1)).toMatchObject({ ok: true });
      expect(verifyText(twice, keys, 1)).toMatchObject({ ok: false, why: "malformed" });
    }),
  );
});
