import { describe, expect, test } from "vitest";
import { silentLog } from "../base/log.ts";
import type { Identification } from "./auth.ts";
import { Credentials } from "./credentials.ts";
import { KubernetesTokens, fits } from "./kubernetes-tokens.ts";
import type { TokenReviewer } from "./kubernetes-tokens.ts";

const NOW = 1_800_000_000_000;
const roles = [
  { name: "system:serviceaccount:sidelane:sidelane-operator", role: "editor" },
  { name: "system:serviceaccount:*:*", role: "sidecar" },
] as const;

/** Unsigned: who believes it is the reviewer's business. */
function tokenOf(
  user: string,
  { aud = ["sidelane"], lastsMs = 3_600_000 }: { aud?: unknown; lastsMs?: number } = {},
): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part({ aud, exp: (NOW + lastsMs) / 1000, sub: user })}.c2ln`;
}

/** An API server that takes tokens at their word, as long as it is there. */
class ApiServer {
  asked: string[] = [];
  down = false;
  readonly deleted = new Set<string>();
  nowMs = NOW;
  readonly tokens = new KubernetesTokens({ audience: "sidelane", roles }, (...of) => this.review(...of), silentLog, {
    now: () => this.nowMs,
  });

  readonly review: TokenReviewer = async (token, audience) => {
    const { sub } = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as { sub: string };
    this.asked.push(`${sub} ${audience}`);
    await Promise.resolve();
    if (this.down) throw new Error("the Kubernetes API gave no answer");
    return this.deleted.has(sub) ? undefined : { name: sub };
  };

  async identify(token: string): Promise<Identification> {
    return this.tokens.identify(token, "10.0.0.1");
  }
}

const checkout = "system:serviceaccount:shop:checkout";
const operator = "system:serviceaccount:sidelane:sidelane-operator";

describe("a token of the cluster", () => {
  test("has the role of the first pattern that fits", async () => {
    const api = new ApiServer();
    expect(await api.identify(tokenOf(operator))).toEqual({ name: operator, role: "editor", replica: false });
    expect(await api.identify(tokenOf(checkout))).toEqual({ name: checkout, role: "sidecar", replica: false });
    expect(await api.identify(tokenOf("ada@example.com"))).toEqual({
      refused: 'auth.kubernetes.roles has no role for "ada@example.com"',
    });
    expect(api.asked).toEqual([`${operator} sidelane`, `${checkout} sidelane`, "ada@example.com sidelane"]);
  });

  test("is asked about once in ten minutes, and once by many", async () => {
    const api = new ApiServer();
    const token = tokenOf(checkout);
    await Promise.all(Array.from({ length: 5 }, () => api.identify(token)));
    api.nowMs += 9 * 60_000;
    expect(api.tokens.identify(token, "10.0.0.1")).toMatchObject({ name: checkout });
    expect(api.asked).toHaveLength(1);
    api.nowMs += 2 * 60_000;
    api.deleted.add(checkout);
    expect(await api.identify(token)).toMatchObject({ refused: expect.stringContaining("not known here") as string });
    expect(api.asked).toHaveLength(2);
  });

  test("that was refused is not asked about again for a while", async () => {
    const api = new ApiServer();
    api.deleted.add(checkout);
    const token = tokenOf(checkout);
    for (let i = 0; i < 5; i++) expect(await api.identify(token)).toHaveProperty("refused");
    expect(api.asked).toHaveLength(1);
    api.deleted.clear();
    api.nowMs += 11_000;
    expect(await api.identify(token)).toMatchObject({ name: checkout });
  });

  test("without an API server: known ones go on until they expire, others may try again", async () => {
    const api = new ApiServer();
    const token = tokenOf(checkout);
    await api.identify(token);
    api.down = true;
    api.nowMs += 30 * 60_000;
    expect(await api.identify(token)).toMatchObject({ name: checkout });
    expect(await api.identify(tokenOf(operator))).toEqual({
      refused:
        "whose the token is cannot be said at the moment: the Kubernetes API cannot be asked about it; try again",
      because: "unavailable",
    });
    api.nowMs += 31 * 60_000;
    expect(await api.identify(token)).toMatchObject({ because: "expired" });
    api.nowMs = NOW;
    api.down = false;
    expect(await api.identify(tokenOf(operator))).toMatchObject({ name: operator });
  });

  test("for somebody else, or expired, is not asked about", async () => {
    const api = new ApiServer();
    const wrong = await api.identify(tokenOf(checkout, { aud: ["https://kubernetes.default.svc"] }));
    expect(wrong).toMatchObject({ refused: expect.stringContaining("--audience sidelane") as string });
    expect(await api.identify(tokenOf(checkout, { lastsMs: -60_000 }))).toMatchObject({ because: "expired" });
    expect(await api.identify(tokenOf(checkout, { aud: "sidelane" }))).toMatchObject({ name: checkout });
    expect(api.asked).toHaveLength(1);
  });

  test.each(["", "x", "a.b.c", "a.e30", "..", `${"a".repeat(9000)}.e30.c`, "a.bnVsbA.c"])("%s is none", (token) => {
    expect(new ApiServer().tokens.mayKnow(token)).toBe(false);
  });

  describe("only so many are asked about at once", () => {
    /** Answers nobody until `finish` is called. */
    function slow() {
      const { promise: waiting, resolve: finish } = Promise.withResolvers<void>();
      const clock = { nowMs: NOW };
      const asked = new Set<string>();
      const review: TokenReviewer = async (token) => {
        asked.add(token);
        if (asked.size > 1) await waiting;
        return { name: checkout };
      };
      const auth = { audience: "sidelane", roles };
      const tokens = new KubernetesTokens(auth, review, silentLog, { now: () => clock.nowMs });
      return { tokens, asked, clock, finish };
    }

    const unavailable = { because: "unavailable" };

    test("of one address, and others are not kept from it", async () => {
      const { tokens, asked, finish } = slow();
      const guesses = Array.from({ length: 200 }, async (_, i) => tokens.identify(tokenOf(`user-${i}`), "10.0.0.66"));
      const others = Array.from({ length: 20 }, async (_, i) => tokens.identify(tokenOf(`pod-${i}`), `10.0.1.${i}`));
      finish();
      const found = await Promise.all(guesses);
      expect(found.filter((one) => "refused" in one && one.because === "unavailable")).toHaveLength(192);
      expect(await Promise.all(others)).toEqual(Array(20).fill(expect.objectContaining({ name: checkout })));
      expect(asked.size).toBe(28);
      // The address has not used itself up.
      expect(await tokens.identify(tokenOf("later"), "10.0.0.66")).toMatchObject({ name: checkout });
    });

    test("of all, and those that were good before are asked about all the same", async () => {
      const { tokens, asked, clock, finish } = slow();
      const known = tokenOf("known");
      await tokens.identify(known, "10.0.0.1");
      const guess = (i: number): unknown => tokens.identify(tokenOf(`user-${i}`), `10.0.1.${i}`);
      const guesses = Array.from({ length: 100 }, (_, i) => guess(i));
      expect(await guesses[99]).toMatchObject(unavailable);
      expect(asked.size).toBe(1 + 48);
      clock.nowMs += 11 * 60_000;
      asked.delete(known);
      const again = tokens.identify(known, "10.0.0.1");
      expect(asked.has(known)).toBe(true);
      finish();
      expect(await again).toMatchObject({ name: checkout });
      await Promise.all(guesses);
    });
  });
});

test("tokens of the file, of the cluster, and certificates stand side by side", async () => {
  const api = new ApiServer();
  const review: TokenReviewer = (token, audience) => api.review(token, audience);
  const kubernetes = { audience: "sidelane", roles };
  const credentials = new Credentials({
    auth: { kind: "credentials", certificates: [{ name: "ci", role: "viewer" }], kubernetes },
    replicaSecret: "secret-of-this-replica",
    log: silentLog,
    reviewer: review,
  });
  expect(credentials.identify("secret-of-this-replica", undefined)).toMatchObject({ name: "replica" });
  expect(await credentials.identify(tokenOf(checkout, { lastsMs: 1e12 }), undefined)).toMatchObject({
    role: "sidecar",
  });
  expect(credentials.identify(undefined, "ci")).toMatchObject({ role: "viewer" });
  expect(credentials.identify("some-other-token", undefined)).toMatchObject({ refused: expect.any(String) as string });
  expect(credentials.identify(undefined, undefined)).toMatchObject({
    refused: expect.stringContaining("send Authorization: Bearer TOKEN, or show a client certificate") as string,
  });
});

test.each([
  ["system:serviceaccount:*:*", "system:serviceaccount:shop:checkout", true],
  ["system:serviceaccount:*:*", "system:serviceaccount:shop", false],
  ["system:serviceaccount:*:*", "system:serviceaccount:shop:a:b", false],
  ["system:serviceaccount:*", "system:serviceaccount:shop:checkout", false],
  ["system:serviceaccount:shop-*:default", "system:serviceaccount:shop-7:default", true],
  ["system:serviceaccount:shop-*:default", "system:serviceaccount:shop:default", false],
  ["a*b*c", "aXbYbZc", true],
  ["a*b*c", "ac", false],
  ["ab*ba", "aba", false],
  ["*", "ada", true],
  ["*", "", true],
  ["ada", "ada2", false],
  ["a.c", "abc", false],
])("%s and %s: %s", (pattern, name, fitting) => {
  expect(fits(pattern, name)).toBe(fitting);
});
