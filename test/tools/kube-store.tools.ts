// The store in a real Kubernetes API: the contract of all stores, several replicas, and everything that can be taken away from
// them. Needs the programs of `npm run setup:kube` and etcd.
//
// Long because each fault needs its own course of events.
import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { KubernetesStore } from "../../src/control/store/kubernetes/kubernetes-store.ts";
import { commitName } from "../../src/control/store/kubernetes/objects.ts";
import { CommitTooLargeError, StoreUnavailableError } from "../../src/control/store/store.ts";
import type { ReplicaRecord } from "../../src/control/store/store.ts";
import { StoreWorld } from "../support/kube/store-world.ts";
import { describeStore, opened } from "../support/store-contract.ts";
import { commitOf, sandbox } from "../support/store-data.ts";
import { expectRace, has, history, insist, until, untilSame } from "../support/store-race.ts";
import { startSwallowingProxy } from "../support/swallowing-proxy.ts";

let world: StoreWorld;
beforeAll(async () => {
  world = await StoreWorld.start();
}, 120_000);
afterAll(() => world?.cluster.stop());

describeStore("kubernetes", async () => {
  const namespace = await world.namespace();
  return { again: () => world.store(namespace), shared: true };
});

describe("two replicas", () => {
  test("committing at once: one order, the same for both, with one source", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace);
    const b = await world.replica(namespace);
    expect(b.store.source).toBe(a.store.source);
    await expectRace(a, b, 150, () => Promise.resolve());
    expect(history(a.follower)).toEqual(history(b.follower));
    const audit = await b.store.audit({ limit: 1000 });
    expect(audit.map(({ revision }) => revision)).toEqual(Array.from({ length: 300 }, (_, i) => 300 - i));
  });

  test("starting at once make one source", async () => {
    const namespace = await world.namespace();
    const replicas = await Promise.all(Array.from({ length: 5 }, () => world.replica(namespace)));
    expect(new Set(replicas.map(({ store }) => store.source)).size).toBe(1);
  });

  test("know of each other until one ends, and until some seconds after one dies", async () => {
    const namespace = await world.namespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${world.cluster.port}`);
    const a = await world.replica(namespace);
    const b = await world.replicaBy(namespace, proxy.endpoint);
    const c = await world.replica(namespace);
    let seen: readonly ReplicaRecord[] = [];
    let gone: readonly string[] = [];
    const record = (id: string): ReplicaRecord => ({ id, url: `http://${id}`, secret: id, startedAt: "" });
    const ids = (): string => seen.map(({ id }) => id).join(" ");
    await a.store.join(record("a"), (replicas, left = []) => {
      seen = replicas;
      gone = left;
    });
    expect(seen).toEqual([record("a")]);
    let seenByB = 0;
    await b.store.join(record("b"), ({ length }) => (seenByB = length));
    await c.store.join(record("c"), () => {});
    await until(() => ids() === "a b c" && seenByB === 3);
    await c.store.close();
    await until(() => ids() === "a b" && gone.includes("c"));
    proxy.part();
    await until(() => ids() === "a");
    expect(gone).not.toContain("b");
    proxy.join();
    await until(() => ids() === "a b");
  });
});

test("a replica that was killed and starts again at its address is known to be gone, also to those who come later", async () => {
  const namespace = await world.namespace();
  const proxy = await startSwallowingProxy(`127.0.0.1:${world.cluster.port}`);
  const [killed, other, again, later] = [
    await world.replicaBy(namespace, proxy.endpoint),
    await world.replica(namespace),
    await world.replica(namespace),
    await world.replica(namespace),
  ];
  const record = (id: string, url: string): ReplicaRecord => ({ id, url, secret: id, startedAt: "" });
  const told = new Map<string, string>();
  const listener =
    (who: string) =>
    (replicas: readonly ReplicaRecord[], left: readonly string[] = []): void =>
      void told.set(who, `${replicas.map(({ id }) => id).join(" ")} without ${left.join(" ")}`);
  await killed.store.join(record("killed", "https://10.0.0.1:15020"), listener("killed"));
  await other.store.join(record("other", "https://10.0.0.2:15020"), listener("other"));
  await until(() => told.get("other") === "killed other without ");
  proxy.part();
  await again.store.join(record("again", "https://10.0.0.1:15020"), listener("again"));
  expect(told.get("again")).toBe("again other without killed");
  await until(() => told.get("other") === "again other without killed");
  await later.store.join(record("later", "https://10.0.0.3:15020"), listener("later"));
  expect(told.get("later")).toBe("again later other without killed");
});

