import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { groupResource, sandboxResource, serviceResource } from "./fixture.ts";
import type { Resource, ResourceId } from "./resource.ts";
import { ControlState } from "./state.ts";
import type { FeedChange, FeedTable } from "./state.ts";

function stateOf(...resources: Resource[]): ControlState {
  const state = new ControlState();
  state.reset({ revision: 1, resources });
  return state;
}

const plain = ({ services, sandboxes, groups }: FeedTable): unknown => ({
  services: Object.fromEntries([...services]),
  sandboxes: Object.fromEntries([...sandboxes]),
  groups: Object.fromEntries([...groups]),
});

describe("the state", () => {
  test("is empty before the store was read, and says so", () => {
    const state = new ControlState();
    expect(state.revision).toBe(0);
    expect(state.storeProblem).toContain("not been read");
    state.reachable(true, "");
    expect(state.storeProblem).toBe("");
  });

  test("makes a table of the resources", () => {
    const state = stateOf(
      serviceResource("checkout", { baseline: ["checkout:8080"] }),
      serviceResource("ledger", { ports: { http: 80, grpc: 90 }, hosts: ["books"] }),
      sandboxResource("pr-7", { key: "seven", services: { checkout: ["10.0.0.7:80"] } }),
      groupResource("both", { sandboxes: ["pr-7", "gone"] }),
    );
    expect(state.document()).toEqual({
      services: {
        checkout: { baseline: ["checkout:8080"] },
        ledger: { ports: { http: 80, grpc: 90 }, hosts: ["books"] },
      },
      sandboxes: { "pr-7": { key: "seven", services: { checkout: ["10.0.0.7:80"] } } },
      groups: { both: { sandboxes: ["pr-7"] } },
    });
    expect(state.list("service").map(({ name }) => name)).toEqual(["checkout", "ledger"]);
    expect(state.find("sandbox", "pr-7")?.meta.createdBy).toBe("ada");
    expect(state.find("sandbox", "constructor")).toBeUndefined();
  });

  test("a developer's machine answers instead of the sandbox's own endpoints while it is connected", () => {
    const services = { checkout: ["10.0.0.7:80"] };
    const connection = { session: "s", replica: "r", by: "ada", machine: "desk", since: "2026-01-02T03:04:05Z" };
    const connected = { checkout: { ...connection, endpoints: ["control:16000"] } };
    const state = stateOf(sandboxResource("pr-7", { services, connected }));
    expect(state.document().sandboxes["pr-7"]?.services).toEqual({ checkout: ["control:16000"] });
    state.changed({ revision: 2, puts: [sandboxResource("pr-7", { services })], deletes: [] });
    expect(state.document().sandboxes["pr-7"]?.services).toEqual(services);
  });

  test("tells what a change did to the table, and nothing of what only people read", () => {
    const state = stateOf(sandboxResource("pr-7", { services: { a: ["h:1"] } }));
    const told: FeedChange[] = [];
    const stop = state.onChange((change) => told.push(change));
    state.changed({
      revision: 2,
      puts: [sandboxResource("pr-7", { services: { a: ["h:1"] }, owner: "eve" })],
      deletes: [],
    });
    state.changed({ revision: 3, puts: [], deletes: [{ kind: "sandbox", name: "pr-7" }] });
    stop();
    state.changed({ revision: 4, puts: [serviceResource("late")], deletes: [] });
    expect(told.map(({ from, to, sandboxes }) => [from, to, [...sandboxes.keys()]])).toEqual([
      [1, 2, []],
      [2, 3, ["pr-7"]],
    ]);
    expect(told[1]?.sandboxes.get("pr-7")).toMatchObject({ before: { name: "pr-7" }, after: undefined });
  });
});

