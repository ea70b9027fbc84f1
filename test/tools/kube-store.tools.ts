// The store in a real Kubernetes API: the contract of all stores, several replicas, and everything that can be taken away from
// them. Needs the programs of `npm run setup:kube` and etcd.
//
// Long because each fault needs its own course of events.
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import type { Resource } from "../../src/control/resource.ts";
import { openStore } from "../../src/control/store/open-store.ts";
import { KubernetesStore } from "../../src/control/store/kubernetes/kubernetes-store.ts";
import type { SnapshotTimes } from "../../src/control/store/kubernetes/snapshots.ts";
import { commitName } from "../../src/control/store/kubernetes/objects.ts";
import { CommitTooLargeError, StoreUnavailableError, StoreUnusableError } from "../../src/control/store/store.ts";
import type { ReplicaRecord, Store, StoreFollower } from "../../src/control/store/store.ts";
import { silentLog } from "../../src/base/log.ts";
import { KubernetesTokens } from "../../src/control/kubernetes-tokens.ts";
import { tokenReviewer } from "../../src/control/token-reviewer.ts";
import { connectKube } from "../../src/kube/client.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import { kubeconfigText, startCluster } from "../support/kube/cluster.ts";
import type { Cluster } from "../support/kube/cluster.ts";
import type { KubeObject } from "../support/kube/kube-api.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { loadControlConfig } from "../../src/config/load-control-config.ts";
import { prepareSidecar } from "../../src/cli/sidecar.ts";
import { startControl } from "../../src/control/start-control.ts";
import type { RunningControl } from "../../src/control/start-control.ts";
import { describeStore, opened } from "../support/store-contract.ts";
import type { RecordingFollower } from "../support/store-contract.ts";
import { commitOf, sandbox } from "../support/store-data.ts";
import { startSwallowingProxy } from "../support/swallowing-proxy.ts";
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";

interface Replica {
  readonly store: Store;
  readonly follower: RecordingFollower;
}

const CRD = join(import.meta.dirname, "../../deploy/helm/sidelane/definitions/tablecommits.yaml");

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster({ manifests: [CRD] });
}, 120_000);
afterAll(() => cluster?.stop());

let namespaces = 0;
async function newNamespace(): Promise<string> {
  const name = `store-${++namespaces}`;
  await cluster.api.create("/api/v1/namespaces", { metadata: { name } });
  return name;
}

const clientOf = (): Promise<KubeClient> => connectKube({ kubeconfig: cluster.kubeconfig });

/** A client whose connections go through something that may lose what passes. */
async function kubeconfigBy(endpoint: string): Promise<string> {
  const port = endpoint.slice(endpoint.lastIndexOf(":") + 1);
  const file = join(cluster.folder, `by-${port}.kubeconfig`);
  const admin = JSON.parse(await cluster.kubectl(["config", "view", "--raw", "-o", "json"])) as {
    readonly users: readonly [{ readonly user: { readonly token: string } }];
  };
  await writeFile(file, kubeconfigText(`https://127.0.0.1:${port}`, cluster.ca, admin.users[0].user.token));
  return file;
}

const storeIn = (namespace: string): Store => openStore(`kubernetes://${namespace}`, { kube: clientOf });

function replicaOf(namespace: string, snapshots: Partial<SnapshotTimes> = {}): Promise<Replica> {
  return opened(new KubernetesStore({ namespace, client: clientOf, warn: () => {}, snapshots }));
}

async function replicaBy(namespace: string, endpoint: string): Promise<Replica> {
  const kubeconfig = await kubeconfigBy(endpoint);
  return opened(openStore(`kubernetes://${namespace}`, { kube: () => connectKube({ kubeconfig }) }));
}

interface SnapshotObject extends KubeObject {
  readonly spec: { readonly revision: number };
}

const pathOf = (namespace: string): string => `/apis/sidelane.dev/v1alpha1/namespaces/${namespace}/tablecommits`;

async function namesIn(namespace: string): Promise<string[]> {
  return (await cluster.api.list(pathOf(namespace))).map(({ metadata }) => metadata.name);
}

