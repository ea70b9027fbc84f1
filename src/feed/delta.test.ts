import { describe, expect, test } from "vitest";
import { encodeFromControl } from "./codec.ts";
import type { FeedParts } from "./convert.ts";
import { deltaOf, isEmpty, updatesOf, wholeOf } from "./delta.ts";
import type { FeedGroup, FeedSandbox, FeedService } from "./messages.ts";
import { canonicalScope, scoped, ScopeView } from "./scope.ts";

function service(name: string, hosts: readonly string[] = []): FeedService {
  return { name, hosts, ports: [{ name: "http", number: 8080 }], baseline: [{ port: "", endpoints: [`${name}:80`] }] };
}

function sandbox(name: string, ...services: readonly string[]): FeedSandbox {
  const endpoints = [{ port: "", endpoints: ["10.0.0.1:80"] }];
  return { name, key: `key-${name}`, strict: true, services: services.map((one) => ({ service: one, endpoints })) };
}

function table(
  services: readonly FeedService[],
  sandboxes: readonly FeedSandbox[],
  groups: readonly FeedGroup[],
): FeedParts {
  const byName = <Part extends { readonly name: string }>(parts: readonly Part[]) =>
    new Map(parts.map((part) => [part.name, part]));
  return { services: byName(services), sandboxes: byName(sandboxes), groups: byName(groups) };
}

const shop = table(
  [service("checkout"), service("ledger", ["ledger.shop"])],
  [sandbox("a", "checkout"), sandbox("b", "ledger"), sandbox("c", "checkout", "ledger")],
  [
    { name: "ab", key: "", sandboxes: ["a", "b"] },
    { name: "b-only", key: "k", sandboxes: ["b"] },
  ],
);

describe("what a scope sees", () => {
  test("everything is the table itself", () => {
    expect(scoped(new ScopeView({ services: [], names: false }), shop)).toBe(shop);
  });

  test("some services: what changes them, and no more of that", () => {
    expect(scoped(new ScopeView({ services: ["checkout"], names: false }), shop)).toEqual(
      table(
        [service("checkout")],
        [sandbox("a", "checkout"), sandbox("c", "checkout")],
        [{ name: "ab", key: "", sandboxes: ["a"] }],
      ),
    );
  });

  test("with names: of everything else the names and keys", () => {
    expect(scoped(new ScopeView({ services: ["checkout"], names: true }), shop)).toEqual(
      table(
        [service("checkout"), { name: "ledger", hosts: [], ports: [], baseline: [] }],
        [sandbox("a", "checkout"), { name: "b", key: "key-b", strict: false, services: [] }, sandbox("c", "checkout")],
        [
          { name: "ab", key: "", sandboxes: ["a"] },
          { name: "b-only", key: "k", sandboxes: [] },
        ],
      ),
    );
  });

  test("scopes that see the same are the same", () => {
    const one = canonicalScope({ services: ["b", "a", "b"], names: true });
    expect(one).toEqual(canonicalScope({ services: ["a", "b"], names: true }));
    expect(canonicalScope({ services: [], names: true })).toEqual({ services: [], names: false });
  });
});

describe("what changed for a scope", () => {
  const view = new ScopeView({ services: ["checkout"], names: false });
  const all = { services: ["checkout", "ledger"], sandboxes: ["a", "b", "c"], groups: ["ab", "b-only"] };

  test("is nothing when it does not see it", () => {
    const after = table(
      [service("checkout"), service("ledger", ["other.shop"])],
      [sandbox("a", "checkout"), sandbox("c", "checkout")],
      [{ name: "ab", key: "", sandboxes: ["a"] }],
    );
    expect(isEmpty(deltaOf(view, shop, after, all))).toBe(true);
  });

  test("a group changes with the services of its members", () => {
    const after = { ...shop, sandboxes: new Map(shop.sandboxes).set("b", sandbox("b", "checkout")) };
    expect(deltaOf(view, shop, after, all)).toEqual({
      services: [],
      sandboxes: [sandbox("b", "checkout")],
      groups: [
        { name: "ab", key: "", sandboxes: ["a", "b"] },
        { name: "b-only", key: "k", sandboxes: ["b"] },
      ],
      removedServices: [],
      removedSandboxes: [],
      removedGroups: [],
    });
    expect(deltaOf(view, after, shop, all)).toMatchObject({
      groups: [{ name: "ab", sandboxes: ["a"] }],
      removedSandboxes: ["b"],
      removedGroups: ["b-only"],
    });
  });
});

describe("updates of one revision", () => {
  const head = { source: "s", revision: 7, whole: true };
  const many = table(
    Array.from({ length: 50 }, (_, at) => service(`service-${at}`, ["a.example", "ä.example"])),
    Array.from({ length: 200 }, (_, at) => sandbox(`sandbox-${at}`, "checkout", "ledger")),
    Array.from({ length: 50 }, (_, at) => ({ name: `group-${at}`, key: "", sandboxes: [`sandbox-${at}`] })),
  );

  test("are no larger than asked for, in order, and the last says so", () => {
    const updates = updatesOf(head, { ...wholeOf(many), removedGroups: ["x".repeat(500)] }, 1000);
    for (const update of updates)
      expect(encodeFromControl({ kind: "update", update }).length).toBeLessThanOrEqual(1000);
    expect(updates.map(({ last }) => last)).toEqual(updates.map((_, at) => at === updates.length - 1));
    expect(updates.flatMap(({ services }) => services)).toEqual([...many.services.values()]);
    expect(updates.flatMap(({ sandboxes }) => sandboxes)).toEqual([...many.sandboxes.values()]);
    expect(updates.flatMap(({ groups }) => groups)).toEqual([...many.groups.values()]);
    // Not one each: the bound is used.
    expect(updates.length).toBeLessThan(60);
  });

  test("one part that is larger goes alone", () => {
    const parts = table(
      [],
      [sandbox("a", "checkout"), sandbox("x".repeat(2000), "checkout"), sandbox("b", "checkout")],
      [],
    );
    expect(updatesOf(head, wholeOf(parts), 1000).map(({ sandboxes }) => sandboxes.length)).toEqual([1, 1, 1]);
  });

  test("there is one even when there is nothing to tell", () => {
    expect(updatesOf({ ...head, whole: false }, wholeOf(table([], [], [])), 1000)).toMatchObject([
      { revision: 7, whole: false, last: true },
    ]);
  });
});
