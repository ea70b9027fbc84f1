import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { signKey } from "../../protocol/signed-key/sign-key.ts";
import { SigningKey } from "../../protocol/signed-key/signing-key.ts";
import { keyOf, makePair } from "../../protocol/signed-key/testing.ts";
import { KeyVerifier } from "./key-verifier.ts";

const NOW_MS = 1_800_000_000_000;
const secret = keyOf("k1", "hmac", "0123456789abcdef0123456789abcdef");
const signed = (key: string, seconds = 3600, by = secret): string =>
  signKey({ key, expiresAtSeconds: NOW_MS / 1000 + seconds, by });

/** A verifier, and how often it had to look at a signature. */
function counting(keys = [secret]) {
  const verifier = new KeyVerifier(keys);
  const spy = vi.spyOn(SigningKey.prototype, "verify");
  const ask = (token: string, nowMs = NOW_MS): string => {
    const bytes = Buffer.from(`xx${token}yy`, "latin1");
    const verified = verifier.verify(bytes, 2, bytes.length - 2, nowMs);
    return verified.ok ? verified.key : verified.why;
  };
  const looks = (asked: () => void): number => {
    spy.mockClear();
    asked();
    return spy.mock.calls.length;
  };
  return { verifier, ask, looks };
}

describe("what is remembered", () => {
  test("a good token is verified once, until it expires", () => {
    const { ask, looks } = counting();
    const [token, other] = [signed("pr-7", 60), signed("pr-8")];
    expect(looks(() => expect([ask(token), ask(other)]).toEqual(["pr-7", "pr-8"]))).toBe(2);
    const again = (): void =>
      expect([ask(token), ask(other), ask(token, NOW_MS + 59_999)]).toEqual(["pr-7", "pr-8", "pr-7"]);
    expect(looks(again)).toBe(0);
    expect(looks(() => expect(ask(token, NOW_MS + 60_000)).toBe("expired"))).toBe(1);
    expect(looks(() => expect(ask(token, NOW_MS + 61_000)).toBe("expired"))).toBe(0);
  });

  test("a bad one too", () => {
    const { ask, looks } = counting();
    const forged = signed("pr-7", 60, keyOf("k1", "hmac", "x".repeat(32)));
    expect(looks(() => expect(ask(forged)).toBe("bad-signature"))).toBe(1);
    expect(looks(() => expect(ask(forged, NOW_MS + 1e9)).toBe("bad-signature"))).toBe(0);
  });

  test("a token that had expired by a wrong clock is good again when the clock is", () => {
    const { ask } = counting();
    const token = signed("pr-7", 60);
    expect(ask(token, NOW_MS + 1e9)).toBe("expired");
    expect(ask(token)).toBe("pr-7");
    expect(ask(token, NOW_MS + 1e9)).toBe("expired");
  });

  test("garbage, however much of it, pushes no good one out", () => {
    const { ask, looks } = counting();
    const token = signed("pr-7");
    ask(token);
    for (let i = 0; i < 5000; i++) ask(`garbage.${i}`);
    expect(looks(() => expect(ask(token)).toBe("pr-7"))).toBe(0);
  });

  test("of more good ones than have room the oldest goes", () => {
    const { ask, looks } = counting();
    const tokens = Array.from({ length: 1001 }, (_, index) => signed(`pr-${index}`));
    expect(looks(() => tokens.forEach((token) => ask(token)))).toBe(1001);
    expect(looks(() => tokens.slice(1).forEach((token) => ask(token)))).toBe(0);
    expect(looks(() => expect(ask(tokens[0] ?? "")).toBe("pr-0"))).toBe(1);
  });
});

test("only the exact bytes are the same token, even with the same end", () => {
  const { ask } = counting();
  const token = signed("pr-7");
  expect(ask(token)).toBe("pr-7");
  for (let at = 0; at < token.length; at++) {
    expect(ask(`${token.slice(0, at)}${token[at] === "A" ? "B" : "A"}${token.slice(at + 1)}`)).not.toBe("pr-7");
    if (at > 0) expect(ask(token.slice(at))).not.toBe("pr-7");
  }
  expect(ask(`A${token}`)).not.toBe("pr-7");
  expect(ask(token)).toBe("pr-7");
});

test("with other keys everything is judged anew", () => {
  const pair = makePair();
  const { verifier, ask } = counting();
  const [old, fresh] = [signed("pr-7"), signed("pr-7", 60, keyOf("k2", "ed25519", pair.privateKey))];
  expect([ask(old), ask(fresh)]).toEqual(["pr-7", "unknown-signer"]);
  verifier.useKeys([secret, keyOf("k2", "ed25519", pair.publicKey)]);
  expect([ask(old), ask(fresh)]).toEqual(["pr-7", "pr-7"]);
  verifier.useKeys([keyOf("k2", "ed25519", pair.publicKey)]);
  expect([ask(old), ask(fresh)]).toEqual(["unknown-signer", "pr-7"]);
});

test("in any order of questions the answers are those of a verifier without a memory", () => {
  const forger = keyOf("k1", "hmac", "f".repeat(32));
  const tokens = [1, 20, 300].flatMap((seconds) => [signed("a", seconds), signed("b", seconds, forger), `x${seconds}`]);
  const question = fc.record({ token: fc.constantFrom(...tokens), afterMs: fc.integer({ min: -30_000, max: 60_000 }) });
  fc.assert(
    fc.property(fc.array(question, { maxLength: 40 }), (questions) => {
      const { ask } = counting();
      let nowMs = NOW_MS;
      for (const { token, afterMs } of questions) {
        nowMs += afterMs;
        expect(ask(token, nowMs)).toBe(counting().ask(token, nowMs));
      }
    }),
  );
});
