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
import { backOffMs } from "../../../kube/back-off.ts";
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
/** Between lists that fail, and between watches that end at once. */
const RETRY = { firstMs: 100, mostMs: 1500 };
/** A watch that lasted so long has worked. */
const STEADY_MS = 2000;

/** The last revision that was told. */
export interface Known {
  readonly source: string;
  readonly revision: number;
  /** Id of the commit that led to it, which the next one has to name. One that was passed over has another here than in its object. */
  readonly commit: string;
  /** The id in its object. */
  readonly object: string;
}

const nothingKnown: Known = { source: "", revision: -1, commit: "", object: "" };

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
  /** The follower has not taken in what was told: it has to be told all of it. */
  #untold = false;
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
    const { puts, deletes } = this.#take(commit);
    this.#logBytes += commit.bytes;
    try {
      this.#options.follower.changed({ revision, puts, deletes });
    } catch (error) {
      this.#untold = true;
      const said = error instanceof Error ? error.message : String(error);
      this.#options.warn(`${this.#options.name}: revision ${revision} was not taken in (${said}); all is read anew`);
      this.listAgain("a revision was not taken in");
    }
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
      const whole = commitsAfter(floor.revision, objects);
      const reached = whole.at(-1)?.revision ?? floor.revision;
      // What is known here goes on beyond a hole: somebody has deleted what made it.
      const isBeyond = before.source === floor.source && reached < before.revision && isLast(before, objects);
      const missing =
        floor.chunks.find((name) => !objects.has(name)) ?? (isBeyond ? commitName(reached + 1) : undefined);
      const commits = isBeyond ? commitsAfter(before.revision, objects) : whole;
      const head = commits.at(-1)?.revision ?? (isBeyond ? before.revision : floor.revision);
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
      if (!this.#untold && (isBeyond || this.#continues(floor, commits))) {
        for (const commit of commits) this.apply(commit);
      } else if (isBeyond) this.#tellAnew(commits);
      else this.#reset(floor, objects, commits);
      if (missing !== undefined) this.#noteDamage(missing, "was deleted by somebody");
      this.#logBytes = whole.reduce((sum, { bytes }) => sum + bytes, 0);
      this.#moved();
      return;
    }
  }

  /** Whether what is known is a part of this log. */
  #continues(floor: Floor, commits: readonly LoggedCommit[]): boolean {
    const { source, revision, commit, object } = this.#known;
    if (source !== floor.source || revision < floor.revision) return false;
    if (revision === floor.revision) return commit === floor.commit;
    return commits[revision - floor.revision - 1]?.id === object;
  }

  #reset(floor: Floor, objects: ReadonlyMap<string, TableCommitObject>, commits: readonly LoggedCommit[]): void {
    const { name } = this.#options;
    this.#stale = true;
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
    this.#known = { source: floor.source, revision: floor.revision, commit: floor.commit, object: floor.commit };
    const head = commits.at(-1)?.revision ?? floor.revision;
    if (hasLater(head, objects)) this.#noteHole(head);
    this.#tellAnew(commits);
  }

  /** Takes the commits in, and tells the follower everything. */
  #tellAnew(commits: readonly LoggedCommit[]): void {
    for (const commit of commits) this.#take(commit);
    this.#untold = true;
    this.#stale = true;
    this.#options.follower.reset(this.#contents.snapshot());
    this.#untold = false;
    this.#stale = false;
  }

  /** The commit as it counts. */
  #take(commit: LoggedCommit): LoggedCommit {
    const counted = this.#sequel(commit);
    const { id, revision, puts, deletes } = counted;
    const audit: AuditEntry[] = counted.audit.map((entry) => Object.assign({}, entry, { revision }));
    this.#contents.apply({ record: "commit", id, revision, puts, deletes, audit });
    this.#known = { source: this.#known.source, revision, commit: id, object: commit.id };
    return counted;
  }

  /**
   * A commit that does not follow from the one before was made on another history: its name is taken, and it changes nothing. Nor do
   * those that follow from it.
   */
  #sequel(commit: LoggedCommit): LoggedCommit {
    if (commit.previous === this.#known.commit && commit.id !== "") return commit;
    this.#options.warn(
      `${this.#options.name}: the TableCommit ${commitName(commit.revision)} does not follow from the one before, so it was not written by a control plane on this log; it counts as one that changes nothing`,
    );
    return { ...commit, id: `not ${commit.id}`, puts: [], deletes: [], audit: [] };
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
  }

  /** Commits that are known here got lost: the revisions from here on are others than those known by these numbers. */
  async #newHistory(floor: Floor, head: number, before: Known): Promise<void> {
    const { name, namespace, warn } = this.#options;
    warn(
      `${name} is back at revision ${head} after revision ${before.revision}: it was restored; what it has now is followed, as a new history`,
    );
    const renamed = floorObject(namespace, { ...floor, origin: randomUUID() }, floor.resourceVersion);
    await this.#objects.replace(renamed, LIST_WITHIN_MS);
  }

  // --- watch

  async #follow(): Promise<void> {
    for (let failures = 0; !this.#stop.signal.aborted;) {
      let why: string;
      const startMs = performance.now();
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
      failures = performance.now() - startMs > STEADY_MS ? 1 : failures + 1;
      await pause(backOffMs(RETRY, failures), undefined, { signal: this.#stop.signal }).catch(() => {});
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
    const isChanged = type === "MODIFIED" && (object.metadata.generation ?? 1) > 1;
    if (type === "DELETED" || isChanged) {
      const { revision: floor, chunks } = this.#floor;
      const needed = revision === undefined ? chunks.includes(name) : revision > floor;
      const how = isChanged ? "was changed by somebody" : "was deleted by somebody";
      if (needed && (revision ?? 0) <= this.#known.revision) this.#noteDamage(name, how);
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

  #noteDamage(object: string, how: string): void {
    const { name, warn, damaged } = this.#options;
    warn(`${name}: the TableCommit ${object}, which was needed, ${how}; all is written anew`);
    damaged();
  }

  /** Nobody here knows what it did. */
  #noteHole(revision: number): void {
    const { name, warn } = this.#options;
    warn(
      `${name}: the TableCommit ${commitName(revision + 1)} is missing, and later ones are there: what they did is lost, the log goes on after revision ${revision}`,
    );
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
    const lost = before.revision > floor.revision && (last === undefined || last.id !== before.object);
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

type Objects = ReadonlyMap<string, TableCommitObject>;

/** Whether the last commit that is known is there: the log has not become another one. */
function isLast(known: Known, objects: Objects): boolean {
  const object = objects.get(commitName(known.revision));
  return object !== undefined && loggedCommit(object)?.id === known.object;
}

function hasLater(revision: number, objects: Objects): boolean {
  return [...objects.keys()].some((name) => (commitRevision(name) ?? 0) > revision);
}

/** Those that come one after the other; what comes after a hole was made on another log, or what made the hole was deleted. */
function commitsAfter(known: number, objects: Objects): LoggedCommit[] {
  const found: LoggedCommit[] = [];
  for (let revision = known + 1; ; revision++) {
    const object = objects.get(commitName(revision));
    const commit = object === undefined ? undefined : loggedCommit(object);
    if (commit === undefined) return found;
    found.push(commit);
  }
}
