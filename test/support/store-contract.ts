// What every kind of store promises (src/control/store/store.ts), as tests that each implementation runs.

import { EventEmitter, once } from "node:events";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Resource, ResourceId } from "../../src/control/resource.ts";
import type { Store, StoreChange, StoreFollower, StoreSnapshot } from "../../src/control/store/store.ts";
import { commitOf, sandbox } from "./store-data.ts";

/** Keeps what it is told, and checks that it is told in order. */
export class RecordingFollower implements StoreFollower {
  revision = -1;
  readonly resources = new Map<string, Resource>();
  readonly resets: StoreSnapshot[] = [];
  readonly changes: StoreChange[] = [];
  readonly reachability: { readonly yes: boolean; readonly why: string }[] = [];
  /** What no store may tell: revisions out of order, reachability without a reason or twice. */
  readonly faults: string[] = [];
  readonly #events = new EventEmitter();

  reset(snapshot: StoreSnapshot): void {
    this.resets.push(snapshot);
    this.resources.clear();
    for (const one of snapshot.resources) this.resources.set(`${one.kind}/${one.name}`, one);
    this.#at(snapshot.revision);
  }

  changed(change: StoreChange): void {
    if (change.revision !== this.revision + 1) this.faults.push(`${change.revision} after ${this.revision}`);
    this.changes.push(change);
    for (const { kind, name } of change.deletes) this.resources.delete(`${kind}/${name}`);
    for (const one of change.puts) this.resources.set(`${one.kind}/${one.name}`, one);
    this.#at(change.revision);
  }

  reachable(yes: boolean, why: string): void {
    if ((why === "") !== yes || yes === this.isReachable) this.faults.push(`reachable(${yes}, ${why})`);
    this.reachability.push({ yes, why });
    this.#events.emit("told");
  }

  get isReachable(): boolean {
    return this.reachability.at(-1)?.yes ?? false;
  }

  /** Resolves when `condition` holds, looked at after everything that is told. */
  async until(condition: (self: this) => boolean, withinMs = 30_000): Promise<void> {
    const signal = AbortSignal.timeout(withinMs);
    while (!condition(this)) await once(this.#events, "told", { signal });
  }

  #at(revision: number): void {
    this.revision = revision;
    this.#events.emit("told");
  }
}

export interface StoreUnderTest {
  /** A store on the same data as those before it; closed at the end of the test. */
  readonly again: () => Promise<Store> | Store;
  /** Whether two may be open at the same time. */
  readonly shared: boolean;
}

/** Opens a store; it is closed when the test ends, and must have told its follower nothing that it may not. */
export async function opened(store: Store): Promise<{ store: Store; follower: RecordingFollower }> {
  const follower = new RecordingFollower();
  onTestFinished(async () => {
    await store.close();
    expect(follower.faults).toEqual([]);
  });
  await store.open(follower);
  return { store, follower };
}

