import { describe, expect, test } from "vitest";
import { type Log, silentLog } from "../base/log.ts";
import { Expiry } from "./expiry.ts";
import { groupResource, sandboxResource } from "./fixture.ts";
import type { SidecarInfo } from "./feed/sidecars.ts";
import type { Resource, SandboxSpec } from "./resource.ts";
import { ControlState } from "./state.ts";
import type { Commit, CommitResult, Store } from "./store/store.ts";
import { StoreUnavailableError } from "./store/store.ts";
import { Traffic } from "./traffic.ts";
import { Writer } from "./writer.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const createdMs = Date.parse("2026-01-02T03:04:05.000Z");

/** One store, in memory, that several replicas follow. */
class MemoryStore implements Pick<Store, "commit" | "noteTraffic" | "traffic"> {
  readonly commits: Commit[] = [];
  readonly times: Record<string, number> = {};
  readonly notes: Readonly<Record<string, number>>[] = [];
  readonly followers: ControlState[] = [];
  down = false;
  revision = 1;

  async commit(commit: Commit): Promise<CommitResult> {
    // As if there were a way to it: others may come first.
    await Promise.resolve();
    if (this.down) throw new StoreUnavailableError("the store is down");
    if (commit.basedOn !== this.revision) return { done: false };
    const revision = ++this.revision;
    const puts = commit.puts.map((put) => ({ ...put, meta: { ...put.meta, version: revision } }));
    this.commits.push(commit);
    for (const follower of this.followers) follower.changed({ revision, puts, deletes: commit.deletes });
    return { done: true, revision, puts };
  }

  async noteTraffic(times: Readonly<Record<string, number>>): Promise<void> {
    if (this.down) throw new StoreUnavailableError("the store is down");
    this.notes.push(times);
    for (const [name, at] of Object.entries(times)) this.times[name] = Math.max(at, this.times[name] ?? 0);
  }

  async traffic(): Promise<Readonly<Record<string, number>>> {
    if (this.down) throw new StoreUnavailableError("the store is down");
    return { ...this.times };
  }
}

class Clock {
  nowMs = createdMs;
  steadyMs = 0;

  passes(ms: number): void {
    this.nowMs += ms;
    this.steadyMs += ms;
  }
}

/** A replica on a store. */
function startReplica(store: MemoryStore, clock: Clock, resources: readonly Resource[]) {
  const state = new ControlState();
  state.reset({ revision: store.revision, resources });
  store.followers.push(state);
  const lines: string[] = [];
  const log: Log = {
    ...silentLog,
    info: (message, fields) => void lines.push(`info ${message} ${fields?.["sandbox"] ?? ""}`),
    warn: (message, fields) => void lines.push(`warn ${message} ${fields?.["sandbox"] ?? ""}`),
    error: (message) => void lines.push(`error ${message}`),
  };
  let tell: (names: readonly string[]) => void = () => {};
  const sidecars = {
    onActivity(listener: (info: SidecarInfo, activity: { used: readonly string[]; busy: [] }) => void) {
      tell = (used) => listener({} as SidecarInfo, { used, busy: [] });
      return () => {};
    },
  };
  const traffic = new Traffic({ state, sidecars, store, log, nowMs: () => clock.nowMs });
  const writer = new Writer(state, store as unknown as Store);
  const clocks = { nowMs: () => clock.nowMs, steadyMs: () => clock.steadyMs };
  const expiry = new Expiry({ state, writer, traffic, log, ...clocks });
  return { state, traffic, expiry, lines, used: (...names: readonly string[]) => tell(names) };
}

const pr7 = (spec: Partial<SandboxSpec> = {}): Resource => sandboxResource("pr-7", { ttl: "1h", ...spec });

describe("expiry", () => {
  test("warns once when four fifths are over, deletes at the end, and says who did it", async () => {
    const [store, clock] = [new MemoryStore(), new Clock()];
    const { expiry, state, lines } = startReplica(store, clock, [pr7(), sandboxResource("pr-8")]);
    const sandbox = state.find("sandbox", "pr-7");
    await expiry.look();
    expect(sandbox && expiry.endOf(sandbox)).toEqual({ expiresAt: new Date(createdMs + HOUR), warned: false });
    clock.passes(48 * MINUTE);
    await expiry.look();
    await expiry.look();
    expect(sandbox && expiry.endOf(sandbox)).toMatchObject({ warned: true });
    expect(lines).toEqual(["warn a sandbox expires soon pr-7"]);
    clock.passes(12 * MINUTE);
    await expiry.look();
    expect(state.list("sandbox").map(({ name }) => name)).toEqual(["pr-8"]);
    expect(lines).toEqual(["warn a sandbox expires soon pr-7", "info sandbox expired and was deleted pr-7"]);
    expect(store.commits[0]?.audit).toEqual([
      expect.objectContaining({ actor: "sidelane", action: "expire", name: "pr-7", detail: "1h since its creation" }),
    ]);
  });

  test("of several replicas one deletes, and the others say nothing", async () => {
    const [store, clock] = [new MemoryStore(), new Clock()];
    const replicas = [1, 2, 3].map(() => startReplica(store, clock, [pr7()]));
    clock.passes(HOUR);
    await Promise.all(replicas.map(({ expiry }) => expiry.look()));
    expect(store.commits).toHaveLength(1);
    expect(replicas.flatMap(({ lines }) => lines)).toEqual(["info sandbox expired and was deleted pr-7"]);
  });

  test("takes it out of the groups that list it, in the same commit", async () => {
    const [store, clock] = [new MemoryStore(), new Clock()];
    const group = groupResource("release", { sandboxes: ["pr-8", "pr-7"] });
    const { expiry, state } = startReplica(store, clock, [pr7(), sandboxResource("pr-8"), group]);
    clock.passes(HOUR);
    await expiry.look();
    expect(store.commits).toHaveLength(1);
    expect(state.find("group", "release")?.spec.sandboxes).toEqual(["pr-8"]);
  });

  test("a store that is down delays, is told once, and doubles nothing", async () => {
    const [store, clock] = [new MemoryStore(), new Clock()];
    const { expiry, lines } = startReplica(store, clock, [pr7()]);
    clock.passes(HOUR);
    store.down = true;
    await expiry.look();
    await expiry.look();
    expect(lines).toEqual(["warn an expired sandbox could not be deleted, trying again pr-7"]);
    store.down = false;
    await Promise.all([expiry.look(), expiry.look()]);
    expect(store.commits).toHaveLength(1);
  });

  test("what is given more time before the commit stays", async () => {
    const [store, clock] = [new MemoryStore(), new Clock()];
    const { expiry, state, lines } = startReplica(store, clock, [pr7()]);
    clock.passes(HOUR);
    const looking = expiry.look();
    store.revision++;
    state.changed({ revision: store.revision, puts: [pr7({ ttl: "2h" })], deletes: [] });
    await looking;
    expect(store.commits).toEqual([]);
    expect(lines).toEqual([]);
  });

  test("a clock that jumps deletes nothing before it has stood still for a minute", async () => {
    const [store, clock] = [new MemoryStore(), new Clock()];
    const { expiry, lines } = startReplica(store, clock, [pr7()]);
    clock.nowMs += 24 * HOUR;
    await expiry.look();
    clock.nowMs -= 24 * HOUR;
    clock.passes(5000);
    await expiry.look();
    clock.passes(59 * MINUTE);
    await expiry.look();
    expect(store.commits).toEqual([]);
    expect(lines.filter((line) => line.includes("clock"))).toHaveLength(2);
    clock.passes(MINUTE);
    await expiry.look();
    expect(store.commits).toHaveLength(1);
  });
});

