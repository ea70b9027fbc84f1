// What is done to the objects of the store in a real Kubernetes API, by hand and by accident, and to the rights of who writes them.
// Needs the programs of `npm run setup:kube` and etcd.
//
// Long because each fault needs its own course of events.
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { openStore } from "../../src/control/store/open-store.ts";
import { KubernetesStore } from "../../src/control/store/kubernetes/kubernetes-store.ts";
import { commitName } from "../../src/control/store/kubernetes/objects.ts";
import { StoreUnavailableError } from "../../src/control/store/store.ts";
import type { ReplicaRecord, Store } from "../../src/control/store/store.ts";
import { silentLog } from "../../src/base/log.ts";
import { KubernetesTokens } from "../../src/control/kubernetes-tokens.ts";
import { tokenReviewer } from "../../src/control/token-reviewer.ts";
import { connectKube } from "../../src/kube/client.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import { kubeconfigText } from "../support/kube/cluster.ts";
import { StoreWorld, pathOf } from "../support/kube/store-world.ts";
import type { KubeObject } from "../support/kube/kube-api.ts";
import { opened } from "../support/store-contract.ts";
import { commitOf, sandbox } from "../support/store-data.ts";
import { expectRace, has, insist, refusalOf, until, untilSame } from "../support/store-race.ts";
import { startSwallowingProxy } from "../support/swallowing-proxy.ts";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

let world: StoreWorld;
beforeAll(async () => {
  world = await StoreWorld.start();
}, 120_000);
afterAll(() => world?.cluster.stop());

interface SnapshotObject extends KubeObject {
  readonly spec: { readonly revision: number };
}

