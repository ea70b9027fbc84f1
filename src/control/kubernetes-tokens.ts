// Who has a token of the cluster: asked of the API server by TokenReview, and remembered. Guarantees:
//
// - A token that was good is taken for ten minutes without a question (so it is that long at most until a deleted ServiceAccount or
//   pod is noticed), and while the API server cannot be asked for as long as the token says itself that it lasts.
// - One that is not known is refused while the API server cannot be asked, as something that is worth trying again.
// - Guesses cost the API server little: what is no token of a cluster, or one for somebody else, is not asked about; one that was
//   refused is not asked about again for a while; only so many are asked about at a time.
// - They cost others little: few of one address are asked about at a time, and all guesses together leave room for those that were
//   good before.
// - Tokens are not kept, their SHA-256 digests are.

import { createHash } from "node:crypto";
import type { Log } from "../base/log.ts";
import type { KubernetesAuth, Role } from "../config/control-config.ts";
import type { Identification } from "./auth.ts";

/** Asks who has a token; undefined: nobody, or not for this audience. Rejects when nobody can say. */
export type TokenReviewer = (token: string, audience: string) => Promise<{ readonly name: string } | undefined>;

/** Tests have shorter ones. */
export interface KubernetesTokenTimes {
  readonly freshMs: number;
  readonly refusedMs: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

const defaults: KubernetesTokenTimes = { freshMs: 10 * 60_000, refusedMs: 10_000, now: () => Date.now() };

const TOKEN_LENGTH_MAX = 8192;
/** Sidecars of a large cluster, each with a token. */
const KNOWN_MAX = 50_000;
const REFUSED_MAX = 10_000;
const REVIEWS_MAX = 64;
/** Of tokens that were not good before. */
const NEW_REVIEWS_MAX = 48;
/** Of these, from one address: there may be several pods at one, and some hundred reviews a second are answered. */
const PEER_REVIEWS_MAX = 8;
/** Clocks of the cluster and here differ. */
const SKEW_MS = 30_000;

interface Known {
  readonly name: string;
  readonly reviewedMs: number;
  readonly expiresMs: number;
}

/** What the token says of itself; nothing of it is believed before the API server has said that it is good. */
interface Claims {
  readonly audiences: readonly string[];
  readonly expiresMs: number;
}

export class KubernetesTokens {
  readonly #auth: KubernetesAuth;
  readonly #review: TokenReviewer;
  readonly #log: Log;
  readonly #times: KubernetesTokenTimes;
  readonly #known = new Map<string, Known>();
  readonly #refused = new Map<string, number>();
  readonly #asking = new Map<string, Promise<Identification>>();
  /** Tokens that were not good before and are asked about, by the address they came from. */
  readonly #guesses = new Map<string, number>();
  #unreachable = false;

  constructor(auth: KubernetesAuth, review: TokenReviewer, log: Log, times: Partial<KubernetesTokenTimes> = {}) {
    this.#auth = auth;
    this.#review = review;
    this.#log = log;
    this.#times = { ...defaults, ...times };
  }

  /** Whether it looks like a token of a cluster. */
  mayKnow(token: string): boolean {
    return token.length <= TOKEN_LENGTH_MAX && claimsIn(token) !== undefined;
  }

