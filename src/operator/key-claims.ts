// Which Sandboxes and RouteGroups want which routing key. One of them gets it: the older one; of two of one second the one that has
// it already.

import { isMap } from "../base/is-map.ts";
import type { KubernetesObject } from "../kube/object.ts";

/** Who wants a key. */
export interface Claim {
  readonly kind: "Sandbox" | "RouteGroup";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** By its status: it was told so, and nothing else since. */
  readonly hasIt: boolean;
}

export class KeyClaims {
  readonly #byKey = new Map<string, Map<string, Claim>>();
  readonly #keys = new Map<string, string>();

  /** Notes what the object wants now. Returns everybody for whom that may change something. */
  put(kind: Claim["kind"], object: KubernetesObject, key: string): readonly Claim[] {
    const { namespace = "", name, uid = "", creationTimestamp = "", deletionTimestamp } = object.metadata;
    const moved = this.#keys.get(uid) === key ? [] : this.drop(object);
    // Whoever is on the way out has it until it is gone: its routes are still there.
    const claim: Claim = { kind, namespace, name, uid, createdAt: creationTimestamp, hasIt: hasKey(object, key) };
    const claims = this.#byKey.get(key) ?? new Map<string, Claim>();
    const isNew = !claims.has(uid);
    claims.set(uid, claim);
    this.#byKey.set(key, claims);
    this.#keys.set(uid, key);
    const others =
      isNew && deletionTimestamp === undefined ? [...claims.values()].filter((one) => one.uid !== uid) : [];
    return [...moved, ...others];
  }

  /** Forgets an object. Returns who wants the key that it had. */
  drop(object: KubernetesObject): readonly Claim[] {
    const { uid = "" } = object.metadata;
    const key = this.#keys.get(uid);
    if (key === undefined) return [];
    this.#keys.delete(uid);
    const claims = this.#byKey.get(key);
    claims?.delete(uid);
    if (claims === undefined || claims.size > 0) return [...(claims?.values() ?? [])];
    this.#byKey.delete(key);
    return [];
  }

  /** Who has the key instead of this object; undefined: it has it itself. */
  holderInsteadOf(uid: string, key: string): Claim | undefined {
    const claims = [...(this.#byKey.get(key)?.values() ?? [])].toSorted(byAge);
    const [first] = claims;
    return first === undefined || first.uid === uid ? undefined : first;
  }
}

/** Oldest first. The API server keeps whole seconds: within one whoever has the key, else any, but always the same. */
function byAge(a: Claim, b: Claim): number {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1;
  if (a.hasIt !== b.hasIt) return a.hasIt ? -1 : 1;
  return a.uid < b.uid ? -1 : 1;
}

function hasKey({ status = {} }: KubernetesObject, key: string): boolean {
  const conditions: unknown = status["conditions"];
  if (status["key"] !== key || !Array.isArray(conditions)) return false;
  return !conditions.some((one) => isMap(one) && one["reason"] === "KeyTaken");
}

/** `Sandbox shop/pr-7` */
export function claimText({ kind, namespace, name }: Claim): string {
  return `${kind} ${namespace}/${name}`;
}
