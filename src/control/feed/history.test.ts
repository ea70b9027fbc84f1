import { describe, expect, test } from "vitest";
import { groupResource, sandboxResource, serviceResource } from "../fixture.ts";
import type { Resource } from "../resource.ts";
import { ControlState, type FeedChange } from "../state.ts";
import { History, changeBetween, type HistoryLimits } from "./history.ts";

function start(limits: HistoryLimits) {
  const state = new ControlState();
  state.reset({ revision: 1, resources: [] });
  const history = new History(state.table, limits);
  const add = (...puts: readonly Resource[]): void => {
    let change: FeedChange | undefined;
    const stop = state.onChange((one) => (change = one));
    state.changed({ revision: state.revision + 1, puts, deletes: [] });
    stop();
    if (change !== undefined) history.add(change, state.table);
  };
  return { state, history, add };
}

const wide = { revisionsMax: 1000, bytesMax: 1e9 };

function pr7(...hosts: readonly string[]): Resource {
  return sandboxResource("pr-7", { services: Object.fromEntries(hosts.map((host) => [host, [`${host}:80`]])) });
}

describe("the past", () => {
  test("is what parts were, and which ones may differ", () => {
    const { history, add } = start(wide);
    add(pr7("a"), serviceResource("s"));
    add(pr7("b"));
    add(pr7("c"));
    const past = history.since(2);
    expect(past?.touched).toEqual({ services: [], sandboxes: ["pr-7"], groups: [] });
    expect(past?.before.sandboxes.get("pr-7")?.services[0]?.service).toBe("a");
    expect(past?.before.services.get("s")).toBe(history.table.services.get("s"));
    expect(history.since(1)?.before.sandboxes.get("pr-7")).toBeUndefined();
    expect(history.since(4)?.touched.sandboxes).toEqual([]);
  });

  test("has the groups of a sandbox whose services are others now", () => {
    const { history, add } = start(wide);
    add(pr7("a"), groupResource("g", { sandboxes: ["pr-7"] }));
    add(sandboxResource("pr-7", { services: { a: ["other:80"] } }));
    add(pr7("b"));
    expect(history.since(3)?.touched.groups).toEqual(["g"]);
    expect(history.since(2)?.touched.groups).toEqual(["g"]);
    expect(history.since(4)?.touched.groups).toEqual([]);
  });

  test("is not known of revisions in the future, or between two that were told", () => {
    const { history, add, state } = start(wide);
    add(pr7("a"));
    const before = state.table;
    state.reset({ revision: 9, resources: [pr7("b")] });
    history.add(changeBetween(before, state.table), state.table);
    expect(history.since(2)?.touched.sandboxes).toEqual(["pr-7"]);
    expect(history.since(5)).toBeUndefined();
    expect(history.since(9)).toBeDefined();
    expect(history.since(10)).toBeUndefined();
  });
});

describe("what is kept", () => {
  test("is bounded by revisions", () => {
    const { history, add, state } = start({ revisionsMax: 100, bytesMax: 1e9 });
    for (let at = 0; at < 5000; at++) add(pr7(`h${at}`));
    expect(history.revisions).toBe(100);
    expect(history.floor).toBe(state.revision - 100);
    expect(history.since(history.floor)?.touched.sandboxes).toEqual(["pr-7"]);
    expect(history.since(history.floor - 1)).toBeUndefined();
  });

  test("is bounded by bytes, whatever the size of a change", () => {
    const { history, add, state } = start({ revisionsMax: 1e6, bytesMax: 20_000 });
    for (let at = 0; at < 200; at++) {
      add(pr7(`h${at}`));
      expect(history.bytes).toBeLessThanOrEqual(20_000);
    }
    expect(history.revisions).toBeGreaterThan(20);
    const names = Array.from({ length: 500 }, (_, at) => `pr-1${at}`);
    add(...names.map((name) => sandboxResource(name, { services: { a: ["h:80"] } })));
    expect([history.revisions, history.bytes, history.floor]).toEqual([0, 0, state.revision]);
  });
});