describe("what happens to the objects", () => {
  test("etcd is compacted and the API server started again: nothing is missed, and nothing is told twice", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace);
    const b = await world.replica(namespace);
    await expectRace(a, b, 40, async (progress) => {
      await until(() => progress() >= 20);
      await world.compactEtcd();
      await world.cluster.restartApiServer();
    });
    expect(a.follower.resets).toHaveLength(1);
  }, 120_000);

  test("all deleted: what is there then is followed, as another history", async () => {
    const namespace = await world.namespace();
    const { store, follower } = await world.replica(namespace);
    const { source } = store;
    await store.commit(commitOf(0, [sandbox("a")]));
    await world.cluster.kubectl(["-n", namespace, "delete", "tablecommits", "--all"]);
    await follower.until(({ resets }) => resets.length === 2);
    expect(follower.resets[1]).toEqual({ revision: 0, resources: [] });
    expect(store.source).not.toBe(source);
    await insist({ store, follower }, sandbox("b"));
    expect([...follower.resources.keys()]).toEqual(["sandbox/b"]);
  });

  test("a backup that is written back is another history with the same contents", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace, { snapshots: { commitsMax: 4 } });
    for (let i = 0; i < 6; i++) await insist(a, sandbox(`s${i}`));
    const { source } = a.store;
    await a.store.close();
    const backup = await world.cluster.kubectl(["-n", namespace, "get", "tablecommits", "-o", "yaml"]);
    await world.cluster.kubectl(["-n", namespace, "delete", "tablecommits", "--all"]);
    await world.cluster.kubectl(["create", "-f", "-"], { input: backup });
    const b = await world.replica(namespace);
    await untilSame(a, b);
    expect(b.follower.revision).toBe(6);
    expect(b.store.source).not.toBe(source);
    await insist(b, sandbox("more"));
  });

  test("restored to an earlier time under a running replica: what is there then is followed", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace);
    for (let i = 0; i < 3; i++) await insist(a, sandbox(`s${i}`));
    const { source } = a.store;
    // As after a restore of etcd: the last commits are not there, and were never deleted.
    await world.cluster.killApiServer();
    const key = `/registry/sidelane.dev/tablecommits/${namespace}/`;
    for (const revision of [2, 3]) await world.etcdctl("del", key + commitName(revision));
    await world.compactEtcd();
    await world.cluster.restartApiServer();
    await a.follower.until(({ resets, isReachable }) => resets.length === 2 && isReachable);
    expect(a.follower.resets[1]).toMatchObject({ revision: 1 });
    expect(a.store.source).not.toBe(source);
    await insist(a, sandbox("more"));
    const b = await world.replica(namespace);
    await untilSame(a, b);
    expect([...b.follower.resources.keys()]).toEqual(["sandbox/s0", "sandbox/more"]);
  });

  test("a commit that is needed deleted by somebody: a replica that knows it writes it down again", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace);
    for (let i = 0; i < 5; i++) await insist(a, sandbox(`s${i}`));
    await world.cluster.api.delete(`${pathOf(namespace)}/${commitName(3)}`);
    await world.cluster.api.until<SnapshotObject>(pathOf(namespace), "snapshot", ({ spec }) => spec.revision === 5);
    const b = await world.replica(namespace);
    await untilSame(a, b);
    await insist(b, sandbox("more"));
    await untilSame(a, b);
    expect(a.follower.resets).toHaveLength(1);
  });

  test("a commit made by hand changes nothing and blocks nothing", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace);
    await insist(a, sandbox("a"));
    const put = (revision: number, spec: object): Promise<unknown> =>
      world.cluster.api.create(pathOf(namespace), {
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
    const b = await world.replica(namespace);
    await untilSame(a, b);
    expect([...b.follower.resources.keys()].toSorted()).toEqual(["a", "b", "c", "d"].map((name) => `sandbox/${name}`));
  });

  test("a commit that is changed by hand is written down again as it was", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace);
    for (let i = 0; i < 4; i++) await insist(a, sandbox(`s${i}`));
    const nothing = JSON.stringify({ spec: { encoding: "json", data: '{"puts":[],"deletes":[],"audit":[]}' } });
    await world.cluster.kubectl([
      "-n",
      namespace,
      "patch",
      "tablecommit",
      commitName(2),
      "--type=merge",
      "-p",
      nothing,
    ]);
    await world.cluster.api.until<SnapshotObject>(pathOf(namespace), "snapshot", ({ spec }) => spec.revision === 4);
    const b = await world.replica(namespace);
    await untilSame(a, b);
    expect(has(b.follower, "s1")).toBe(true);
    expect(a.follower.resets).toHaveLength(1);
    // What is said beside a commit is nobody's business.
    await insist(a, sandbox("s4"));
    await world.cluster.kubectl(["-n", namespace, "label", "tablecommit", commitName(5), "backup=weekly"]);
    await insist(a, sandbox("s5"));
    const { spec } = await world.cluster.api.get<SnapshotObject>(`${pathOf(namespace)}/snapshot`);
    expect(spec.revision).toBe(4);
  });

  test.each(["a commit", "a chunk"])(
    "%s deleted while nobody looked: a replica that comes back writes it down",
    async (what) => {
      const namespace = await world.namespace();
      const proxy = await startSwallowingProxy(`127.0.0.1:${world.cluster.port}`);
      const snapshots = what === "a chunk" ? { commitsMax: 3 } : {};
      const a = await world.replicaBy(namespace, proxy.endpoint, { snapshots });
      for (let i = 0; i < 5; i++) await insist(a, sandbox(`s${i}`));
      if (what === "a chunk") {
        await world.cluster.api.until<SnapshotObject>(pathOf(namespace), "snapshot", ({ spec }) => spec.revision === 3);
      }
      proxy.part();
      await a.follower.until(({ isReachable }) => !isReachable);
      const chunk = (await world.names(namespace)).find((name) => name.startsWith("s-"));
      await world.cluster.api.delete(`${pathOf(namespace)}/${chunk ?? commitName(3)}`);
      proxy.join();
      await a.follower.until(({ isReachable }) => isReachable);
      await world.cluster.api.until<SnapshotObject>(pathOf(namespace), "snapshot", ({ spec }) => spec.revision === 5);
      const b = await world.replica(namespace);
      await untilSame(a, b);
      expect(b.follower.resources.size).toBe(5);
      expect(a.follower.resets).toHaveLength(1);
      await insist(b, sandbox("more"));
      await untilSame(a, b);
    },
  );

  test("a commit deleted that no replica knows any more: what is lost is told", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace);
    for (let i = 0; i < 4; i++) await insist(a, sandbox(`s${i}`));
    await a.store.close();
    await world.cluster.api.delete(`${pathOf(namespace)}/${commitName(2)}`);
    const told: string[] = [];
    const warn = (message: string): void => void told.push(message);
    const b = await world.replica(namespace, { warn });
    expect(b.follower.revision).toBe(1);
    expect(told).toEqual([
      `kubernetes://${namespace}: the TableCommit ${commitName(2)} is missing, and later ones are there: what they did is lost, the log goes on after revision 1`,
    ]);
    for (const name of ["a", "b", "c"]) await insist(b, sandbox(name));
    expect([...b.follower.resources.keys()]).toEqual(["s0", "a", "b", "c"].map((name) => `sandbox/${name}`));
  });

  test("all deleted while two replicas go on committing: what came in between is told of, and deleting once more begins anew", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace);
    const b = await world.replica(namespace);
    const over = new AbortController();
    const busy = [a, b].map(async ({ store, follower }, i) => {
      for (let n = 0; !over.signal.aborted; n++) {
        const commit = commitOf(follower.revision, [sandbox(`${i}-${n}`)]);
        await store.commit(commit).catch((error: unknown) => expect(error).toBeInstanceOf(StoreUnavailableError));
        await pause(1);
      }
    });
    await until(() => a.follower.revision > 30);
    const { source } = a.store;
    while (a.store.source === source || b.store.source === source) {
      await world.cluster.kubectl(["-n", namespace, "delete", "tablecommits", "--all"]);
      await pause(500);
    }
    over.abort();
    await Promise.all(busy);
    // What was made while the deletion went on may have left two histories: once nobody writes, one deletion ends both.
    const left = [a.store.source, b.store.source];
    await world.cluster.kubectl(["-n", namespace, "delete", "tablecommits", "--all"]);
    await until(() => a.store.source === b.store.source && !left.includes(a.store.source));
    for (const { follower } of [a, b]) await follower.until(({ isReachable }) => isReachable);
    await insist(a, sandbox("after"));
    await untilSame(a, b);
    await insist(b, sandbox("more"));
    await untilSame(a, b);
    expect(a.store.source).toBe(b.store.source);
  }, 120_000);

  test("a commit that comes after all was deleted does not stay", async () => {
    const namespace = await world.namespace();
    const client = await world.client();
    const real = client.request.bind(client);
    const late = await opened(
      new KubernetesStore({
        namespace,
        warn: () => {},
        client: async () => {
          client.request = async (asked) => {
            if (asked.method === "POST" && JSON.stringify(asked.body).includes("late")) {
              await world.cluster.kubectl(["-n", namespace, "delete", "tablecommits", "--all"]);
            }
            return real(asked);
          };
          return client;
        },
      }),
    );
    await insist(late, sandbox("early"));
    await expect(late.store.commit(commitOf(1, [sandbox("late")]))).rejects.toThrow(StoreUnavailableError);
    await late.follower.until(({ resets, isReachable }) => resets.length === 2 && isReachable);
    expect(await world.names(namespace)).toEqual(["snapshot"]);
    await insist(late, sandbox("anew"));
    expect([...late.follower.resources.keys()]).toEqual(["sandbox/anew"]);
  });

  test("a commit by hand with the right words and the wrong contents changes nothing", async () => {
    const namespace = await world.namespace();
    const a = await world.replica(namespace);
    await insist(a, sandbox("a"));
    const { spec } = await world.cluster.api.get<KubeObject & { readonly spec: { readonly commit: string } }>(
      `${pathOf(namespace)}/${commitName(1)}`,
    );
    const contents = [
      { puts: [{ ...sandbox("x"), spec: {} }], deletes: [], audit: [] },
      { puts: [], deletes: [{ kind: "cluster", name: "x" }], audit: [] },
    ];
    for (const [i, content] of contents.entries()) {
      await world.cluster.api.create(pathOf(namespace), {
        apiVersion: "sidelane.dev/v1alpha1",
        kind: "TableCommit",
        metadata: { name: commitName(2 + i) },
        spec: {
          ...{ format: 1, record: "commit", revision: 2 + i, commit: `by-hand-${i}` },
          previous: i === 0 ? spec.commit : `by-hand-${i - 1}`,
          ...{ encoding: "json", data: JSON.stringify(content) },
        },
      });
    }
    await a.follower.until(({ revision }) => revision === 3);
    expect(a.follower.changes.slice(1)).toEqual([
      { revision: 2, puts: [], deletes: [] },
      { revision: 3, puts: [], deletes: [] },
    ]);
    await insist(a, sandbox("b"));
    expect([...a.follower.resources.keys()]).toEqual(["sandbox/a", "sandbox/b"]);
  });

  test("a follower that does not take in what it is told is told everything once more", async () => {
    const namespace = await world.namespace();
    const told: unknown[] = [];
    const store = world.store(namespace);
    onTestFinished(() => store.close());
    let faults = 2;
    const fail = (): void => {
      if (faults-- > 0) throw new Error("it stumbles");
    };
    await store.open({
      reachable: () => {},
      reset({ revision, resources }) {
        if (revision > 0) fail();
        told.push(`reset ${revision}: ${resources.map(({ name }) => name).join(" ")}`);
      },
      changed({ revision }) {
        fail();
        told.push(`changed ${revision}`);
      },
    });
    const { source } = store;
    expect(await store.commit(commitOf(0, [sandbox("a")]))).toMatchObject({ done: true });
    await until(() => told.length === 2);
    expect(store.source).toBe(source);
    await store.commit(commitOf(1, [sandbox("b")]));
    expect(told).toEqual(["reset 0: ", "reset 1: a", "changed 2"]);
  });

  test("of a later format, or without what is needed, is refused", async () => {
    const namespace = await world.namespace();
    const put = (name: string, spec: object): Promise<unknown> =>
      world.cluster.api.create(pathOf(namespace), {
        apiVersion: "sidelane.dev/v1alpha1",
        kind: "TableCommit",
        metadata: { name },
        spec: { record: "snapshot", revision: 0, ...spec },
      });
    await put(commitName(7), { format: 1 });
    expect(await refusalOf(world.store(namespace))).toContain("the TableCommit snapshot is missing");
    await put("snapshot", { format: 2, source: "s", chunks: [] });
    expect(await refusalOf(world.store(namespace))).toContain("the data has format 2, this version knows format 1");
    await world.cluster.api.delete(`${pathOf(namespace)}/snapshot`);
    await put("snapshot", { format: 1, source: "s", revision: 3, chunks: ["s-gone"] });
    expect(await refusalOf(world.store(namespace))).toContain("the TableCommit s-gone is missing");
  });
});