/** Commits puts, as often as another commit comes first or the store is away. */
async function insist({ store, follower }: Replica, put: Resource): Promise<number> {
  for (;;) {
    const basedOn = follower.revision;
    try {
      const result = await store.commit(commitOf(basedOn, [put]));
      if (result.done) return result.revision;
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      // It may have been made after all: then it is there, or comes when the store is back.
      await follower.until(({ isReachable }) => isReachable);
      if (has(follower, put.name)) return follower.revision;
    }
  }
}

function has(follower: RecordingFollower, name: string): boolean {
  return follower.resources.has(`sandbox/${name}`);
}

/** What each revision brought, as told. */
function history({ changes }: RecordingFollower): string[] {
  return changes.map(({ revision, puts }) => `${revision} ${puts.map(({ name }) => name).join(" ")}`);
}

async function untilSame(a: Replica, b: Replica): Promise<void> {
  const highest = Math.max(a.follower.revision, b.follower.revision);
  for (const { follower } of [a, b]) await follower.until(({ revision }) => revision >= highest);
  expect([...a.follower.resources].toSorted(byKey)).toEqual([...b.follower.resources].toSorted(byKey));
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** Two replicas commit `each` times at once, while something happens; nothing may be lost or made twice. */
async function expectRace(a: Replica, b: Replica, each: number, meanwhile: (progress: () => number) => Promise<void>) {
  const started = a.follower.revision;
  const begun = [a.follower.changes.length, b.follower.changes.length];
  const commits = async (replica: Replica, letter: string): Promise<void> => {
    for (let i = 0; i < each; i++) await insist(replica, sandbox(`${letter}${i}`));
  };
  const done = Promise.all([commits(a, "a"), commits(b, "b")]);
  await Promise.all([done, meanwhile(() => a.follower.revision - started)]);
  await untilSame(a, b);
  for (let i = 0; i < each; i++) for (const letter of ["a", "b"]) expect(has(a.follower, `${letter}${i}`)).toBe(true);
  expect(a.follower.revision).toBe(started + 2 * each);
  for (const [i, { follower }] of [a, b].entries()) {
    if (follower.resets.length > 1) continue;
    const names = follower.changes.slice(begun[i]).flatMap(({ puts }) => puts.map(({ name }) => name));
    expect(new Set(names).size).toBe(2 * each);
    expect(names).toHaveLength(2 * each);
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(5);
}

async function refusalOf(store: Store): Promise<string> {
  const follower: StoreFollower = { reset: () => {}, changed: () => {}, reachable: () => {} };
  const error: unknown = await store.open(follower).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  await store.close();
  expect(error).toBeInstanceOf(StoreUnusableError);
  return (error as Error).message;
}

describeStore("kubernetes", async () => {
  const namespace = await newNamespace();
  return { again: () => storeIn(namespace), shared: true };
});

describe("two replicas", () => {
  test("committing at once: one order, the same for both, with one source", async () => {
    const namespace = await newNamespace();
    const a = await replicaOf(namespace);
    const b = await replicaOf(namespace);
    expect(b.store.source).toBe(a.store.source);
    await expectRace(a, b, 150, () => Promise.resolve());
    expect(history(a.follower)).toEqual(history(b.follower));
    const audit = await b.store.audit({ limit: 1000 });
    expect(audit.map(({ revision }) => revision)).toEqual(Array.from({ length: 300 }, (_, i) => 300 - i));
  });

  test("starting at once make one source", async () => {
    const namespace = await newNamespace();
    const replicas = await Promise.all(Array.from({ length: 5 }, () => replicaOf(namespace)));
    expect(new Set(replicas.map(({ store }) => store.source)).size).toBe(1);
  });

  test("know of each other until one ends, and until some seconds after one dies", async () => {
    const namespace = await newNamespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${cluster.port}`);
    const a = await replicaOf(namespace);
    const b = await replicaBy(namespace, proxy.endpoint);
    const c = await replicaOf(namespace);
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

describe("an API server that dies or stands still", () => {
  test("kill -9 and a new start, twice, while two replicas commit", async () => {
    const namespace = await newNamespace();
    const a = await replicaOf(namespace);
    const b = await replicaOf(namespace);
    await expectRace(a, b, 100, async (progress) => {
      for (const at of [30, 110]) {
        await until(() => progress() >= at);
        await cluster.restartApiServer();
      }
    });
  }, 180_000);

  test("SIGSTOP, while two replicas commit", async () => {
    const namespace = await newNamespace();
    const a = await replicaOf(namespace);
    const b = await replicaOf(namespace);
    await expectRace(a, b, 60, async (progress) => {
      await until(() => progress() >= 30);
      const go = cluster.pauseApiServer();
      await Promise.all([a, b].map(({ follower }) => follower.until(({ isReachable }) => !isReachable))).finally(go);
    });
  }, 120_000);

  test("stopped: writing says so within seconds, reading goes on, and all goes on by itself", async () => {
    const namespace = await newNamespace();
    const { store, follower } = await replicaOf(namespace);
    await store.commit(commitOf(0, [sandbox("a")]));
    await cluster.killApiServer();
    const refused: unknown = await store.commit(commitOf(1, [sandbox("b")])).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(StoreUnavailableError);
    expect((refused as Error).message).toContain(
      `the store kubernetes://${namespace} cannot be reached: the Kubernetes API at ${cluster.server} gave no answer`,
    );
    await follower.until(({ isReachable }) => !isReachable);
    expect(has(follower, "a")).toBe(true);
    await expect(store.audit({ limit: 1 })).rejects.toThrow(StoreUnavailableError);
    await expect(store.noteTraffic({ a: 1 })).rejects.toThrow(StoreUnavailableError);
    await cluster.restartApiServer();
    await follower.until(({ isReachable }) => isReachable);
    await insist({ store, follower }, sandbox("c"));
    expect(follower.revision).toBe(has(follower, "b") ? 3 : 2);
    expect(follower.reachability.map(({ yes }) => yes)).toEqual([true, false, true]);
    expect(follower.resets).toHaveLength(1);
  }, 60_000);
});

describe("answers that get lost", () => {
  test("a commit that was made is found again, and made once", async () => {
    const namespace = await newNamespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${cluster.port}`);
    const { store, follower } = await replicaBy(namespace, proxy.endpoint);
    for (let i = 0; i < 4; i++) {
      proxy.swallowAnswers();
      expect(await store.commit(commitOf(i, [sandbox(`s${i}`)]))).toMatchObject({ done: true, revision: i + 1 });
    }
    expect(history(follower)).toEqual(["1 s0", "2 s1", "3 s2", "4 s3"]);
    expect(await store.audit({ limit: 10 })).toHaveLength(4);
  });

  test("a commit that was not heard is made once", async () => {
    const namespace = await newNamespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${cluster.port}`);
    const { store, follower } = await replicaBy(namespace, proxy.endpoint);
    proxy.swallowRequests();
    expect(await store.commit(commitOf(0, [sandbox("a")]))).toMatchObject({ done: true, revision: 1 });
    expect(history(follower)).toEqual(["1 a"]);
  });

  test("a commit that was made, and after which another replica made one, is found again", async () => {
    const namespace = await newNamespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${cluster.port}`);
    const a = await replicaBy(namespace, proxy.endpoint);
    const b = await replicaOf(namespace);
    proxy.swallowAnswers();
    const lost = a.store.commit(commitOf(0, [sandbox("a")]));
    await b.follower.until(({ revision }) => revision === 1);
    await b.store.commit(commitOf(1, [sandbox("b")]));
    expect(await lost).toMatchObject({ done: true, revision: 1 });
    await untilSame(a, b);
    expect(history(a.follower)).toEqual(["1 a", "2 b"]);
  });

  test("a commit whose outcome stays unknown is told to the follower when the store is back", async () => {
    const namespace = await newNamespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${cluster.port}`);
    const { store, follower } = await replicaBy(namespace, proxy.endpoint);
    const witness = await replicaOf(namespace);
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
    const namespace = await newNamespace();
    const a = await replicaOf(namespace, { commitsMax: 20 });
    const b = await replicaOf(namespace, { commitsMax: 20 });
    await expectRace(a, b, 150, () => Promise.resolve());
    expect(a.follower.resets).toHaveLength(1);
    expect(b.follower.resets).toHaveLength(1);
    await a.store.close();
    await b.store.close();
    const names = await namesIn(namespace);
    expect(names.filter((name) => name.startsWith("t-")).length).toBeLessThan(60);
    const later = await replicaOf(namespace);
    await untilSame(a, later);
    expect((await later.store.audit({ limit: 1000 })).map(({ revision }) => revision)).toEqual(
      Array.from({ length: 300 }, (_, i) => 300 - i),
    );
    await insist(later, sandbox("after"));
    expect(later.follower.revision).toBe(301);
  });

  test("a replica that slept through them makes no commit that nobody sees", async () => {
    const namespace = await newNamespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${cluster.port}`);
    const asleep = await replicaBy(namespace, proxy.endpoint);
    const awake = await replicaOf(namespace, { commitsMax: 10 });
    await insist(asleep, sandbox("before"));
    await awake.follower.until(({ revision }) => revision === 1);
    // Its request to create revision 2 stays on the way until revision 2 is long deleted.
    const blocked = new Set<string>();
    const client = await clientOf();
    const late = new KubernetesStore({
      namespace,
      warn: () => {},
      client: async () => {
        const real = client.request.bind(client);
        client.request = async (asked) => {
          if (asked.method === "POST" && asked.path.endsWith("/tablecommits")) {
            blocked.add(asked.path);
            await awake.follower.until(({ revision }) => revision >= 40);
            while ((await namesIn(namespace)).includes(commitName(2))) await pause(20);
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
    expect(await namesIn(namespace)).not.toContain(commitName(2));
    await untilSame(sleeper, awake);
    expect(has(sleeper.follower, "lost")).toBe(false);
    await insist(sleeper, sandbox("found"));
    await untilSame(sleeper, awake);
    expect(has(awake.follower, "found")).toBe(true);
  });

  test("a replica that was away while the log moved on gets everything anew", async () => {
    const namespace = await newNamespace();
    const proxy = await startSwallowingProxy(`127.0.0.1:${cluster.port}`);
    const a = await replicaBy(namespace, proxy.endpoint);
    const b = await replicaOf(namespace, { commitsMax: 10 });
    await a.store.commit(commitOf(0, [sandbox("old")]));
    await b.follower.until(({ revision }) => revision === 1);
    proxy.part();
    await a.follower.until(({ isReachable }) => !isReachable);
    await b.store.commit(commitOf(1, [sandbox("new")], [{ kind: "sandbox", name: "old" }]));
    for (let i = 0; i < 30; i++) await insist(b, sandbox(`s${i % 3}`));
    await compactEtcd();
    proxy.join();
    await a.follower.until(({ revision, isReachable }) => revision === b.follower.revision && isReachable);
    await untilSame(a, b);
    await insist(a, sandbox("more"));
    await untilSame(a, b);
    expect(a.follower.resets).toHaveLength(2);
  });
});

async function etcdctl(...command: readonly string[]): Promise<string> {
  const env = { ...process.env, ETCDCTL_API: "3" };
  const { stdout } = await promisify(execFile)("etcdctl", [`--endpoints=${cluster.etcd}`, ...command], { env });
  return stdout;
}

/** Forgets all that is past, so that watches that begin there are answered with 410. */
async function compactEtcd(): Promise<void> {
  const status = JSON.parse(await etcdctl("endpoint", "status", "--write-out=json")) as [
    { Status: { header: { revision: number } } },
  ];
  await etcdctl("compact", String(status[0].Status.header.revision));
}

describe("what happens to the objects", () => {
  test("etcd is compacted and the API server started again: nothing is missed, and nothing is told twice", async () => {
    const namespace = await newNamespace();
    const a = await replicaOf(namespace);
    const b = await replicaOf(namespace);
    await expectRace(a, b, 40, async (progress) => {
      await until(() => progress() >= 20);
      await compactEtcd();
      await cluster.restartApiServer();
    });
    expect(a.follower.resets).toHaveLength(1);
  }, 120_000);

  test("all deleted: what is there then is followed, as another history", async () => {
    const namespace = await newNamespace();
    const { store, follower } = await replicaOf(namespace);
    const { source } = store;
    await store.commit(commitOf(0, [sandbox("a")]));
    await cluster.kubectl(["-n", namespace, "delete", "tablecommits", "--all"]);
    await follower.until(({ resets }) => resets.length === 2);
    expect(follower.resets[1]).toEqual({ revision: 0, resources: [] });
    expect(store.source).not.toBe(source);
    await insist({ store, follower }, sandbox("b"));
    expect([...follower.resources.keys()]).toEqual(["sandbox/b"]);
  });

  test("a backup that is written back is another history with the same contents", async () => {
    const namespace = await newNamespace();
    const a = await replicaOf(namespace, { commitsMax: 4 });
    for (let i = 0; i < 6; i++) await insist(a, sandbox(`s${i}`));
    const { source } = a.store;
    await a.store.close();
    const backup = await cluster.kubectl(["-n", namespace, "get", "tablecommits", "-o", "yaml"]);
    await cluster.kubectl(["-n", namespace, "delete", "tablecommits", "--all"]);
    await cluster.kubectl(["create", "-f", "-"], { input: backup });
    const b = await replicaOf(namespace);
    await untilSame(a, b);
    expect(b.follower.revision).toBe(6);
    expect(b.store.source).not.toBe(source);
    await insist(b, sandbox("more"));
  });

  test("restored to an earlier time under a running replica: what is there then is followed", async () => {
    const namespace = await newNamespace();
    const a = await replicaOf(namespace);
    for (let i = 0; i < 3; i++) await insist(a, sandbox(`s${i}`));
    const { source } = a.store;
    // As after a restore of etcd: the last commits are not there, and were never deleted.
    await cluster.killApiServer();
    const key = `/registry/sidelane.dev/tablecommits/${namespace}/`;
    for (const revision of [2, 3]) await etcdctl("del", key + commitName(revision));
    await compactEtcd();
    await cluster.restartApiServer();
    await a.follower.until(({ resets, isReachable }) => resets.length === 2 && isReachable);
    expect(a.follower.resets[1]).toMatchObject({ revision: 1 });
    expect(a.store.source).not.toBe(source);
    await insist(a, sandbox("more"));
    const b = await replicaOf(namespace);
    await untilSame(a, b);
    expect([...b.follower.resources.keys()]).toEqual(["sandbox/s0", "sandbox/more"]);
  });

  test("a commit that is needed deleted by somebody: a replica that knows it writes it down again", async () => {
    const namespace = await newNamespace();
    const a = await replicaOf(namespace);
    for (let i = 0; i < 5; i++) await insist(a, sandbox(`s${i}`));
    await cluster.api.delete(`${pathOf(namespace)}/${commitName(3)}`);
    await cluster.api.until<SnapshotObject>(pathOf(namespace), "snapshot", ({ spec }) => spec.revision === 5);
    const b = await replicaOf(namespace);
    await untilSame(a, b);
    await insist(b, sandbox("more"));
    await untilSame(a, b);
    expect(a.follower.resets).toHaveLength(1);
  });

  test("a commit made by hand changes nothing and blocks nothing", async () => {
    const namespace = await newNamespace();
    const a = await replicaOf(namespace);
    await insist(a, sandbox("a"));
    const put = (revision: number, spec: object): Promise<unknown> =>
      cluster.api.create(pathOf(namespace), {
        apiVersion: "sidelane.dev/v1alpha1",
        kind: "TableCommit",
        metadata: { name: commitName(revision) },
        spec: { format: 1, record: "commit", revision, ...spec },
      });
    await put(2, { encoding: "gzip", data: "nonsense" });
    await a.follower.until(({ revision }) => revision === 2);
    await put(5, { commit: "x", previous: "y", encoding: "json", data: '{"puts":[],"deletes":[],"audit":[]}' });
    for (const name of ["b", "c", "d"]) await insist(a, sandbox(name));
    expect(a.follower.revision).toBe(6);
    const b = await replicaOf(namespace);
    await untilSame(a, b);
    expect([...b.follower.resources.keys()].toSorted()).toEqual(["a", "b", "c", "d"].map((name) => `sandbox/${name}`));
  });

  test("of a later format, or without what is needed, is refused", async () => {
    const namespace = await newNamespace();
    const put = (name: string, spec: object): Promise<unknown> =>
      cluster.api.create(pathOf(namespace), {
        apiVersion: "sidelane.dev/v1alpha1",
        kind: "TableCommit",
        metadata: { name },
        spec: { record: "snapshot", revision: 0, ...spec },
      });
    await put(commitName(7), { format: 1 });
    expect(await refusalOf(storeIn(namespace))).toContain("the TableCommit snapshot is missing");
    await put("snapshot", { format: 2, source: "s", chunks: [] });
    expect(await refusalOf(storeIn(namespace))).toContain("the data has format 2, this version knows format 1");
    await cluster.api.delete(`${pathOf(namespace)}/snapshot`);
    await put("snapshot", { format: 1, source: "s", revision: 3, chunks: ["s-gone"] });
    expect(await refusalOf(storeIn(namespace))).toContain("the TableCommit s-gone is missing");
  });
});

describe("sizes", () => {
  test("a commit of thousands of resources is one; one that is too large is refused with a sentence", async () => {
    const namespace = await newNamespace();
    const a = await replicaOf(namespace);
    const b = await replicaOf(namespace);
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
    const namespace = await newNamespace();
    const a = await replicaOf(namespace, { bytesMin: 1_000_000, commitsMax: 1000 });
    for (let i = 0; i < 8; i++) {
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
    expect((await namesIn(namespace)).filter((name) => name.startsWith("s-")).length).toBeGreaterThan(1);
    const b = await replicaOf(namespace);
    await untilSame(a, b);
  });
});

describe("who may", () => {
  const rule = (verbs: readonly string[]) => [
    { apiGroups: ["sidelane.dev"], resources: ["tablecommits"], verbs },
    {
      apiGroups: ["coordination.k8s.io"],
      resources: ["leases"],
      verbs: ["get", "list", "watch", "create", "update", "delete"],
    },
  ];
  const all = ["get", "list", "watch", "create", "update", "delete"];

  async function storeAs(namespace: string, verbs: readonly string[]): Promise<Store> {
    const api = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
    const kubeconfig = await cluster.kubeconfigFor(namespace, "control");
    await cluster.api.create(`${api}/roles`, { metadata: { name: "control" }, rules: rule(verbs) });
    await cluster.api.create(`${api}/rolebindings`, {
      metadata: { name: "control" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "control" },
      subjects: [{ kind: "ServiceAccount", name: "control", namespace }],
    });
    return openStore(`kubernetes://${namespace}`, { kube: () => connectKube({ kubeconfig }) });
  }

  test("a ServiceAccount with the rights of the chart does all of it", async () => {
    const namespace = await newNamespace();
    const replica = await opened(await storeAs(namespace, all));
    await insist(replica, sandbox("a"));
    await replica.store.noteTraffic({ a: 1 });
    await replica.store.join({ id: "a", url: "", secret: "", startedAt: "" }, () => {});
    expect(await replica.store.traffic()).toEqual({ a: 1 });
    const leases = await cluster.api.list(`/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`);
    expect(leases.map(({ metadata }) => metadata.name)).toEqual(["sidelane-control-a"]);
  });

  test("one that may not list is told what it needs", async () => {
    const namespace = await newNamespace();
    expect(await refusalOf(await storeAs(namespace, ["get"]))).toContain(
      `its ServiceAccount needs get, list, watch, create, update and delete for tablecommits.sidelane.dev in the namespace ${namespace}`,
    );
  });

  test("a namespace that is not there, and a cluster that is not there", async () => {
    expect(await refusalOf(storeIn("nowhere"))).toContain("kubectl create namespace nowhere");
    const file = join(cluster.folder, "nobody.kubeconfig");
    await writeFile(file, kubeconfigText("https://127.0.0.1:1", cluster.ca, "x"));
    const store = openStore("kubernetes://x", { kube: () => connectKube({ kubeconfig: file }) });
    expect(await refusalOf(store)).toContain(
      "the store kubernetes://x cannot be used: the Kubernetes API at https://127.0.0.1:1 gave no answer",
    );
  }, 60_000);
});