export function describeStore(kind: string, make: () => Promise<StoreUnderTest>): void {
  describe(`the store contract: ${kind}`, () => {
    test("begins empty and reachable, with a source that stays", async () => {
      const { again } = await make();
      const first = await opened(await again());
      expect(first.follower.resets).toEqual([{ revision: 0, resources: [] }]);
      expect(first.follower.reachability).toEqual([{ yes: true, why: "" }]);
      expect(first.store.source).not.toBe("");
      await first.store.close();
      const second = await opened(await again());
      expect(second.store.source).toBe(first.store.source);
    });

    test("numbers commits, tells the follower before it answers, and finds everything again", async () => {
      const { again } = await make();
      const { store, follower } = await opened(await again());
      const one = await store.commit(commitOf(0, [sandbox("pr-1"), sandbox("pr-2")]));
      expect(one).toMatchObject({ done: true, revision: 1, puts: [{ name: "pr-1", meta: { version: 1 } }, {}] });
      expect(follower.revision).toBe(1);
      const deleted: ResourceId = { kind: "sandbox", name: "pr-1" };
      const two = await store.commit(commitOf(1, [sandbox("pr-2", "10.0.0.9:1")], [deleted]));
      expect(two).toMatchObject({ done: true, revision: 2 });
      expect(follower.changes[1]).toMatchObject({ revision: 2, puts: [{ name: "pr-2" }], deletes: [deleted] });
      await store.close();

      const later = await opened(await again());
      expect(later.follower.revision).toBe(2);
      expect([...later.follower.resources.values()]).toEqual([...follower.resources.values()]);
      expect(later.follower.resources.get("sandbox/pr-2")?.meta.version).toBe(2);
    });

    test("refuses a commit that was validated against an older revision", async () => {
      const { again } = await make();
      const { store, follower } = await opened(await again());
      const race = await Promise.all([
        store.commit(commitOf(0, [sandbox("a")])),
        store.commit(commitOf(0, [sandbox("b")])),
      ]);
      expect(race.filter((result) => result.done)).toHaveLength(1);
      expect(follower.revision).toBe(1);
      expect(follower.resources.size).toBe(1);
    });

    test("makes a commit once, however often it is asked to", async () => {
      const { again } = await make();
      const { store, follower } = await opened(await again());
      const commit = commitOf(0, [sandbox("a")]);
      const first = await store.commit(commit);
      expect(await store.commit(commit)).toEqual(first);
      await store.commit(commitOf(1, [sandbox("b")]));
      expect(await store.commit(commit)).toEqual(first);
      await store.close();
      const later = await opened(await again());
      expect(await later.store.commit(commit)).toEqual(first);
      expect(later.follower.revision).toBe(2);
      expect(follower.changes).toHaveLength(2);
    });

    test("keeps an audit log, newest first", async () => {
      const { again } = await make();
      const { store } = await opened(await again());
      await store.commit(commitOf(0, [sandbox("a"), sandbox("b")]));
      await store.commit(commitOf(1, [sandbox("a")]));
      await store.commit(commitOf(2, [], [{ kind: "sandbox", name: "b" }]));
      const names = async (of: Store, query: Parameters<Store["audit"]>[0]): Promise<string[]> =>
        (await of.audit(query)).map(({ revision, name }) => `${revision} ${name}`);
      expect(await names(store, { limit: 10 })).toEqual(["3 b", "2 a", "1 b", "1 a"]);
      expect(await names(store, { limit: 2 })).toEqual(["3 b", "2 a"]);
      expect(await names(store, { limit: 10, kind: "sandbox", name: "a" })).toEqual(["2 a", "1 a"]);
      expect(await names(store, { limit: 10, kind: "service" })).toEqual([]);
      await store.close();
      const later = await opened(await again());
      expect(await names(later.store, { limit: 10 })).toEqual(["3 b", "2 a", "1 b", "1 a"]);
      expect((await later.store.audit({ limit: 1 }))[0]).toEqual({
        at: "1970-01-01T00:00:00.000Z",
        actor: "ana",
        action: "update",
        kind: "sandbox",
        name: "b",
        revision: 3,
        detail: "b after 2",
      });
    });

    test("keeps the latest traffic of sandboxes, until they are deleted", async () => {
      const { again } = await make();
      const { store, follower } = await opened(await again());
      await store.commit(commitOf(0, [sandbox("a"), sandbox("b")]));
      await store.noteTraffic({ a: 2000, b: 3000 });
      await store.noteTraffic({ a: 1000, b: 10_000 });
      await store.noteTraffic({});
      expect(await store.traffic()).toEqual({ a: 2000, b: 10_000 });
      await store.commit(commitOf(1, [], [{ kind: "sandbox", name: "b" }]));
      expect(follower.revision).toBe(2);
      expect(await store.traffic()).toEqual({ a: 2000 });
      await store.close();
      const later = await opened(await again());
      expect(await later.store.traffic()).toEqual({ a: 2000 });
    });

    test("keeps names and texts of any kind", async () => {
      const { again } = await make();
      const { store, follower } = await opened(await again());
      const odd = sandbox("pr.1_x-é", "[::1]:80", 'line\nbreak \u2028 "quoted" \ud83d\ude00 \u0000');
      await store.commit(commitOf(0, [odd]));
      await store.close();
      const later = await opened(await again());
      expect([...later.follower.resources.values()]).toEqual([...follower.resources.values()]);
      expect(later.follower.resources.get("sandbox/pr.1_x-é")?.spec).toEqual(odd.spec);
    });

    test("tells a replica that it lives", async () => {
      const { again } = await make();
      const { store } = await opened(await again());
      const self = { id: "a", url: "http://a:1", secret: "s", startedAt: "2026-01-01T00:00:00.000Z" };
      const told = await new Promise((resolve) => {
        store.join(self, resolve).catch(resolve);
      });
      expect(told).toEqual([self]);
    });

    test("says after its end that it is closed", async () => {
      const { again } = await make();
      const { store } = await opened(await again());
      await store.close();
      await expect(store.commit(commitOf(0, [sandbox("a")]))).rejects.toThrow(/closed/);
      await store.close();
    });
  });
}