describe("who may", () => {
  const all = ["get", "list", "watch", "create", "update", "delete"];
  const rule = (verbs: readonly string[], ofLeases: readonly string[]) => [
    { apiGroups: ["sidelane.dev"], resources: ["tablecommits"], verbs },
    { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ofLeases },
  ];
  const roleOf = (namespace: string): string => `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles`;

  function setRights(namespace: string, verbs: readonly string[], ofLeases = all): Promise<unknown> {
    const rules = JSON.stringify({ rules: rule(verbs, ofLeases) });
    return world.cluster.kubectl(["-n", namespace, "patch", "role", "control", "--type=merge", "-p", rules]);
  }

  async function storeAs(namespace: string, verbs: readonly string[], ofLeases = all): Promise<Store> {
    const api = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
    const kubeconfig = await world.cluster.kubeconfigFor(namespace, "control");
    await world.cluster.api.create(roleOf(namespace), { metadata: { name: "control" }, rules: rule(verbs, ofLeases) });
    await world.cluster.api.create(`${api}/rolebindings`, {
      metadata: { name: "control" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "control" },
      subjects: [{ kind: "ServiceAccount", name: "control", namespace }],
    });
    return openStore(`kubernetes://${namespace}`, { kube: () => connectKube({ kubeconfig }) });
  }

  test("a ServiceAccount with the rights of the chart does all of it", async () => {
    const namespace = await world.namespace();
    const replica = await opened(await storeAs(namespace, all));
    await insist(replica, sandbox("a"));
    await replica.store.noteTraffic({ a: 1 });
    await replica.store.join({ id: "a", url: "", secret: "", startedAt: "" }, () => {});
    expect(await replica.store.traffic()).toEqual({ a: 1 });
    const leases = await world.cluster.api.list(`/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`);
    expect(leases.map(({ metadata }) => metadata.name)).toEqual(["sidelane-control-a"]);
  });

  test("one that may not list is told what it needs", async () => {
    const namespace = await world.namespace();
    expect(await refusalOf(await storeAs(namespace, ["get"]))).toContain(
      `its ServiceAccount needs get, list, watch, create, update and delete for tablecommits.sidelane.dev in the namespace ${namespace}`,
    );
  });

  test("the rights taken away and given back: reading goes on, writing says what it needs, and all goes on by itself", async () => {
    const namespace = await world.namespace();
    const a = await opened(await storeAs(namespace, all));
    const b = await world.replica(namespace);
    await insist(a, sandbox("a"));
    await setRights(namespace, ["patch"]);
    await a.follower.until(({ isReachable }) => !isReachable);
    expect(a.follower.reachability.at(-1)?.why).toContain(
      "needs get, list, watch, create, update and delete for tablecommits",
    );
    await expect(a.store.commit(commitOf(1, [sandbox("b")]))).rejects.toThrow(
      /its ServiceAccount needs get, list, watch/,
    );
    await insist(b, sandbox("meanwhile"));
    expect(has(a.follower, "a")).toBe(true);
    await setRights(namespace, all);
    await a.follower.until(({ isReachable }) => isReachable);
    await insist(a, sandbox("c"));
    await untilSame(a, b);
    expect(a.follower.resets).toHaveLength(1);
    // To write alone: whoever writes is told, nobody else.
    await setRights(namespace, ["get", "list", "watch"]);
    await expect(async () => {
      for (let i = 0; i < 100; i++) await a.store.commit(commitOf(a.follower.revision, [sandbox(`w${i}`)]));
    }).rejects.toThrow(/its ServiceAccount needs/);
    await insist(b, sandbox("d"));
    await a.follower.until((follower) => has(follower, "d"));
  });

  test("one that may not have a Lease does not join: others would not know of its sidecars", async () => {
    const namespace = await world.namespace();
    const told: (readonly ReplicaRecord[])[] = [];
    const record = (id: string): ReplicaRecord => ({ id, url: "", secret: "", startedAt: "" });
    const without = await opened(await storeAs(namespace, all, ["get"]));
    await expect(without.store.join(record("a"), (replicas) => told.push(replicas))).rejects.toThrow(
      `its ServiceAccount needs get, list, watch, create, update and delete for leases.coordination.k8s.io in the namespace ${namespace}`,
    );
    await setRights(namespace, all);
    const kubeconfig = await world.cluster.kubeconfigFor(namespace, "control");
    const warned: string[] = [];
    const client = (): Promise<KubeClient> => connectKube({ kubeconfig });
    const store = new KubernetesStore({ namespace, client, warn: (message) => warned.push(message) });
    const { store: a } = await opened(store);
    const b = await world.replica(namespace);
    let known = "";
    await vi.waitFor(() => a.join(record("a"), (replicas) => (known = replicas.map(({ id }) => id).join(" "))), 10_000);
    await b.store.join(record("b"), () => {});
    await until(() => known === "a b");
    await setRights(namespace, all, ["patch"]);
    await until(() => warned.length > 0);
    expect(warned).toEqual([expect.stringContaining("replicas do not hear of each other any more: ") as string]);
    // Whoever was known is not taken for dead.
    expect(known).toBe("a b");
  });

  test("a namespace that is not there, and a cluster that is not there", async () => {
    expect(await refusalOf(world.store("nowhere"))).toContain("kubectl create namespace nowhere");
    const file = join(world.cluster.folder, "nobody.kubeconfig");
    await writeFile(file, kubeconfigText("https://127.0.0.1:1", world.cluster.ca, "x"));
    const store = openStore("kubernetes://x", { kube: () => connectKube({ kubeconfig: file }) });
    expect(await refusalOf(store)).toContain(
      "the store kubernetes://x cannot be used: the Kubernetes API at https://127.0.0.1:1 gave no answer",
    );
  }, 60_000);
});