test("tokens of ServiceAccounts are told from others by the API server", async () => {
  const namespace = await newNamespace();
  const review = tokenReviewer(await clientOf());
  const token = await cluster.token(namespace, "checkout", { audience: "sidelane" });
  const name = `system:serviceaccount:${namespace}:checkout`;
  expect(await review(token, "sidelane")).toEqual({ name });
  expect(await review(token, "another")).toBeUndefined();
  expect(await review(`${token.slice(0, -4)}AAAA`, "sidelane")).toBeUndefined();
  expect(await review(await cluster.token(namespace, "checkout"), "sidelane")).toBeUndefined();
  const roles = [{ name: "system:serviceaccount:*:checkout", role: "sidecar" as const }];
  const tokens = new KubernetesTokens({ audience: "sidelane", roles }, review, silentLog, { freshMs: 0 });
  expect(tokens.mayKnow(token)).toBe(true);
  expect(await tokens.identify(token)).toEqual({ name, role: "sidecar", replica: false });
  await cluster.killApiServer();
  expect(await tokens.identify(token)).toMatchObject({ name });
  const other = token.replace(/.$/u, "A");
  expect(await tokens.identify(other)).toMatchObject({ because: "unavailable" });
  await cluster.restartApiServer();
  await cluster.api.delete(`/api/v1/namespaces/${namespace}/serviceaccounts/checkout`);
  expect(await tokens.identify(token)).toMatchObject({ refused: expect.stringContaining("not known") as string });
}, 60_000);

