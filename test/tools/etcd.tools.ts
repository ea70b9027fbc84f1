// The store on real etcd: the contract of all stores, several replicas, and everything that can be taken away from them. Not part
// of `npm test`, because etcd may be missing; where these tests run it has to be there (`apt-get install etcd-server etcd-client`),
// and they cut networks, which needs root and `ip` and `iptables`.
//
// Long because each fault needs a cluster of its own.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { openStore } from "../../src/control/store/open-store.ts";
import { CommitTooLargeError, StoreUnavailableError } from "../../src/control/store/store.ts";
import type { ReplicaRecord, Store } from "../../src/control/store/store.ts";
import { makeAuthority } from "../support/certificates.ts";
import { startEtcd } from "../support/etcd.ts";
import type { Etcd } from "../support/etcd.ts";
import { makeIslands } from "../support/etcd-islands.ts";
import { describeStore, opened } from "../support/store-contract.ts";
import { commitOf, sandbox } from "../support/store-data.ts";
import { expectRace, has, history, insist, refusalOf, until, untilSame } from "../support/store-race.ts";
import type { Replica } from "../support/store-race.ts";
import { startSwallowingProxy } from "../support/swallowing-proxy.ts";

describeStore("etcd", async () => {
  const { endpoints } = await startEtcd();
  return { again: () => openStore(`etcd://${endpoints}/test`), shared: true };
});

/** Endpoints with the leader's first, so that a replica is connected to it. */
async function leaderFirst({ members, leader }: Etcd): Promise<string> {
  const first = await leader();
  return [first, ...members.filter((member) => member !== first)].map(({ endpoint }) => endpoint).join(",");
}

const replicaOf = (endpoints: string): Promise<Replica> => opened(openStore(`etcd://${endpoints}/test`));

describe("two replicas", () => {
  test("committing at once: one order, the same for both, with one source", async () => {
    const { endpoints } = await startEtcd({ members: 3 });
    const a = await replicaOf(endpoints);
    const b = await replicaOf(endpoints);
    expect(b.store.source).toBe(a.store.source);
    await expectRace(a, b, 100, () => Promise.resolve());
    expect(history(a.follower)).toEqual(history(b.follower));
    const audit = await b.store.audit({ limit: 1000 });
    expect(audit.map(({ revision }) => revision)).toEqual(Array.from({ length: 200 }, (_, i) => 200 - i));
  });

  test("know of each other until one ends, and until some seconds after one dies", async () => {
    const { endpoints } = await startEtcd();
    const proxy = await startSwallowingProxy(endpoints);
    const [a, b, c] = [await replicaOf(endpoints), await replicaOf(proxy.endpoint), await replicaOf(endpoints)];
    let seen: readonly ReplicaRecord[] = [];
    const record = (id: string): ReplicaRecord => ({ id, url: `http://${id}`, secret: id, startedAt: "" });
    const ids = (): string => seen.map(({ id }) => id).join(" ");
    await a.store.join(record("a"), (replicas) => (seen = replicas));
    expect(seen).toEqual([record("a")]);
    let seenByB = 0;
    await b.store.join(record("b"), ({ length }) => (seenByB = length));
    await c.store.join(record("c"), () => {});
    await until(() => ids() === "a b c" && seenByB === 3);
    await c.store.close();
    await until(() => ids() === "a b");
    proxy.part();
    await until(() => ids() === "a");
    proxy.join();
    await until(() => ids() === "a b");
  });
});