describe("traffic", () => {
  const lively = pr7({ ttlFrom: "traffic" });

  test("keeps a sandbox whose ttl counts from it", async () => {
    const [store, clock] = [new MemoryStore(), new Clock()];
    const { expiry, used, state } = startReplica(store, clock, [lively]);
    clock.passes(59 * MINUTE);
    used("pr-7");
    clock.passes(HOUR);
    await expiry.look();
    // Late rather than early: what a replica has not heard of yet may be this old.
    expect(state.find("sandbox", "pr-7")).toBeDefined();
    clock.passes(75_000);
    await expiry.look();
    expect(state.find("sandbox", "pr-7")).toBeUndefined();
    expect(store.commits[0]?.audit[0]?.detail).toBe("1h since its last traffic");
  });

  test("on another replica keeps it as well, as long as the store can say so", async () => {
    const [store, clock] = [new MemoryStore(), new Clock()];
    const here = startReplica(store, clock, [lively]);
    const there = startReplica(store, clock, [lively]);
    clock.passes(30 * MINUTE);
    there.used("pr-7");
    await there.traffic.write();
    clock.passes(32 * MINUTE);
    store.down = true;
    await here.expiry.look();
    store.down = false;
    await here.expiry.look();
    expect(store.commits).toEqual([]);
    expect(here.traffic.lastMs("pr-7")).toBe(createdMs + 30 * MINUTE);
  });

  test("on another replica keeps one with a ttl that is shorter than what is noted once a minute", async () => {
    const [store, clock] = [new MemoryStore(), new Clock()];
    const short = pr7({ ttl: "30s", ttlFrom: "traffic" });
    const here = startReplica(store, clock, [short]);
    const there = startReplica(store, clock, [short]);
    for (let tenSeconds = 0; tenSeconds < 30; tenSeconds++) {
      clock.passes(10_000);
      there.used("pr-7");
      await there.traffic.write();
      await here.expiry.look();
    }
    expect(store.commits).toEqual([]);
  });

  test("is noted once a minute for each sandbox, together, and again later where the store was down", async () => {
    const [store, clock] = [new MemoryStore(), new Clock()];
    const { traffic, used, lines } = startReplica(store, clock, [lively, sandboxResource("pr-8")]);
    used("pr-7", "pr-8", "gone");
    await traffic.write();
    clock.passes(30_000);
    used("pr-7", "pr-8");
    await traffic.write();
    expect(store.notes).toEqual([{ "pr-7": createdMs, "pr-8": createdMs }]);
    clock.passes(30_000);
    store.down = true;
    used("pr-7");
    await traffic.write();
    await traffic.write();
    expect(lines).toEqual(["warn traffic of sandboxes is not noted "]);
    store.down = false;
    await traffic.write();
    expect(store.notes[1]).toEqual({ "pr-7": createdMs + MINUTE });
    await traffic.write();
    expect(store.notes).toHaveLength(2);
  });

  test("of a sandbox that is gone is forgotten", async () => {
    const [store, clock] = [new MemoryStore(), new Clock()];
    const { traffic, used, state } = startReplica(store, clock, [lively]);
    used("pr-7");
    state.changed({ revision: 2, puts: [], deletes: [{ kind: "sandbox", name: "pr-7" }] });
    expect(traffic.lastMs("pr-7")).toBeUndefined();
    await traffic.write();
    expect(store.notes).toEqual([]);
  });

  test("that was noted before a start counts", async () => {
    const [store, clock] = [new MemoryStore(), new Clock()];
    store.times["pr-7"] = createdMs + MINUTE;
    const { traffic } = startReplica(store, clock, [lively]);
    await traffic.start();
    expect(traffic.lastMs("pr-7")).toBe(createdMs + MINUTE);
    await traffic.close();
  });
});