test("a control plane of two replicas in Kubernetes, its API and its sidecars with tokens of ServiceAccounts", async () => {
  const namespace = await newNamespace();
  const before = process.env["KUBECONFIG"];
  process.env["KUBECONFIG"] = cluster.kubeconfig;
  onTestFinished(() => {
    if (before === undefined) delete process.env["KUBECONFIG"];
    else process.env["KUBECONFIG"] = before;
  });
  const roles = [
    { name: `system:serviceaccount:${namespace}:people`, role: "editor" },
    { name: "system:serviceaccount:*:*", role: "sidecar" },
  ];
  const text = JSON.stringify({
    store: `kubernetes://${namespace}`,
    ...{ api: { address: "127.0.0.1:0" }, feed: { address: "127.0.0.1:0" } },
    ...{ auth: { kubernetes: { roles } }, timeouts: { drainMs: 0 }, connect: { host: "127.0.0.1" } },
  });
  const read = loadControlConfig(text, "/control.yaml", {});
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  const start = async (): Promise<RunningControl> => {
    const control = await startControl(read.config, silentLog, "test");
    onTestFinished(() => control.close());
    return control;
  };
  const a = await start();
  const b = await start();
  const people = await cluster.token(namespace, "people", { audience: "sidelane" });
  const pod = await cluster.token(namespace, "checkout", { audience: "sidelane" });
  const ask = (at: RunningControl, method: string, path: string, token: string, body?: object): Promise<Response> =>
    fetch(`http://${at.api}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const made = await ask(a, "PUT", "/v1/services/checkout", people, { hosts: ["checkout"], baseline: ["127.0.0.1:1"] });
  expect(made.status).toBe(201);
  await vi.waitFor(async () => expect((await ask(b, "GET", "/v1/services/checkout", people)).status).toBe(200));
  expect((await ask(b, "GET", "/v1/services/checkout", pod)).status).toBe(403);
  expect((await ask(b, "GET", "/v1/services/checkout", "guess-guess-guess")).status).toBe(401);
  const audit = (await (await ask(b, "GET", "/v1/audit", people)).json()) as { readonly entries: readonly object[] };
  expect(audit.entries).toMatchObject([{ actor: `system:serviceaccount:${namespace}:people`, name: "checkout" }]);

  const folder = await mkdtemp(join(cluster.folder, "sidecar-"));
  await writeFile(join(folder, "token"), pod);
  const config = {
    service: "checkout",
    listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: "127.0.0.1:1" }],
    table: { control: b.feed, keep: join(folder, "kept.json"), tokenFile: join(folder, "token") },
    admin: { address: "127.0.0.1:0" },
  };
  const proxy = loadConfig(JSON.stringify(config), join(folder, "sidelane.yaml"), {});
  if (!proxy.ok) throw new Error(JSON.stringify(proxy.problems));
  const sidecar = await prepareSidecar(proxy.config, silentLog);
  onTestFinished(() => sidecar.close());
  await sidecar.open();
  await vi.waitFor(async () => {
    const { sidecars } = (await (await ask(a, "GET", "/v1/sidecars", people)).json()) as {
      readonly sidecars: object[];
    };
    expect(sidecars).toMatchObject([{ service: "checkout" }]);
  }, 20_000);
}, 60_000);