describe("members that die or stand still", () => {
  test("kill -9 of the leader, twice, while two replicas commit", async () => {
    const etcd = await startEtcd({ members: 3 });
    const a = await replicaOf(await leaderFirst(etcd));
    const b = await replicaOf(etcd.endpoints);
    await expectRace(a, b, 120, async (progress) => {
      for (const at of [40, 140]) {
        await until(() => progress() >= at);
        const leader = await etcd.leader();
        await leader.kill();
        await until(() => progress() >= at + 30);
        await leader.start();
      }
    });
  }, 120_000);

  test("SIGSTOP of the leader, while two replicas commit", async () => {
    const etcd = await startEtcd({ members: 3 });
    const a = await replicaOf(await leaderFirst(etcd));
    const b = await replicaOf(etcd.endpoints);
    await expectRace(a, b, 60, async (progress) => {
      await until(() => progress() >= 30);
      const leader = await etcd.leader();
      leader.signal("SIGSTOP");
      await until(() => progress() >= 60);
      leader.signal("SIGCONT");
    });
  }, 120_000);

  test.each(["SIGSTOP", "SIGKILL"] as const)(
    "%s of all: writing says so within seconds, reading goes on, and all goes on by itself",
    async (signal) => {
      const { members, endpoints } = await startEtcd({ members: 3 });
      const { store, follower } = await replicaOf(endpoints);
      await store.commit(commitOf(0, [sandbox("a")]));
      for (const member of members) await (signal === "SIGKILL" ? member.kill() : member.signal(signal));
      const refused: unknown = await store.commit(commitOf(1, [sandbox("b")])).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(StoreUnavailableError);
      for (const { endpoint } of members) expect((refused as Error).message).toContain(`${endpoint}: `);
      await follower.until(({ isReachable }) => !isReachable);
      expect(follower.reachability.at(-1)?.why).toContain(`the store etcd://${endpoints}/test cannot be reached: `);
      expect(has(follower, "a")).toBe(true);
      await expect(store.audit({ limit: 1 })).rejects.toThrow(StoreUnavailableError);
      for (const member of members) void (signal === "SIGKILL" ? member.start() : member.signal("SIGCONT"));
      await follower.until(({ isReachable }) => isReachable);
      await insist({ store, follower }, sandbox("c"));
      expect(has(follower, "c")).toBe(true);
      // The one that was refused may have been made when etcd came back, and then once.
      expect(follower.revision).toBe(has(follower, "b") ? 3 : 2);
      expect(follower.reachability.map(({ yes }) => yes)).toEqual([true, false, true]);
    },
    60_000,
  );
});

