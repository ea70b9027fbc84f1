// Follows the table in etcd: a list at one of etcd's revisions, a watch from the next one on, and every two seconds a look at the
// head. The look says whether etcd can be reached (a watch of which nothing is heard may be quiet or dead), whether the watch
// lags, and up to where nothing was missed; a linearizable read, so a member that is cut off from the others cannot answer it.
//
// The follower is told each revision once and in order: those that are known are passed over (this replica's own commits come back
// by the watch), and where one is missing everything is listed anew. Long because list, watch and look share all of what is known.

import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { Resource, ResourceId } from "../../resource.ts";
import type { StoreChange, StoreFollower } from "../store.ts";
import { range, txn, watch } from "./codec.ts";
import { EtcdRefusedError } from "./endpoints.ts";
import type { Endpoints } from "./endpoints.ts";
import type { Keys } from "./keys.ts";
import type { KeyValue, RangeResponse, WatchEvent, WatchResponse } from "./messages.ts";
import { sentenceOf } from "./sentence.ts";
import { ETCD_FORMAT, headOf, resourceOf } from "./values.ts";
import type { Head, Known } from "./values.ts";

/** Keys of one answer: a few hundred kilobytes. */
const PAGE = 500;
const LOOK_EVERY_MS = 2000;
const LOOK_WITHIN_MS = 4000;
const LIST_WITHIN_MS = 10_000;
/** Behind the head, or without a watch, for longer than that: another member, or unreachable. */
const LAG_MS = 3000;
const CREATE_MS = 3000;

const TABLE_WATCH = 1;
const LIVE_WATCH = 2;

const nothingKnown: Known = { format: ETCD_FORMAT, source: "", revision: -1, commit: "", modRevision: 0 };

export class Following {
  readonly #name: string;
  readonly #endpoints: Endpoints;
  readonly #keys: Keys;
  readonly #follower: StoreFollower;
  readonly #warn: (message: string) => void;
  /** A replica came or went, perhaps. */
  readonly #liveChanged: () => void;

  #known = nothingKnown;
  readonly #sandboxes = new Set<string>();
  /** The first of etcd's revisions of which something may not be known. */
  #watchFrom = 0;
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

  constructor(options: {
    readonly name: string;
    readonly endpoints: Endpoints;
    readonly keys: Keys;
    readonly follower: StoreFollower;
    readonly warn: (message: string) => void;
    readonly liveChanged: () => void;
  }) {
    this.#name = options.name;
    this.#endpoints = options.endpoints;
    this.#keys = options.keys;
    this.#follower = options.follower;
    this.#warn = options.warn;
    this.#liveChanged = options.liveChanged;
  }

  get known(): Known {
    return this.#known;
  }

  get reachable(): boolean {
    return this.#reachable;
  }

  hasSandbox(name: string): boolean {
    return this.#sandboxes.has(name);
  }

  /** Resolves after the first list. Rejects as `Endpoints.call`, and with `StoreUnusableError`. */
  async start(): Promise<void> {
    await this.#list();
    this.#tellReachable(true, "");
    void this.#follow();
    void this.#look();
  }

  stop(): void {
    this.#stop.abort();
    this.#endWatch?.("closed");
    this.#moved();
  }

