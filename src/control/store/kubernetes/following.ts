// Follows the log in the Kubernetes API: a list at one resource version, a watch from there on, and every two seconds a look at
// three objects: the snapshot, the last commit that is known, and the one that would come next. The look says whether the API
// server can be reached (a watch of which nothing is heard may be quiet or dead), whether the watch lags, and whether the log
// still is the one that is known; it reads what a majority of etcd has, so an API server that is cut off cannot answer it.
//
// The follower is told each revision once and in order: those that are known are passed over (this replica's own commits come back
// by the watch). After a gap everything is listed anew; what is missing is told as changes where the log still has it all, and as
// a reset from the snapshot where it has not. Long because list, watch and look share all of what is known.

import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { Contents } from "../file/contents.ts";
import { StoreUnusableError } from "../store.ts";
import type { AuditEntry } from "../../resource.ts";
import type { StoreFollower } from "../store.ts";
import { SNAPSHOT, chunkRecords, commitName, commitRevision, floorObject, floorOf, loggedCommit } from "./objects.ts";
import type { Floor, LoggedCommit, TableCommitObject } from "./objects.ts";
import { ExpiredError } from "./table-commits.ts";
import type { TableCommits, WatchEvent } from "./table-commits.ts";

const LOOK_EVERY_MS = 2000;
const LOOK_WITHIN_MS = 4000;
const LIST_WITHIN_MS = 20_000;
/** Behind the log, or without a watch, for longer than that: told as unreachable. */
const LAG_MS = 3000;

/** The last revision that was told. */
export interface Known {
  readonly source: string;
  readonly revision: number;
  /** Id of the commit that led to it. */
  readonly commit: string;
}

const nothingKnown: Known = { source: "", revision: -1, commit: "" };

export interface FollowingOptions {
  readonly name: string;
  readonly namespace: string;
  readonly objects: TableCommits;
  readonly follower: StoreFollower;
  readonly warn: (message: string) => void;
  /** Something that is needed was deleted by somebody else: what is known has to be written once more. */
  readonly damaged: () => void;
}

export class Following {
  readonly #options: FollowingOptions;
  readonly #objects: TableCommits;
  #known = nothingKnown;
  #contents = new Contents();
  #floor: Floor = { source: "", origin: "", revision: -1, commit: "", chunks: [], resourceVersion: "" };
  /** Names of all objects. */
  readonly #names = new Set<string>();
  /** Data of the commits since the floor. */
  #logBytes = 0;
  /** What the API server has told of so far. */
  #resourceVersion = "";
  /** Something was missed, or is odd: list before watching. */
  #stale = true;
  /** Ends the present watch. */
  #endWatch: ((why: string) => void) | undefined;
  #watching = false;
  /** Since when there is no watch, or it lags; undefined: all is well. */
  #lateSinceMs: number | undefined;
  #reachable = false;
  readonly #stop = new AbortController();
  readonly #waiting = new Set<() => void>();

  constructor(options: FollowingOptions) {
    this.#options = options;
    this.#objects = options.objects;
  }

  get known(): Known {
    return this.#known;
  }

  get contents(): Contents {
    return this.#contents;
  }

  get floor(): Floor {
    return this.#floor;
  }

  get names(): ReadonlySet<string> {
    return this.#names;
  }

  get logBytes(): number {
    return this.#logBytes;
  }

  get reachable(): boolean {
    return this.#reachable;
  }

  /** Resolves after the first list. Rejects as `TableCommits.list`, and with `StoreUnusableError`. */
  async start(withinMs: number): Promise<void> {
    await this.#list(withinMs);
    this.#tellReachable(true, "");
    void this.#follow();
    void this.#look();
  }

  stop(): void {
    this.#stop.abort();
    this.#endWatch?.("closed");
    this.#moved();
  }