describe("groups by label", () => {
  const team = groupResource("team", { match: { all: { team: "shop" } } });
  const either = groupResource("either", { match: { all: { team: "shop" }, any: { kind: "pr", stage: "demo" } } });

  test("follow sandboxes as they come, change and go, by name", () => {
    const state = stateOf(team, either);
    const members = (group: string): readonly string[] | undefined => state.table.groups.get(group)?.sandboxes;
    const labels = { team: "shop" };
    expect(members("team")).toEqual([]);
    state.changed({
      revision: 2,
      puts: [sandboxResource("pr-9", { labels }), sandboxResource("pr-7", { labels })],
      deletes: [],
    });
    expect(members("team")).toEqual(["pr-7", "pr-9"]);
    expect(members("either")).toEqual([]);
    state.changed({ revision: 3, puts: [sandboxResource("pr-9", { labels: { ...labels, kind: "pr" } })], deletes: [] });
    expect(members("either")).toEqual(["pr-9"]);
    state.changed({ revision: 4, puts: [sandboxResource("pr-7", { labels: { team: "other" } })], deletes: [] });
    expect(members("team")).toEqual(["pr-9"]);
    state.changed({ revision: 5, puts: [], deletes: [{ kind: "sandbox", name: "pr-9" }] });
    expect(members("team")).toEqual([]);
  });

  test("of several values of one label each will do", () => {
    const group = groupResource("next", { match: { all: { team: "shop" }, any: { stage: ["review", "ready"] } } });
    const staged = (name: string, stage: string): Resource =>
      sandboxResource(name, { labels: { team: "shop", stage } });
    const state = stateOf(group, staged("pr-1", "review"), staged("pr-2", "ready"), staged("pr-3", "draft"));
    expect(state.table.groups.get("next")?.sandboxes).toEqual(["pr-1", "pr-2"]);
  });

  test("a match that asks for nothing matches nothing", () => {
    const state = stateOf(groupResource("all", { match: {} }), sandboxResource("pr-7", { labels: { team: "shop" } }));
    expect(state.table.groups.get("all")?.sandboxes).toEqual([]);
  });

  test("a label that every object inherits is none", () => {
    const group = groupResource("g", { match: { any: { constructor: "x" } } });
    const state = stateOf(group, sandboxResource("pr-7"));
    expect(state.table.groups.get("g")?.sandboxes).toEqual([]);
  });
});

test("changes one by one lead to the same table as all at once, and say truly what they changed", () => {
  const name = fc.constantFrom("a", "b", "c", "__proto__", "constructor");
  const labels = fc.dictionary(fc.constantFrom("x", "y"), fc.constantFrom("1", "2"));
  const resource = fc.oneof(
    fc
      .record({ name, baseline: fc.boolean() })
      .map((r) => serviceResource(`s${r.name}`, r.baseline ? { baseline: ["h:1"] } : {})),
    fc
      .record({ name, labels })
      .map((r) => sandboxResource(`p${r.name}`, { labels: r.labels, services: { sa: ["h:1"] } })),
    fc
      .record({ name, all: labels, any: labels })
      .map((r) => groupResource(`g${r.name}`, { match: { all: r.all, any: r.any } })),
    fc
      .record({ name, listed: fc.uniqueArray(name) })
      .map((r) => groupResource(`g${r.name}`, { sandboxes: r.listed.map((one) => `p${one}`) })),
  );
  const step = fc.record({ put: resource, remove: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const state = new ControlState();
      const known = new Map<string, Resource>();
      const followed = { services: new Map(), sandboxes: new Map(), groups: new Map() };
      state.onChange((change) => {
        for (const part of ["services", "sandboxes", "groups"] as const) {
          for (const [key, { before, after }] of change[part]) {
            expect(followed[part].get(key)).toEqual(before);
            if (after === undefined) followed[part].delete(key);
            else followed[part].set(key, after);
          }
        }
      });
      for (const [index, { put, remove }] of steps.entries()) {
        const id: ResourceId = { kind: put.kind, name: put.name };
        if (remove) known.delete(`${put.kind} ${put.name}`);
        else known.set(`${put.kind} ${put.name}`, put);
        state.changed({ revision: index + 1, puts: remove ? [] : [put], deletes: remove ? [id] : [] });
      }
      const whole = stateOf(...known.values());
      expect(plain(state.table)).toEqual(plain(whole.table));
      expect(plain({ revision: 0, ...followed })).toEqual(plain(whole.table));
      expect(state.tableLength).toBe(whole.tableLength);
    }),
  );
});