describe("answers that get lost", () => {
  test("a commit that was made is found again, and made once", async () => {
    const { endpoints } = await startEtcd();
    const proxy = await startSwallowingProxy(endpoints);
    const { store, follower } = await replicaOf(proxy.endpoint);
    for (let i = 0; i < 5; i++) {
      proxy.swallowAnswers();
      expect(await store.commit(commitOf(i, [sandbox(`s${i}`)]))).toMatchObject({ done: true, revision: i + 1 });
    }
    expect(history(follower)).toEqual(["1 s0", "2 s1", "3 s2", "4 s3", "5 s4"]);
    expect(await store.audit({ limit: 10 })).toHaveLength(5);
  });

  test("a commit that was not heard is made once", async () => {
    const { endpoints } = await startEtcd();
    const proxy = await startSwallowingProxy(endpoints);
    const { store, follower } = await replicaOf(proxy.endpoint);
    proxy.swallowRequests();
    expect(await store.commit(commitOf(0, [sandbox("a")]))).toMatchObject({ done: true, revision: 1 });
    expect(history(follower)).toEqual(["1 a"]);
  });

  test("a commit that was made, and after which another replica made one, is found again", async () => {
    const { endpoints } = await startEtcd();
    const proxy = await startSwallowingProxy(endpoints);
    const a = await replicaOf(proxy.endpoint);
    const b = await replicaOf(endpoints);
    proxy.swallowAnswers();
    const lost = a.store.commit(commitOf(0, [sandbox("a")]));
    await b.follower.until(({ revision }) => revision === 1);
    await b.store.commit(commitOf(1, [sandbox("b")]));
    expect(await lost).toMatchObject({ done: true, revision: 1 });
    await untilSame(a, b);
    expect(history(a.follower)).toEqual(["1 a", "2 b"]);
  });

  test("a commit whose outcome stays unknown is told to the follower when the store is back", async () => {
    const { endpoints } = await startEtcd();
    const proxy = await startSwallowingProxy(endpoints);
    const { store, follower } = await replicaOf(proxy.endpoint);
    const witness = await replicaOf(endpoints);
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

describe("what happens to etcd's data", () => {
  test("compaction while a replica is away: it gets everything anew, at one revision", async () => {
    const { endpoints, ctl } = await startEtcd();
    const proxy = await startSwallowingProxy(endpoints);
    const a = await replicaOf(proxy.endpoint);
    const b = await replicaOf(endpoints);
    await a.store.commit(commitOf(0, [sandbox("old")]));
    proxy.part();
    await a.follower.until(({ isReachable }) => !isReachable);
    await b.follower.until(({ revision }) => revision === 1);
    await b.store.commit(commitOf(1, [sandbox("new")], [{ kind: "sandbox", name: "old" }]));
    for (let revision = 2; revision < 6; revision++) await b.store.commit(commitOf(revision, [sandbox("new")]));
    const status = JSON.parse(await ctl("endpoint", "status", "--write-out=json")) as [
      { Status: { header: { revision: number } } },
    ];
    await ctl("compact", String(status[0].Status.header.revision));
    proxy.join();
    await a.follower.until(({ revision, isReachable }) => revision === 6 && isReachable);
    expect(a.follower.resets.map(({ revision }) => revision)).toEqual([0, 6]);
    expect([...a.follower.resources.keys()]).toEqual(["sandbox/new"]);
    await b.store.commit(commitOf(6, [sandbox("more")]));
    await untilSame(a, b);
  });

  test("compaction of what was seen long ago changes nothing", async () => {
    const { endpoints, ctl } = await startEtcd();
    const proxy = await startSwallowingProxy(endpoints);
    const a = await replicaOf(proxy.endpoint);
    for (let i = 0; i < 20; i++) await ctl("put", "/elsewhere", String(i));
    // One look at the head later, it is known that nothing of these concerns anybody here.
    await pause(4500);
    await ctl("compact", "20");
    proxy.part();
    await a.follower.until(({ isReachable }) => !isReachable);
    proxy.join();
    await a.follower.until(({ isReachable }) => isReachable);
    await a.store.commit(commitOf(0, [sandbox("a")]));
    expect(a.follower.resets).toHaveLength(1);
  });

  test("emptied: what it has then is followed, as another history", async () => {
    const { members, endpoints } = await startEtcd();
    const { store, follower } = await replicaOf(endpoints);
    const { source } = store;
    await store.commit(commitOf(0, [sandbox("a")]));
    for (const member of members) {
      await member.kill();
      await member.forget();
      await member.start();
    }
    await follower.until(({ resets }) => resets.length === 2);
    expect(follower.resets[1]).toEqual({ revision: 0, resources: [] });
    expect(store.source).not.toBe(source);
    await insist({ store, follower }, sandbox("b"));
    expect([...follower.resources.keys()]).toEqual(["sandbox/b"]);
  });

  test("written by hand: it is taken as it is, and what is no resource is left out and named", async () => {
    const { endpoints, ctl } = await startEtcd();
    const warned: string[] = [];
    const store = openStore(`etcd://${endpoints}/test`, { warn: (message) => warned.push(message) });
    const { follower } = await opened(store);
    await store.commit(commitOf(0, [sandbox("a"), sandbox("b")]));
    await ctl("put", "/test/table/sandbox/c", "{nonsense");
    await ctl("del", "/test/table/sandbox/a");
    await follower.until(({ resources }) => resources.size === 1);
    await follower.until(({ isReachable }) => isReachable);
    expect(warned.join("\n")).toContain("/test/table/sandbox/c is no resource and is left out; delete it: etcdctl del");
    expect(warned.join("\n")).toContain("was written by something else than a control plane");
    await insist({ store, follower }, sandbox("d"));
    expect([...follower.resources.keys()]).toEqual(["sandbox/b", "sandbox/d"]);
  });

  test("of a later format, or of something else, is refused", async () => {
    const { endpoints, ctl } = await startEtcd();
    const store = (): Store => openStore(`etcd://${endpoints}/test`);
    await ctl("put", "/test/table/head", '{"format":2,"source":"s","revision":1,"commit":"c"}');
    expect(await refusalOf(store())).toContain("the data has format 2, this version knows format 1");
    await ctl("put", "/test/table/head", "hello");
    expect(await refusalOf(store())).toContain("the key /test/table/head holds something else");
  });

  test("the audit log keeps its newest entries", async () => {
    const { endpoints, ctl } = await startEtcd();
    const log = (revision: number): string => `/test/log/${String(revision).padStart(16, "0")}`;
    for (const revision of [3, 4, 5]) await ctl("put", log(revision), '{"commit":"x","entries":[]}');
    await ctl("put", "/test/table/head", '{"format":1,"source":"s","revision":10004,"commit":"c"}');
    const { store } = await replicaOf(endpoints);
    await store.commit(commitOf(10_004, [sandbox("a")]));
    expect((await ctl("get", "--prefix", "/test/log/", "--keys-only")).split(/\s+/)).toEqual([log(5), log(10_005), ""]);
    expect(await store.audit({ limit: 10 })).toMatchObject([{ name: "a", revision: 10_005 }]);
  });
});

describe("sizes", () => {
  test("a commit of a thousand resources is one; one that etcd would not take is refused with a sentence", async () => {
    const { endpoints } = await startEtcd();
    const a = await replicaOf(endpoints);
    const b = await replicaOf(endpoints);
    const many = Array.from({ length: 1500 }, (_, i) => sandbox(`s${i}`));
    expect(await a.store.commit(commitOf(0, many))).toMatchObject({ done: true, revision: 1 });
    await untilSame(a, b);
    expect(b.follower.changes).toHaveLength(1);
    expect(b.follower.resources.size).toBe(1500);
    // In pages.
    const c = await replicaOf(endpoints);
    await untilSame(b, c);

    const wide = [sandbox("wide", "10.0.0.1:1", "x".repeat(2_000_000))];
    await expect(a.store.commit(commitOf(1, wide))).rejects.toThrow(CommitTooLargeError);
    await expect(a.store.commit(commitOf(1, wide))).rejects.toThrow(
      /too large for etcd: 20\d+ bytes, it takes 1568768 at once/,
    );
    const long = Array.from({ length: 3000 }, (_, i) => sandbox(`t${i}`));
    await expect(a.store.commit(commitOf(1, long))).rejects.toThrow(/too large for etcd: 3000 operations/);
    expect(await a.store.commit(commitOf(1, [sandbox("last")]))).toMatchObject({ done: true, revision: 2 });
  });

  test("an etcd that takes less says so", async () => {
    const { endpoints } = await startEtcd({ options: ["--max-request-bytes=10000"] });
    const { store } = await replicaOf(endpoints);
    const wide = [sandbox("wide", "10.0.0.1:1", "x".repeat(50_000))];
    await expect(store.commit(commitOf(0, wide))).rejects.toThrow(/too large for this etcd .*--max-request-bytes/);
  });
});

test("an etcd that is full says what to do, and reading goes on", async () => {
  const { endpoints, ctl } = await startEtcd({ options: ["--quota-backend-bytes=1000000"] });
  const { store, follower } = await replicaOf(endpoints);
  await expect(
    (async () => {
      for (;;) await store.commit(commitOf(follower.revision, [sandbox("a", "10.0.0.1:1", "x".repeat(100_000))]));
    })(),
  ).rejects.toThrow(/database space exceeded \(etcdctl compact, defrag, alarm disarm\)/);
  expect(has(follower, "a")).toBe(true);
  expect(await store.audit({ limit: 1 })).toHaveLength(1);
  await ctl("compact", String(follower.revision));
  await ctl("defrag");
  await ctl("alarm", "disarm");
  await store.commit(commitOf(follower.revision, [sandbox("b")]));
  expect(has(follower, "b")).toBe(true);
});

describe("who may", () => {
  async function withUsers(etcd: Etcd): Promise<void> {
    await etcd.ctl("user", "add", "root:root");
    // The role exists only in some versions.
    await etcd.ctl("role", "add", "root").catch(() => {});
    await etcd.ctl("user", "grant-role", "root", "root");
    await etcd.ctl("role", "add", "sidelane");
    await etcd.ctl("role", "grant-permission", "sidelane", "--prefix=true", "readwrite", "/test/");
    await etcd.ctl("user", "add", "control:secret");
    await etcd.ctl("user", "grant-role", "control", "sidelane");
    await etcd.ctl("auth", "enable");
  }

  test("a user with a password, also after etcd forgot its token", async () => {
    const etcd = await startEtcd();
    await withUsers(etcd);
    const store = (username: string | undefined, password: string, prefix = "/test"): Store =>
      openStore(`etcd://${etcd.endpoints}${prefix}`, { etcd: username === undefined ? {} : { username, password } });
    const { store: good, follower } = await opened(store("control", "secret"));
    await good.commit(commitOf(0, [sandbox("a")]));
    for (const member of etcd.members) {
      await member.kill();
      await member.start();
    }
    await follower.until(({ isReachable }) => isReachable);
    await insist({ store: good, follower }, sandbox("b"));
    const other = await opened(store("control", "secret"));
    await other.store.commit(commitOf(2, [sandbox("c")]));
    await follower.until(({ revision }) => revision === 3);

    expect(await refusalOf(store("control", "wrong"))).toContain("(look at etcd.username and etcd.passwordFile)");
    expect(await refusalOf(store(undefined, ""))).toContain(
      "(it asks for a user: etcd.username and etcd.passwordFile)",
    );
    expect(await refusalOf(store("control", "secret", "/other"))).toContain(
      "(the user needs readwrite below the prefix",
    );
  });

  test("client certificates", async () => {
    const authority = await makeAuthority();
    const pair = await authority.sign("etcd", { names: ["localhost"], addresses: ["127.0.0.1"] });
    const folder = await mkdtemp(join(tmpdir(), "sidelane-etcd-tls-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const file = async (name: string, text: string): Promise<string> => {
      await writeFile(join(folder, name), text);
      return join(folder, name);
    };
    const ca = await file("ca.pem", authority.certificate);
    const certificate = await file("cert.pem", pair.certificate);
    const key = await file("key.pem", pair.key);
    const { endpoints } = await startEtcd({ tls: { ca, certificate, key, clientCertificates: true } });
    const client = await authority.sign("control");
    const url = `etcds://${endpoints}/test`;
    const { store, follower } = await opened(openStore(url, { etcd: { ca: authority.certificate, ...client } }));
    await store.commit(commitOf(0, [sandbox("a")]));
    expect(follower.revision).toBe(1);
    expect(store.name).toBe(url);

    const stranger = await makeAuthority("Somebody Else");
    expect(await refusalOf(openStore(url, { etcd: { ca: stranger.certificate, ...client } }))).toContain("certificate");
    expect(await refusalOf(openStore(url, { etcd: { ca: authority.certificate } }))).toContain(endpoints);
    expect(() => openStore(url, { etcd: { ca: "nonsense", certificate: "x", key: "y" } })).toThrow(
      /etcd\.tls cannot be used/,
    );
    expect(() => openStore(`etcd://${endpoints}`, { etcd: { ca: authority.certificate } })).toThrow(/write etcds:\/\//);
  }, 60_000);

  test("nobody there is said with what was tried", async () => {
    expect(await refusalOf(openStore("etcd://127.0.0.1:1,127.0.0.1:2/x"))).toMatch(
      /^the store etcd:\/\/127\.0\.0\.1:1,127\.0\.0\.1:2\/x cannot be used: 127\.0\.0\.1:1: .*ECONNREFUSED.*; 127\.0\.0\.1:2: /,
    );
  });
});

describe("partitions", () => {
  test("the leader is cut off from everybody, while two replicas commit", async () => {
    const places = await makeIslands(3);
    const etcd = await startEtcd({ places });
    const a = await replicaOf(await leaderFirst(etcd));
    const b = await replicaOf(etcd.endpoints);
    await expectRace(a, b, 60, async (progress) => {
      await until(() => progress() >= 30);
      const leader = await etcd.leader();
      const island = places.find(({ address }) => leader.endpoint.startsWith(`${address}:`));
      await island?.cut();
      await until(() => progress() >= 60);
      await island?.heal();
    });
  }, 120_000);

  test("a replica that reaches only the minority reads and does not write; nothing is lost or made twice", async () => {
    const places = await makeIslands(3);
    const [one, two, three] = places;
    if (one === undefined || two === undefined || three === undefined) throw new Error("three islands");
    const { members } = await startEtcd({ places });
    const a = await replicaOf(members[0]?.endpoint ?? "");
    const b = await replicaOf([members[1]?.endpoint, members[2]?.endpoint].join(","));
    await insist(a, sandbox("before"));
    for (const other of [two, three]) await one.block(other);
    const refused: unknown = await a.store
      .commit(commitOf(a.follower.revision, [sandbox("minority")]))
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(StoreUnavailableError);
    await a.follower.until(({ isReachable }) => !isReachable);
    for (let i = 0; i < 5; i++) await insist(b, sandbox(`majority${i}`));
    expect(has(a.follower, "before")).toBe(true);
    expect(has(a.follower, "majority0")).toBe(false);
    for (const other of [two, three]) await one.unblock(other);
    await a.follower.until(({ isReachable }) => isReachable);
    await insist(a, sandbox("after"));
    await untilSame(a, b);
    // That of the minority is in nobody's table: its revision was taken by another.
    expect(has(b.follower, "minority")).toBe(false);
    expect(b.follower.revision).toBe(7);
    expect(history(a.follower)).toEqual(history(b.follower));
  }, 120_000);

  test("all are cut off without a word: said within seconds, and all goes on by itself", async () => {
    const places = await makeIslands(3);
    const etcd = await startEtcd({ places });
    const a = await replicaOf(etcd.endpoints);
    const b = await replicaOf(etcd.endpoints);
    await insist(a, sandbox("before"));
    for (const place of places) await place.cut();
    await expect(a.store.commit(commitOf(1, [sandbox("x")]))).rejects.toThrow(/cannot be reached: .*no answer in time/);
    for (const { follower } of [a, b]) await follower.until(({ isReachable }) => !isReachable);
    for (const place of places) await place.heal();
    for (const { follower } of [a, b]) await follower.until(({ isReachable }) => isReachable);
    await expectRace(a, b, 10, () => Promise.resolve());
    expect(a.follower.reachability.map(({ yes }) => yes)).toEqual([true, false, true]);
  }, 120_000);
});