  /** Takes in a commit from the watch, from a list, or one that was just made. */
  apply(commit: LoggedCommit): void {
    const { revision } = commit;
    if (revision <= this.#known.revision) return;
    if (revision !== this.#known.revision + 1) return this.listAgain("revisions are missing");
    const { id, puts, deletes, audit } = this.#sequel(commit);
    const entries: AuditEntry[] = audit.map((entry) => Object.assign({}, entry, { revision }));
    this.#contents.apply({ record: "commit", id, revision, puts, deletes, audit: entries });
    this.#known = { source: this.#known.source, revision, commit: id };
    this.#logBytes += commit.bytes;
    this.#options.follower.changed({ revision, puts, deletes });
    this.#moved();
  }

  /** Resolves when more than this revision is known; after `withinMs` everything is listed anew, as something must be wrong. */
  async past(revision: number, withinMs: number): Promise<void> {
    if (this.#known.revision > revision || this.#stop.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(moved);
        resolve();
      };
      const moved = (): void => {
        if (this.#known.revision > revision || this.#stop.signal.aborted) finish();
      };
      const timer = setTimeout(() => {
        this.listAgain("the watch is late");
        finish();
      }, withinMs);
      this.#waiting.add(moved);
    });
  }

  /** The API server could not be asked by somebody else. */
  failed(why: string): void {
    this.#tellReachable(false, why);
    this.#endWatch?.(why);
  }

  /** The snapshot was written by this replica. */
  moveFloor(floor: Floor): void {
    if (floor.source === this.#floor.source && floor.revision < this.#floor.revision) return;
    this.#floor = floor;
    this.#logBytes = 0;
  }

  listAgain(why: string): void {
    this.#stale = true;
    this.#endWatch?.(why);
  }

  // --- list

  async #list(withinMs = LIST_WITHIN_MS): Promise<void> {
    for (;;) {
      const before = this.#known;
      const { items, resourceVersion } = await this.#objects.list(withinMs);
      if (this.#stop.signal.aborted) return;
      const objects = new Map(items.map((item) => [item.metadata.name, item]));
      const snapshot = objects.get(SNAPSHOT);
      if (snapshot === undefined) {
        await this.#begin(items);
        continue;
      }
      const floor = floorOf(this.#options.name, snapshot);
      const commits = commitsAfter(floor, objects);
      const head = commits.at(-1)?.revision ?? floor.revision;
      if (before.source === floor.source && head < before.revision) {
        await this.#newHistory(floor, head, before);
        continue;
      }
      // Of before a commit that was made meanwhile: once more.
      if (this.#known.source === floor.source && head < this.#known.revision) continue;
      this.#names.clear();
      for (const name of objects.keys()) this.#names.add(name);
      this.#floor = floor;
      this.#resourceVersion = resourceVersion;
      this.#stale = false;
      if (this.#continues(floor, commits)) {
        for (const commit of commits) this.apply(commit);
      } else this.#reset(floor, objects, commits);
      this.#logBytes = commits.reduce((sum, { bytes }) => sum + bytes, 0);
      this.#moved();
      return;
    }
  }

  /** Whether what is known is a part of this log. */
  #continues(floor: Floor, commits: readonly LoggedCommit[]): boolean {
    const { source, revision, commit } = this.#known;
    if (source !== floor.source || revision < floor.revision) return false;
    if (revision === floor.revision) return commit === floor.commit;
    return commits[revision - floor.revision - 1]?.id === commit;
  }

  #reset(floor: Floor, objects: ReadonlyMap<string, TableCommitObject>, commits: readonly LoggedCommit[]): void {
    const { name, follower } = this.#options;
    const contents = new Contents();
    contents.apply({
      record: "header",
      format: 1,
      source: floor.source,
      home: "",
      revision: floor.revision,
      madeAt: "",
    });
    for (const chunk of floor.chunks) {
      const object = objects.get(chunk);
      if (object === undefined) {
        throw new StoreUnusableError(
          `${name}: the TableCommit ${chunk} is missing, so what was there at revision ${floor.revision} is not known; restore it, or begin anew without any data: kubectl -n ${this.#options.namespace} delete tablecommits --all`,
        );
      }
      for (const record of chunkRecords(name, object)) contents.apply(record);
    }
    this.#contents = contents;
    this.#known = { source: floor.source, revision: floor.revision, commit: floor.commit };
    for (const logged of commits) {
      const { id, revision, puts, deletes, audit } = this.#sequel(logged);
      const entries: AuditEntry[] = audit.map((entry) => Object.assign({}, entry, { revision }));
      contents.apply({ record: "commit", id, revision, puts, deletes, audit: entries });
      this.#known = { source: floor.source, revision, commit: id };
    }
    follower.reset(contents.snapshot());
  }

  /** A commit that does not follow from the one before was made on another history: its name is taken, and it changes nothing. */
  #sequel(commit: LoggedCommit): LoggedCommit {
    if (commit.previous === this.#known.commit && commit.id !== "") return commit;
    this.#options.warn(
      `${this.#options.name}: the TableCommit ${commitName(commit.revision)} does not follow from the one before, so it was not written by a control plane on this log; it counts as one that changes nothing`,
    );
    return { ...commit, puts: [], deletes: [], audit: [] };
  }

  /** The first use; or everything was deleted: then another history begins. */
  async #begin(items: readonly TableCommitObject[]): Promise<void> {
    const { name, namespace, warn } = this.#options;
    const commit = items.find((item) => commitRevision(item.metadata.name) !== undefined);
    if (commit !== undefined) {
      throw new StoreUnusableError(
        `${name}: the TableCommit ${SNAPSHOT} is missing, and others such as ${commit.metadata.name} are there; restore it, or begin anew without any data: kubectl -n ${namespace} delete tablecommits --all`,
      );
    }
    if (this.#known !== nothingKnown) {
      warn(`${name} is empty after revision ${this.#known.revision}: it begins anew, as another history`);
    }
    // Whoever came first has made one: it is found by the next list.
    await this.#objects.create(floorObject(namespace, emptyFloor()), LIST_WITHIN_MS);
    this.#known = nothingKnown;
  }