describe("an API server that dies or stands still", () => {
  test("kill -9 and a new start, twice, while two replicas commit", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace);
    const b = await world.replica(namespace);
    await expectRace(a, b, 100, async (progress) => {
      for (const at of [30, 110]) {
        await until(() => progress() >= at);
        await world.cluster.restartApiServer();
      }
    });
  }, 180_000);

  test("SIGSTOP, while two replicas commit", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace);
    const b = await world.replica(namespace);
    await expectRace(a, b, 60, async (progress) => {
      await until(() => progress() >= 30);
      const go = world.cluster.pauseApiServer();
      await Promise.all([a, b].map(({ follower }) => follower.until(({ isReachable }) => !isReachable))).finally(go);
    });
  }, 120_000);

  test("stopped: writing says so within seconds, reading goes on, and all goes on by itself", async () => {
    const namespace = await world.namespace();
    const { store, follower } = await world.replica(namespace);
    await store.commit(commitOf(0, [sandbox("a")]));
    await world.cluster.killApiServer();
    const refused: unknown = await store.commit(commitOf(1, [sandbox("b")])).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(StoreUnavailableError);
    expect((refused as Error).message).toContain(
      `the store kubernetes://${namespace} cannot be reached: the Kubernetes API at ${world.cluster.server} gave no answer`,
    );
    await follower.until(({ isReachable }) => !isReachable);
    expect(has(follower, "a")).toBe(true);
    await expect(store.audit({ limit: 1 })).rejects.toThrow(StoreUnavailableError);
    await expect(store.noteTraffic({ a: 1 })).rejects.toThrow(StoreUnavailableError);
    await world.cluster.restartApiServer();
    await follower.until(({ isReachable }) => isReachable);
    await insist({ store, follower }, sandbox("c"));
    expect(follower.revision).toBe(has(follower, "b") ? 3 : 2);
    expect(follower.reachability.map(({ yes }) => yes)).toEqual([true, false, true]);
    expect(follower.resets).toHaveLength(1);
  }, 60_000);
});

describe("answers that get lost", () => {
  test("a commit that was made is found again, and made once", async () => {
    const namespace = await world.namespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${world.cluster.port}`);
    const { store, follower } = await world.replicaBy(namespace, proxy.endpoint);
    for (let i = 0; i < 4; i++) {
      proxy.swallowAnswers();
      expect(await store.commit(commitOf(i, [sandbox(`s${i}`)]))).toMatchObject({ done: true, revision: i + 1 });
    }
    expect(history(follower)).toEqual(["1 s0", "2 s1", "3 s2", "4 s3"]);
    expect(await store.audit({ limit: 10 })).toHaveLength(4);
  });

  test("a commit that was not heard is made once", async () => {
    const namespace = await world.namespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${world.cluster.port}`);
    const { store, follower } = await world.replicaBy(namespace, proxy.endpoint);
    proxy.swallowRequests();
    expect(await store.commit(commitOf(0, [sandbox("a")]))).toMatchObject({ done: true, revision: 1 });
    expect(history(follower)).toEqual(["1 a"]);
  });

  test("a commit that was made, and after which another replica made one, is found again", async () => {
    const namespace = await world.namespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${world.cluster.port}`);
    const a = await world.replicaBy(namespace, proxy.endpoint);
    const b = await world.replica(namespace);
    proxy.swallowAnswers();
    const lost = a.store.commit(commitOf(0, [sandbox("a")]));
    await b.follower.until(({ revision }) => revision === 1);
    await b.store.commit(commitOf(1, [sandbox("b")]));
    expect(await lost).toMatchObject({ done: true, revision: 1 });
    await untilSame(a, b);
    expect(history(a.follower)).toEqual(["1 a", "2 b"]);
  });

  test("a commit whose outcome stays unknown is told to the follower when the store is back", async () => {
    const namespace = await world.namespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${world.cluster.port}`);
    const { store, follower } = await world.replicaBy(namespace, proxy.endpoint);
    const witness = await world.replica(namespace);
    proxy.swallowAnswers();
    const commit = commitOf(0, [sandbox("a")]);
    const lost: Promise<unknown> = store.commit(commit).catch((error: unknown) => error);
    await witness.follower.until(({ revision }) => revision === 1);
    proxy.part();
    expect(await lost).toBeInstanceOf(StoreUnavailableError);
    expect(follower.revision).toBe(0);
    proxy.join();
    await follower.until(({ revision, isReachable }) => revision === 1 && isReachable);
    expect(await store.commit(commit)).toMatchObject({ done: true, revision: 1 });
    expect(history(follower)).toEqual(["1 a"]);
  });
});