test("tokens of ServiceAccounts are told from others by the API server", async () => {
  const namespace = await world.namespace();
  const review = tokenReviewer(await world.client());
  const token = await world.cluster.token(namespace, "checkout", { audience: "sidelane" });
  const name = `system:serviceaccount:${namespace}:checkout`;
  expect(await review(token, "sidelane")).toEqual({ name });
  expect(await review(token, "another")).toBeUndefined();
  expect(await review(`${token.slice(0, -4)}AAAA`, "sidelane")).toBeUndefined();
  expect(await review(await world.cluster.token(namespace, "checkout"), "sidelane")).toBeUndefined();
  const roles = [{ name: "system:serviceaccount:*:checkout", role: "sidecar" as const }];
  const tokens = new KubernetesTokens({ audience: "sidelane", roles }, review, silentLog, { freshMs: 0 });
  expect(tokens.mayKnow(token)).toBe(true);
  expect(await tokens.identify(token, "")).toEqual({ name, role: "sidecar", replica: false });
  await world.cluster.killApiServer();
  expect(await tokens.identify(token, "")).toMatchObject({ name });
  // In the middle of the signature: of its last character only two bits count.
  const other = token.replace(/.(?=.{20}$)/u, (letter) => (letter === "A" ? "B" : "A"));
  expect(await tokens.identify(other, "")).toMatchObject({ because: "unavailable" });
  await world.cluster.restartApiServer();
  await world.cluster.api.delete(`/api/v1/namespaces/${namespace}/serviceaccounts/checkout`);
  expect(await tokens.identify(token, "")).toMatchObject({ refused: expect.stringContaining("not known") as string });
}, 60_000);