  /** Commits that are known here got lost: the revisions from here on are others than those known by these numbers. */
  async #newHistory(floor: Floor, head: number, before: Known): Promise<void> {
    const { name, namespace, warn } = this.#options;
    warn(
      `${name} is back at revision ${head} after revision ${before.revision}: it was restored; what it has now is followed, as a new history`,
    );
    const renamed = floorObject(namespace, { ...floor, origin: randomUUID() }, floor.resourceVersion);
    await this.#objects.replace(renamed, LIST_WITHIN_MS);
    this.#known = nothingKnown;
  }

  // --- watch

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      let why: string;
      try {
        if (this.#stale) await this.#list();
        why = await this.#watch();
      } catch (error) {
        if (error instanceof ExpiredError) this.#stale = true;
        why = error instanceof Error ? error.message : String(error);
      }
      this.#watching = false;
      if (this.#stop.signal.aborted) return;
      this.#late(why);
      await pause(50 + Math.random() * 150);
    }
  }

  /** Resolves with why it ended. */
  async #watch(): Promise<string> {
    const ending = new AbortController();
    let ended = "";
    this.#endWatch = (why) => {
      ended = why;
      ending.abort();
    };
    try {
      const signal = AbortSignal.any([ending.signal, this.#stop.signal]);
      this.#watching = true;
      await this.#objects.watch(this.#resourceVersion, (event) => this.#event(event), signal);
      return ended === "" ? "the watch ended" : ended;
    } catch (error) {
      if (ended !== "") return ended;
      throw error;
    } finally {
      this.#endWatch = undefined;
    }
  }

  #event({ type, object }: WatchEvent): void {
    if (this.#stale) return;
    const { name, resourceVersion } = object.metadata;
    if (resourceVersion !== "") this.#resourceVersion = resourceVersion;
    if (type === "BOOKMARK") return;
    if (type === "DELETED") this.#names.delete(name);
    else this.#names.add(name);
    if (name === SNAPSHOT) return this.#snapshotEvent(type, object);
    const revision = commitRevision(name);
    if (type === "DELETED") {
      const { revision: floor, chunks } = this.#floor;
      const needed = revision === undefined ? chunks.includes(name) : revision > floor;
      if (needed && (revision ?? 0) <= this.#known.revision) this.#noteDamage(name);
      return;
    }
    if (type !== "ADDED" || revision === undefined) return;
    const commit = loggedCommit(object);
    if (commit !== undefined) this.apply(commit);
  }

  #snapshotEvent(type: WatchEvent["type"], object: TableCommitObject): void {
    if (type === "DELETED") return this.listAgain(`the TableCommit ${SNAPSHOT} was deleted`);
    try {
      const floor = floorOf(this.#options.name, object);
      if (floor.source !== this.#known.source) return this.listAgain("it has another history");
      this.moveFloor(floor);
    } catch (error) {
      this.listAgain(error instanceof Error ? error.message : String(error));
    }
  }

  #noteDamage(name: string): void {
    const { warn, damaged } = this.#options;
    warn(
      `${this.#options.name}: the TableCommit ${name}, which was needed, was deleted by somebody; all is written anew`,
    );
    damaged();
  }

  // --- look

  async #look(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await pause(LOOK_EVERY_MS, undefined, { signal: this.#stop.signal }).catch(() => {});
      if (this.#stop.signal.aborted) return;
      const before = this.#known;
      try {
        const names = [SNAPSHOT, commitName(Math.max(0, before.revision)), commitName(before.revision + 1)];
        const [snapshot, last, next] = await Promise.all(names.map((name) => this.#objects.get(name, LOOK_WITHIN_MS)));
        if (this.#stop.signal.aborted) return;
        this.#compare(before, { snapshot, last, next });
      } catch (error) {
        this.failed(error instanceof Error ? error.message : String(error));
      }
    }
  }

  #compare(before: Known, found: Readonly<Record<"snapshot" | "last" | "next", TableCommitObject | undefined>>): void {
    const floor = found.snapshot === undefined ? undefined : floorOf(this.#options.name, found.snapshot);
    if (floor === undefined || floor.source !== before.source) {
      if (this.#known.source === before.source) this.listAgain("it has another history than the one known");
      return;
    }
    const last = found.last === undefined ? undefined : loggedCommit(found.last);
    const lost = before.revision > floor.revision && (last === undefined || last.id !== before.commit);
    if (lost && this.#known.revision >= before.revision) {
      // Deleted by hand, or the whole was restored: the list tells which.
      return this.listAgain("it has another history than the one known");
    }
    const behind = floor.revision > before.revision || found.next !== undefined;
    if (behind && this.#known.revision === before.revision) return this.#late("the watch is late");
    if (!this.#watching) return this.#late("there is no watch");
    this.#lateSinceMs = undefined;
    this.#tellReachable(true, "");
  }

  #late(why: string): void {
    const nowMs = performance.now();
    this.#lateSinceMs ??= nowMs;
    if (nowMs - this.#lateSinceMs < LAG_MS) return;
    this.#tellReachable(false, why);
    this.#lateSinceMs = nowMs;
    this.listAgain(why);
  }

  #tellReachable(yes: boolean, why: string): void {
    if (this.#reachable === yes || this.#stop.signal.aborted) return;
    this.#reachable = yes;
    const { name, follower } = this.#options;
    follower.reachable(
      yes,
      yes ? "" : `the store ${name} cannot be reached: ${why}; reading goes on from what is known`,
    );
  }

  #moved(): void {
    for (const moved of this.#waiting) moved();
  }
}

function emptyFloor(): Omit<Floor, "resourceVersion" | "source"> {
  return { origin: randomUUID(), revision: 0, commit: "", chunks: [] };
}

/** Those that come one after the other; what comes after a hole was made on another log, or is not made yet. */
function commitsAfter(floor: Floor, objects: ReadonlyMap<string, TableCommitObject>): LoggedCommit[] {
  const found: LoggedCommit[] = [];
  for (let revision = floor.revision + 1; ; revision++) {
    const object = objects.get(commitName(revision));
    const commit = object === undefined ? undefined : loggedCommit(object);
    if (commit === undefined) return found;
    found.push(commit);
  }
}
