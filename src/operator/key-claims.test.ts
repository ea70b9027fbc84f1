import fc from "fast-check";
import { expect, test } from "vitest";
import type { KubernetesObject } from "../kube/object.ts";
import { KeyClaims } from "./key-claims.ts";

const object = (uid: string, second: number): KubernetesObject => ({
  apiVersion: "sidelane.dev/v1alpha1",
  kind: "Sandbox",
  metadata: { name: uid, namespace: "shop", uid, creationTimestamp: `2026-11-24T00:00:0${second}Z` },
});

test("the older has the key, and whoever waits is told when it may be theirs", () => {
  const claims = new KeyClaims();
  expect(claims.put("Sandbox", object("b", 2), "k")).toEqual([]);
  // The older one comes later into sight: the younger has to let go.
  expect(claims.put("RouteGroup", object("a", 1), "k")).toMatchObject([{ name: "b" }]);
  expect(claims.holderInsteadOf("b", "k")).toMatchObject({ kind: "RouteGroup", name: "a" });
  expect(claims.holderInsteadOf("a", "k")).toBeUndefined();
  expect(claims.put("RouteGroup", object("a", 1), "other")).toMatchObject([{ name: "b" }]);
  expect(claims.holderInsteadOf("b", "k")).toBeUndefined();
});

test("of two of one second the one that has the key keeps it", () => {
  const claims = new KeyClaims();
  const conditions = [{ type: "Routed", status: "True", reason: "Everywhere" }];
  claims.put("Sandbox", { ...object("b", 1), status: { key: "k", conditions } }, "k");
  claims.put("Sandbox", object("a", 1), "k");
  expect(claims.holderInsteadOf("a", "k")).toMatchObject({ name: "b" });
  expect(claims.holderInsteadOf("b", "k")).toBeUndefined();
});

test("every key has exactly one holder among those who want it", () => {
  const step = fc.record({ uid: fc.constantFrom("a", "b", "c", "d"), key: fc.constantFrom("k", "l", undefined) });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const claims = new KeyClaims();
      const wanted = new Map<string, string>();
      for (const { uid, key } of steps) {
        const one = object(uid, uid.charCodeAt(0) % 3);
        if (key === undefined) {
          claims.drop(one);
          wanted.delete(uid);
        } else {
          claims.put("Sandbox", one, key);
          wanted.set(uid, key);
        }
      }
      for (const key of ["k", "l"]) {
        const wanting = [...wanted].filter(([, want]) => want === key).map(([uid]) => uid);
        const holders = wanting.filter((uid) => claims.holderInsteadOf(uid, key) === undefined);
        expect(holders).toHaveLength(Math.min(1, wanting.length));
      }
    }),
  );
});
