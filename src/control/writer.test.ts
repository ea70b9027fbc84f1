import { describe, expect, test } from "vitest";
import { sandboxResource, serviceResource } from "./fixture.ts";
import type { Resource } from "./resource.ts";
import { ControlState } from "./state.ts";
import { StoreUnavailableError } from "./store/store.ts";
import type { Commit, CommitResult, Store } from "./store/store.ts";
import { Writer } from "./writer.ts";
import type { Plan } from "./writer.ts";

/** A store of one array of commits, in which others may come first. */
class SmallStore {
  readonly commits: Commit[] = [];
  /** What others commit just before the next commit. */
  readonly others: Resource[] = [];
  down = false;
  readonly #state: ControlState;

  constructor(state: ControlState) {
    this.#state = state;
  }

  async commit(commit: Commit): Promise<CommitResult> {
    if (this.down) throw new StoreUnavailableError("nobody answers at 127.0.0.1:2379");
    const other = this.others.shift();
    if (other !== undefined) this.#state.changed({ revision: this.#state.revision + 1, puts: [other], deletes: [] });
    if (commit.basedOn !== this.#state.revision) return { done: false };
    this.commits.push(commit);
    const revision = commit.basedOn + 1;
    const puts = commit.puts.map((put): Resource => ({ ...put, meta: { ...put.meta, version: revision } }));
    this.#state.changed({ revision, puts, deletes: commit.deletes });
    return { done: true, revision, puts };
  }
}

function setUp() {
  const state = new ControlState();
  state.reset({ revision: 1, resources: [] });
  const store = new SmallStore(state);
  const results: string[] = [];
  const now = (): Date => new Date("2026-05-06T07:08:09.000Z");
  const writer = new Writer(state, store as unknown as Store, (result) => results.push(result), now);
  return { state, store, writer, results };
}

const createSandbox = (name: string): Plan => ({
  puts: [{ kind: "sandbox", name, spec: sandboxResource(name).spec }],
  deletes: [],
  detail: () => "made for a test",
});

describe("a writer", () => {
  test("commits a plan with who, when and what", async () => {
    const { writer, store, state } = setUp();
    const written = await writer.write("ada", "create", () => createSandbox("pr-7"));
    expect(written).toMatchObject({
      revision: 2,
      resources: [{ name: "pr-7", meta: { version: 2, createdBy: "ada" } }],
    });
    expect(store.commits[0]?.audit).toEqual([
      {
        at: "2026-05-06T07:08:09.000Z",
        actor: "ada",
        action: "create",
        kind: "sandbox",
        name: "pr-7",
        detail: "made for a test",
      },
    ]);
    expect(state.find("sandbox", "pr-7")?.meta.updatedAt).toBe("2026-05-06T07:08:09.000Z");
  });

  test("keeps who made a resource first", async () => {
    const { writer, state } = setUp();
    await writer.write("ada", "create", () => createSandbox("pr-7"));
    await writer.write("eve", "update", () => createSandbox("pr-7"));
    expect(state.find("sandbox", "pr-7")?.meta).toMatchObject({ createdBy: "ada", updatedBy: "eve", version: 3 });
  });

  test("plans anew from what is known then when others came first, and never commits what it no longer means", async () => {
    const { writer, store, results } = setUp();
    store.others.push(serviceResource("x"), sandboxResource("pr-7"));
    const written = await writer.write("ada", "create", (state) =>
      state.find("sandbox", "pr-7") === undefined
        ? createSandbox("pr-7")
        : { refused: "exists", message: "there is a sandbox pr-7 already" },
    );
    expect(written).toMatchObject({ refused: "exists" });
    expect(store.commits).toEqual([]);
    expect(results).toEqual(["again", "again", "refused"]);
  });

  test("plans one after the other what is asked for at one time", async () => {
    const { writer, store, results } = setUp();
    const names = Array.from({ length: 20 }, (_, i) => `pr-${i}`);
    await Promise.all(names.map((name) => writer.write("ada", "create", () => createSandbox(name))));
    expect(store.commits).toHaveLength(20);
    expect(results).toEqual(names.map(() => "done"));
  });

  test("refuses what would make the table larger than sidecars take, and lets it shrink", async () => {
    const { writer, state } = setUp();
    const endpoints = Array.from({ length: 400_000 }, (_, i) => `service-${i}.example:8080`);
    state.changed({
      revision: 2,
      puts: [1, 2, 3, 4, 5].map((n) => sandboxResource(`pr-${n}`, { services: { a: endpoints } })),
      deletes: [],
    });
    expect(state.tableLength).toBeGreaterThan(48 * 1024 * 1024);
    expect(await writer.write("ada", "create", () => createSandbox("pr-7"))).toMatchObject({
      refused: "invalid",
      message: expect.stringMatching(/the table would have \d+ bytes, and sidecars take/u),
    });
    const smaller = await writer.write("ada", "update", () => createSandbox("pr-1"));
    expect(smaller).toMatchObject({ revision: 3 });
  });

  test("a plan that throws holds up nobody", async () => {
    const { writer } = setUp();
    const broken = writer.write("ada", "create", () => {
      throw new Error("a bug");
    });
    const after = writer.write("ada", "create", () => createSandbox("pr-7"));
    await expect(broken).rejects.toThrow("a bug");
    expect(await after).toMatchObject({ revision: 2 });
  });

  test("commits nothing where there is nothing to write", async () => {
    const { writer, store } = setUp();
    const written = await writer.write("ada", "update", () => ({ puts: [], deletes: [], detail: () => "" }));
    expect(written).toEqual({ revision: 1, resources: [] });
    expect(store.commits).toEqual([]);
  });

  test("says that the store is down, with its sentence", async () => {
    const { writer, store } = setUp();
    store.down = true;
    const written = await writer.write("ada", "create", () => createSandbox("pr-7"));
    expect(written).toEqual({ refused: "store-down", message: "nobody answers at 127.0.0.1:2379" });
  });
});