  /** Takes in a change from the watch, or of a commit that was just made. */
  apply(change: StoreChange, head: Known): void {
    if (change.revision <= this.#known.revision) return;
    if (change.revision !== this.#known.revision + 1 || head.source !== this.#known.source) {
      this.#listAgain("revisions are missing");
      return;
    }
    this.#known = head;
    for (const { kind, name } of change.deletes) if (kind === "sandbox") this.#sandboxes.delete(name);
    for (const { kind, name } of change.puts) if (kind === "sandbox") this.#sandboxes.add(name);
    this.#follower.changed(change);
    this.#moved();
  }

  /** Resolves when more than this revision is known; after `withinMs` everything is listed anew, as something must be wrong. */
  async past(revision: number, withinMs: number): Promise<void> {
    if (this.#known.revision > revision || this.#stop.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#listAgain("the watch is late");
        done();
      }, withinMs);
      this.#waiting.add(done);
    });
  }

  /** etcd could not be asked by somebody else. */
  failed(why: string): void {
    this.#tellReachable(false, why);
    this.#endWatch?.(why);
  }

  // --- list

  async #list(): Promise<void> {
    for (;;) {
      const before = this.#known;
      const answer = await this.#endpoints.call(range, { key: this.#keys.head }, LIST_WITHIN_MS);
      const head = headOf(this.#name, answer.kvs[0]);
      if (head === undefined || isEarlier(head, before)) {
        await this.#newHistory(head, answer);
        continue;
      }
      const resources = await this.#pages(answer.revision);
      // Pages of a revision that was compacted meanwhile, or a commit of our own since: once more.
      if (resources === undefined || (head.source === this.#known.source && head.revision < this.#known.revision))
        continue;
      this.#known = head;
      this.#watchFrom = answer.revision + 1;
      this.#stale = false;
      this.#sandboxes.clear();
      for (const { kind, name } of resources) if (kind === "sandbox") this.#sandboxes.add(name);
      this.#follower.reset({ revision: head.revision, resources });
      this.#moved();
      return;
    }
  }

  /** The first use; or etcd lost commits that are known here: the revisions from here on are others than those known by these numbers. */
  async #newHistory(head: Known | undefined, { revision }: RangeResponse): Promise<void> {
    const source = randomUUID();
    if (this.#known !== nothingKnown) {
      this.#warn(
        `${this.#name} is back at revision ${head?.revision ?? 0} (etcd's ${revision}) after revision ${this.#known.revision}: it was restored or emptied; what it has now is followed, as a new history`,
      );
    }
    const value: Head = { format: ETCD_FORMAT, source, revision: head?.revision ?? 0, commit: head?.commit ?? "" };
    await this.#endpoints.call(
      txn,
      {
        compare: [{ key: this.#keys.head, modRevision: head?.modRevision ?? 0 }],
        success: [{ kind: "put", key: this.#keys.head, value: JSON.stringify(value) }],
        failure: [],
      },
      LIST_WITHIN_MS,
    );
    // Whoever came first has made one: it is found by the next list.
    this.#known = nothingKnown;
  }

  /** All resources at one of etcd's revisions; undefined when that is compacted already. */
  async #pages(revision: number): Promise<Resource[] | undefined> {
    const { table } = this.#keys;
    const found: Resource[] = [];
    let { key } = table;
    for (;;) {
      try {
        const page = await this.#endpoints.call(range, { key, end: table.end, limit: PAGE, revision }, LIST_WITHIN_MS);
        for (const kv of page.kvs) {
          const resource = this.#resourceOf(kv);
          if (resource !== undefined) found.push(resource);
        }
        const last = page.kvs.at(-1);
        if (!page.more || last === undefined) return found;
        key = `${last.key}\0`;
      } catch (error) {
        if (error instanceof EtcdRefusedError && error.message.includes("compacted")) return undefined;
        throw error;
      }
    }
  }

  #listAgain(why: string): void {
    this.#stale = true;
    this.#endWatch?.(why);
  }

  // --- watch

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      let why: string;
      try {
        if (this.#stale) await this.#list();
        why = await this.#watch();
      } catch (error) {
        why = sentenceOf(error);
      }
      this.#watching = false;
      if (this.#stop.signal.aborted) return;
      this.#late(why);
      await pause(100 + Math.random() * 200);
    }
  }

  /** Resolves with why it ended. */
  async #watch(): Promise<string> {
    let over = false;
    const ended = Promise.withResolvers<string>();
    const end = (why: string): void => {
      if (over) return;
      over = true;
      ended.resolve(why);
    };
    const stream = await this.#endpoints.stream(
      watch,
      (response: WatchResponse) => {
        if (over) return;
        const problem = this.#received(response);
        if (problem !== "") end(problem);
      },
      end,
    );
    this.#endWatch = end;
    const { table, live } = this.#keys;
    stream.send({ id: TABLE_WATCH, ...table, from: this.#watchFrom });
    stream.send({ id: LIVE_WATCH, ...live, from: 0 });
    const creating = setTimeout(() => {
      if (this.#watching) return;
      end("no answer to a watch");
      this.#endpoints.next();
    }, CREATE_MS);
    const why = await ended.promise;
    clearTimeout(creating);
    this.#endWatch = undefined;
    stream.cancel();
    return why;
  }

  /** A sentence when the watch is of no use any more. */
  #received({ id, created, canceled, compactRevision, reason, events }: WatchResponse): string {
    if (compactRevision > 0 && id === TABLE_WATCH) {
      this.#stale = true;
      return `what came before etcd's revision ${compactRevision} is compacted`;
    }
    if (canceled) return `the watch was cancelled: ${reason}`;
    if (id === LIVE_WATCH) {
      this.#liveChanged();
      return "";
    }
    if (created) {
      this.#watching = true;
      return "";
    }
    try {
      for (const group of byRevision(events)) {
        if (!this.#stale) this.#changed(group);
        this.#watchFrom = (group[0]?.modRevision ?? this.#watchFrom) + 1;
      }
    } catch (error) {
      this.#stale = true;
      return sentenceOf(error);
    }
    return this.#stale ? "what it says does not follow from what is known" : "";
  }

  /** What was written at one of etcd's revisions. */
  #changed(events: readonly WatchEvent[]): void {
    const head = events.find(({ key }) => key === this.#keys.head);
    if (head === undefined) {
      this.#warn(
        `${this.#name}: ${events[0]?.key ?? ""} was written by something else than a control plane; it is taken as it is`,
      );
    }
    const known = head === undefined || head.deleted ? undefined : headOf(this.#name, head);
    if (known === undefined) {
      this.#stale = true;
      return;
    }
    const puts: Resource[] = [];
    const deletes: ResourceId[] = [];
    for (const event of events) {
      if (event === head) continue;
      if (event.deleted) {
        const id = this.#keys.resourceOf(event.key);
        if (id !== undefined) deletes.push(id);
        continue;
      }
      const resource = this.#resourceOf(event);
      if (resource !== undefined) puts.push(resource);
    }
    if (known.source !== this.#known.source) this.#stale = true;
    else this.apply({ revision: known.revision, puts, deletes }, known);
  }

  // --- look

  async #look(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await pause(LOOK_EVERY_MS, undefined, { signal: this.#stop.signal }).catch(() => {});
      if (this.#stop.signal.aborted) return;
      const before = this.#known;
      try {
        const answer = await this.#endpoints.call(range, { key: this.#keys.head }, LOOK_WITHIN_MS);
        this.#compare(headOf(this.#name, answer.kvs[0]), before, answer.revision);
      } catch (error) {
        this.failed(sentenceOf(error));
      }
    }
  }

  #compare(head: Known | undefined, before: Known, revision: number): void {
    if (this.#stop.signal.aborted) return;
    const known = this.#known;
    if (head === undefined || head.source !== known.source || isEarlier(head, before)) {
      return this.#listAgain("etcd has another history than the one known");
    }
    if (head.revision === known.revision) {
      if (head.modRevision !== known.modRevision) return this.#listAgain("etcd has another head than the one known");
      this.#watchFrom = Math.max(this.#watchFrom, revision + 1);
    }
    if (head.revision > known.revision) return this.#late("the watch is late");
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
    // The member answers and still nothing is heard of changes: another one.
    this.#endpoints.next();
    this.#endWatch?.(why);
  }

  #tellReachable(yes: boolean, why: string): void {
    if (this.#reachable === yes || this.#stop.signal.aborted) return;
    this.#reachable = yes;
    this.#follower.reachable(
      yes,
      yes ? "" : `the store ${this.#name} cannot be reached: ${why}; reading goes on from what is known`,
    );
  }

  #resourceOf(kv: KeyValue): Resource | undefined {
    const id = this.#keys.resourceOf(kv.key);
    const resource = id === undefined ? undefined : resourceOf(id, kv.value);
    if (id !== undefined && resource === undefined) {
      this.#warn(`${this.#name}: ${kv.key} is no resource and is left out; delete it: etcdctl del ${kv.key}`);
    }
    return resource;
  }

  #moved(): void {
    for (const done of this.#waiting) done();
  }
}

/** etcd went back to before something that is known: it was restored, or emptied. */
function isEarlier(head: Known, known: Known): boolean {
  if (known === nothingKnown || head.source !== known.source) return false;
  return head.revision < known.revision || head.modRevision < known.modRevision;
}

/** What was written at once stays together. */
function byRevision(events: readonly WatchEvent[]): WatchEvent[][] {
  const groups: WatchEvent[][] = [];
  for (const event of events) {
    const last = groups.at(-1);
    if (last?.[0]?.modRevision === event.modRevision) last.push(event);
    else groups.push([event]);
  }
  return groups;
}