  /** `peer`: the address that it came from. */
  identify(token: string, peer: string): Identification | Promise<Identification> {
    const claims = claimsIn(token);
    if (claims === undefined) return unknown;
    const nowMs = this.#times.now();
    if (claims.expiresMs + SKEW_MS <= nowMs) {
      return {
        refused: "the token has expired; read the file again, or make one with kubectl create token",
        because: "expired",
      };
    }
    const { audience } = this.#auth;
    if (!claims.audiences.includes(audience)) {
      return {
        refused: `the token is not made for this control plane: its audience has to be ${audience}, as in kubectl create token NAME --audience ${audience}`,
      };
    }
    const digest = createHash("sha256").update(token).digest("base64");
    const known = this.#known.get(digest);
    if (known !== undefined && nowMs - known.reviewedMs < this.#times.freshMs) return this.#identity(known.name);
    if (nowMs - (this.#refused.get(digest) ?? -Infinity) < this.#times.refusedMs) return unknown;
    const asked = this.#asking.get(digest);
    if (asked !== undefined) return asked;
    if (known === undefined) return this.#guess(token, digest, claims, peer);
    if (this.#asking.size >= REVIEWS_MAX) return this.#identity(known.name);
    return this.#asked(token, digest, claims, () => {});
  }

  #guess(token: string, digest: string, claims: Claims, peer: string): Identification | Promise<Identification> {
    const ofPeer = this.#guesses.get(peer) ?? 0;
    if (ofPeer >= PEER_REVIEWS_MAX) return unavailable("too many tokens of this address are asked about at once");
    if (this.#asking.size >= NEW_REVIEWS_MAX) return unavailable("too many tokens are asked about at once");
    this.#guesses.set(peer, ofPeer + 1);
    return this.#asked(token, digest, claims, () => {
      const left = (this.#guesses.get(peer) ?? 1) - 1;
      if (left === 0) this.#guesses.delete(peer);
      else this.#guesses.set(peer, left);
    });
  }

  #asked(token: string, digest: string, claims: Claims, after: () => void): Promise<Identification> {
    const asking = this.#ask(token, digest, claims).finally(() => {
      this.#asking.delete(digest);
      after();
    });
    this.#asking.set(digest, asking);
    return asking;
  }

  async #ask(token: string, digest: string, { expiresMs }: Claims): Promise<Identification> {
    const known = this.#known.get(digest);
    try {
      const user = await this.#review(token, this.#auth.audience);
      if (this.#unreachable) this.#log.info("the Kubernetes API can be asked about tokens again");
      this.#unreachable = false;
      if (user === undefined) {
        this.#known.delete(digest);
        keep(this.#refused, digest, this.#times.now(), REFUSED_MAX);
        return unknown;
      }
      keep(this.#known, digest, { name: user.name, reviewedMs: this.#times.now(), expiresMs }, KNOWN_MAX);
      return this.#identity(user.name);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (!this.#unreachable) this.#log.error("the Kubernetes API cannot be asked about tokens", { why });
      this.#unreachable = true;
      // What it was told before has not become wrong because nobody can be asked.
      return known === undefined
        ? unavailable("the Kubernetes API cannot be asked about it")
        : this.#identity(known.name);
    }
  }

  #identity(name: string): Identification {
    const role = this.#auth.roles.find((one) => fits(one.name, name))?.role;
    if (role === undefined)
      return { refused: `auth.kubernetes.roles has no role for ${JSON.stringify(name.slice(0, 200))}` };
    return { name, role: role satisfies Role, replica: false };
  }
}

const unknown: Identification = {
  refused:
    "the token is not known here; check that it is one of this cluster, and that its ServiceAccount still exists",
};

function unavailable(why: string): Identification {
  return { refused: `whose the token is cannot be said at the moment: ${why}; try again`, because: "unavailable" };
}

/** `*` stands for anything but a colon. */
export function fits(pattern: string, name: string): boolean {
  const parts = pattern.split(":");
  const given = name.split(":");
  return parts.length === given.length && parts.every((part, i) => partFits(part, given[i] ?? ""));
}

/** Each star takes as little as it can; as between two stars there is only text, that finds a way where there is one. */
function partFits(pattern: string, text: string): boolean {
  const pieces = pattern.split("*");
  const [first = ""] = pieces;
  if (pieces.length === 1) return pattern === text;
  const last = pieces.at(-1) ?? "";
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, at);
    if (found === -1 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}

/** RFC 7519; undefined: it is none. */
function claimsIn(token: string): Claims | undefined {
  const [, payload, , ...more] = token.split(".");
  if (payload === undefined || more.length > 0 || token.split(".").length !== 3) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    if (typeof value !== "object" || value === null) return undefined;
    const { aud, exp } = value as { readonly aud?: unknown; readonly exp?: unknown };
    const audiences = (Array.isArray(aud) ? aud : [aud]).filter((one) => typeof one === "string");
    return { audiences, expiresMs: typeof exp === "number" ? exp * 1000 : Infinity };
  } catch {
    return undefined;
  }
}

/** The oldest goes when there are too many. */
function keep<T>(map: Map<string, T>, key: string, value: T, max: number): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.size > max ? map.keys() : [];
  if (oldest !== undefined) map.delete(oldest);
}