describe("snapshots", () => {
  test("bound the log, lose nothing, and two replicas that write them at once do not disturb each other", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace, { snapshots: { commitsMax: 20 } });
    const b = await world.replica(namespace, { snapshots: { commitsMax: 20 } });
    await expectRace(a, b, 150, () => Promise.resolve());
    expect(a.follower.resets).toHaveLength(1);
    expect(b.follower.resets).toHaveLength(1);
    await a.store.close();
    await b.store.close();
    const names = await world.names(namespace);
    expect(names.filter((name) => name.startsWith("t-")).length).toBeLessThan(60);
    const later = await world.replica(namespace);
    await untilSame(a, later);
    expect((await later.store.audit({ limit: 1000 })).map(({ revision }) => revision)).toEqual(
      Array.from({ length: 300 }, (_, i) => 300 - i),
    );
    await insist(later, sandbox("after"));
    expect(later.follower.revision).toBe(301);
  });

  test("a replica that slept through them makes no commit that nobody sees", async () => {
    const namespace = await world.namespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${world.cluster.port}`);
    const asleep = await world.replicaBy(namespace, proxy.endpoint);
    const awake = await world.replica(namespace, { snapshots: { commitsMax: 10 } });
    await insist(asleep, sandbox("before"));
    await awake.follower.until(({ revision }) => revision === 1);
    // Its request to create revision 2 stays on the way until revision 2 is long deleted.
    const blocked = new Set<string>();
    const client = await world.client();
    const late = new KubernetesStore({
      namespace,
      warn: () => {},
      client: async () => {
        const real = client.request.bind(client);
        client.request = async (asked) => {
          if (asked.method === "POST" && asked.path.endsWith("/tablecommits")) {
            blocked.add(asked.path);
            await awake.follower.until(({ revision }) => revision >= 40);
            while ((await world.names(namespace)).includes(commitName(2))) await pause(20);
          }
          return real(asked);
        };
        return client;
      },
    });
    const sleeper = await opened(late);
    const lost = sleeper.store.commit(commitOf(1, [sandbox("lost")]));
    await until(() => blocked.size > 0);
    for (let i = 0; i < 45; i++) await insist(awake, sandbox(`s${i}`));
    expect(await lost).toEqual({ done: false });
    expect(await world.names(namespace)).not.toContain(commitName(2));
    await untilSame(sleeper, awake);
    expect(has(sleeper.follower, "lost")).toBe(false);
    await insist(sleeper, sandbox("found"));
    await untilSame(sleeper, awake);
    expect(has(awake.follower, "found")).toBe(true);
  });

  test("a replica that was away while the log moved on gets everything anew", async () => {
    const namespace = await world.namespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${world.cluster.port}`);
    const a = await world.replicaBy(namespace, proxy.endpoint);
    const b = await world.replica(namespace, { snapshots: { commitsMax: 10 } });
    await a.store.commit(commitOf(0, [sandbox("old")]));
    await b.follower.until(({ revision }) => revision === 1);
    proxy.part();
    await a.follower.until(({ isReachable }) => !isReachable);
    await b.store.commit(commitOf(1, [sandbox("new")], [{ kind: "sandbox", name: "old" }]));
    for (let i = 0; i < 30; i++) await insist(b, sandbox(`s${i % 3}`));
    await world.compactEtcd();
    proxy.join();
    await a.follower.until(({ revision, isReachable }) => revision === b.follower.revision && isReachable);
    await untilSame(a, b);
    await insist(a, sandbox("more"));
    await untilSame(a, b);
    expect(a.follower.resets).toHaveLength(2);
  });
});

describe("sizes", () => {
  test("a commit of thousands of resources is one; one that is too large is refused with a sentence", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace);
    const b = await world.replica(namespace);
    const many = Array.from({ length: 10_000 }, (_, i) => sandbox(`s${i}`));
    expect(await a.store.commit(commitOf(0, many))).toMatchObject({ done: true, revision: 1 });
    await untilSame(a, b);
    expect(b.follower.changes).toHaveLength(1);
    const wide = [sandbox("wide", "10.0.0.1:1", randomBytes(1_200_000).toString("base64"))];
    await expect(a.store.commit(commitOf(1, wide))).rejects.toThrow(CommitTooLargeError);
    await expect(a.store.commit(commitOf(1, wide))).rejects.toThrow(
      /too large for an object of Kubernetes: \d{7} bytes, the store takes 1048576 at once/,
    );
    expect(await a.store.commit(commitOf(1, [sandbox("last")]))).toMatchObject({ done: true, revision: 2 });
  });

  test("a snapshot of much has many chunks", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace, { snapshots: { bytesMin: 1_000_000, commitsMax: 1000 } });
    const chunks = async (): Promise<number> =>
      (await world.names(namespace)).filter((name) => name.startsWith("s-")).length;
    // Snapshots are written beside commits, and the first may fit into one chunk.
    for (let i = 0; (await chunks()) < 2; i++) {
      const noise = (n: number): string => `${n} ${randomBytes(90_000).toString("base64")}`;
      await insist(a, sandbox(`s${i}a`, "10.0.0.1:1", noise(i)));
      await a.store.commit(
        commitOf(a.follower.revision, [
          sandbox(`s${i}b`, "10.0.0.1:1", noise(i)),
          sandbox(`s${i}c`, "10.0.0.1:1", noise(i)),
        ]),
      );
    }
    await a.store.close();
    const b = await world.replica(namespace);
    await untilSame(a, b);
    expect(b.follower.revision).toBe(a.follower.revision);
  });
});
