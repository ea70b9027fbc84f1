// The store in etcd (3.4 or later), for several replicas side by side.
//
// Guarantees: all commits of all replicas are one after the other; each is made whole or not, and once, also when its answer gets
// lost; every replica is told all of them in the same order. While etcd cannot be reached (no majority of its members, a
// partition) reading goes on and writing says so within seconds; afterwards everything goes on by itself.
//
// Mechanism: one transaction of etcd per commit, which compares and writes the head (keys.ts), so of two commits on one revision
// one is refused. A commit whose answer was lost is asked for again as it is: the head's comparison refuses it when it had been
// made, and the log says whether it was this one that made the revision. Reads: following.ts. Who lives: presence.ts.

import type { AuditEntry, Resource } from "../../resource.ts";
import { AUDIT_KEPT, CommitTooLargeError, StoreUnavailableError, StoreUnusableError } from "../store.ts";
import type { Commit, CommitResult, ReplicaRecord, ReplicasListener, Store, StoreFollower } from "../store.ts";
import { range, txn } from "./codec.ts";
import { Endpoints, EtcdRefusedError } from "./endpoints.ts";
import type { EtcdCredentials } from "./endpoints.ts";
import { Following } from "./following.ts";
import { Keys } from "./keys.ts";
import type { Operation, TxnRequest } from "./messages.ts";
import { Presence } from "./presence.ts";
import { sentenceOf } from "./sentence.ts";
import { ETCD_FORMAT, logEntryOf } from "./values.ts";
import type { Head, Known, LogEntry } from "./values.ts";

export interface EtcdStoreOptions {
  /** `host:port` each. */
  readonly hosts: readonly string[];
  /** Begins with "/", ends without. */
  readonly prefix: string;
  readonly tls: boolean;
  readonly credentials: EtcdCredentials;
  readonly warn: (message: string) => void;
}

const OPEN_WITHIN_MS = 10_000;
const COMMIT_WITHIN_MS = 5000;
/** When etcd was not reached the last time either, nobody is kept waiting. */
const COMMIT_WITHOUT_STORE_MS = 2000;
const READ_WITHIN_MS = 4000;
/** Until the watch tells of the commit that came first. */
const NEWER_WITHIN_MS = 2000;

/** etcd's defaults, `--max-txn-ops` and `--max-request-bytes`; of the bytes some are for what etcd puts around them. */
const OPERATIONS_MAX = 128;
const REQUEST_BYTES_MAX = 1.5 * 1024 * 1024 - 4096;
/** Transactions inside the one of a commit: each may have as many operations as the outer one leaves. */
const PARTS_MAX = 16;
const LOG_PAGE = 500;
const TRAFFIC_PER_TXN = 100;
const TRAFFIC_ATTEMPTS = 5;

export class EtcdStore implements Store {
  readonly name: string;
  readonly #endpoints: Endpoints;
  readonly #keys: Keys;
  readonly #warn: (message: string) => void;
  #following: Following | undefined;
  #presence: Presence | undefined;
  #closed = false;

  constructor({ hosts, prefix, tls, credentials, warn }: EtcdStoreOptions) {
    this.name = `${tls ? "etcds" : "etcd"}://${hosts.join(",")}${prefix}`;
    this.#endpoints = new Endpoints(hosts, tls, credentials);
    this.#keys = new Keys(prefix);
    this.#warn = warn;
  }

  get source(): string {
    return this.#following?.known.source ?? "";
  }

  async open(follower: StoreFollower): Promise<void> {
    const following = new Following({
      name: this.name,
      endpoints: this.#endpoints,
      keys: this.#keys,
      follower,
      warn: this.#warn,
      liveChanged: () => this.#presence?.look(),
    });
    try {
      // The first call is the one whose patience is long: etcd may be starting at the same time.
      await this.#endpoints.call(range, { key: this.#keys.head }, OPEN_WITHIN_MS);
      await following.start();
    } catch (error) {
      this.#endpoints.close();
      following.stop();
      if (error instanceof StoreUnusableError) throw error;
      throw new StoreUnusableError(`the store ${this.name} cannot be used: ${sentenceOf(error)}`);
    }
    this.#following = following;
  }

  async commit(commit: Commit): Promise<CommitResult> {
    const following = this.#opened();
    const { known } = following;
    if (commit.basedOn !== known.revision) return this.#madeBefore(commit, following);
    const revision = known.revision + 1;
    const puts = versioned(commit.puts, revision);
    const request = this.#transaction(commit, known, puts);
    const withinMs = following.reachable ? COMMIT_WITHIN_MS : COMMIT_WITHOUT_STORE_MS;
    const answer = await this.#asked(() => this.#endpoints.call(txn, request, withinMs), commitUnknown);
    const [log] = answer.ranges[0]?.kvs ?? [];
    // Refused, and yet made: by an attempt whose answer was lost.
    const made = answer.succeeded || (log !== undefined && logEntryOf(log.value)?.commit === commit.id);
    if (!made) {
      await following.past(commit.basedOn, NEWER_WITHIN_MS);
      return { done: false };
    }
    const modRevision = answer.succeeded ? answer.revision : (log?.modRevision ?? 0);
    following.apply(
      { revision, puts, deletes: commit.deletes },
      { format: ETCD_FORMAT, source: known.source, revision, commit: commit.id, modRevision },
    );
    return { done: true, revision, puts };
  }

  async audit(query: { kind?: string; name?: string; limit: number }): Promise<readonly AuditEntry[]> {
    const following = this.#opened();
    const { kind, name, limit } = query;
    const found: AuditEntry[] = [];
    const first = following.known.revision - AUDIT_KEPT;
    // Revisions have no gaps, so pages from the newest on are found by number.
    for (let end = following.known.revision + 1; end > 0 && end > first; end -= LOG_PAGE) {
      const page = { key: this.#keys.log(Math.max(0, end - LOG_PAGE)), end: this.#keys.log(end) };
      const { kvs } = await this.#asked(() => this.#endpoints.call(range, page, READ_WITHIN_MS));
      for (const { key, value } of kvs.toReversed()) {
        const revision = Number(key.slice(key.lastIndexOf("/") + 1));
        for (const entry of logEntryOf(value)?.entries.toReversed() ?? []) {
          if (found.length >= limit) return found;
          if ((kind ?? entry.kind) === entry.kind && (name ?? entry.name) === entry.name) {
            found.push(Object.assign({}, entry, { revision }));
          }
        }
      }
    }
    return found;
  }

  async noteTraffic(times: Readonly<Record<string, number>>): Promise<void> {
    const following = this.#opened();
    const noted = Object.entries(times).filter(([name]) => following.hasSandbox(name));
    let left = new Map(noted);
    for (let attempt = 1; left.size > 0 && attempt <= TRAFFIC_ATTEMPTS; attempt++) {
      const now = await this.#trafficNow();
      const later = [...left].filter(([name, at]) => at > (now.get(name)?.at ?? 0));
      left = new Map();
      for (let from = 0; from < later.length; from += TRAFFIC_PER_TXN) {
        const some = later.slice(from, from + TRAFFIC_PER_TXN);
        const { succeeded } = await this.#asked(() =>
          this.#endpoints.call(txn, this.#trafficTxn(some, now), READ_WITHIN_MS),
        );
        // Another replica was quicker with one of them: look which is later.
        if (!succeeded) for (const [name, at] of some) left.set(name, at);
      }
    }
  }

  async traffic(): Promise<Readonly<Record<string, number>>> {
    this.#opened();
    const now = await this.#trafficNow();
    return Object.fromEntries([...now].map(([name, { at }]) => [name, at]));
  }

  async join(self: ReplicaRecord, changed: ReplicasListener): Promise<void> {
    this.#opened();
    this.#presence = new Presence(this.#endpoints, this.#keys, self, changed);
    await this.#presence.start();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#following?.stop();
    await this.#presence?.stop();
    this.#endpoints.close();
  }

  #opened(): Following {
    if (this.#closed || this.#following === undefined)
      throw new StoreUnavailableError(`the store ${this.name} is closed`);
    return this.#following;
  }

  /** A commit on another revision than the last: too late, or one that was made and is asked for once more. */
  async #madeBefore({ id, basedOn, puts }: Commit, following: Following): Promise<CommitResult> {
    const revision = basedOn + 1;
    if (revision > following.known.revision) return { done: false };
    const { kvs } = await this.#asked(() =>
      this.#endpoints.call(range, { key: this.#keys.log(revision) }, READ_WITHIN_MS),
    );
    const [log] = kvs;
    if (log === undefined || logEntryOf(log.value)?.commit !== id) return { done: false };
    return { done: true, revision, puts: versioned(puts, revision) };
  }

  #transaction(commit: Commit, known: Known, puts: readonly Resource[]): TxnRequest {
    const { id, deletes, audit } = commit;
    const revision = known.revision + 1;
    const head: Head = { format: ETCD_FORMAT, source: known.source, revision, commit: id };
    const log: LogEntry = { commit: id, entries: audit };
    const resources: Operation[] = [];
    for (const put of puts) resources.push({ kind: "put", key: this.#keys.resource(put), value: JSON.stringify(put) });
    const written = new Set(resources.map((operation) => ("key" in operation ? operation.key : "")));
    for (const one of deletes) {
      // etcd refuses a key twice in one transaction; what is written wins.
      if (written.has(this.#keys.resource(one))) continue;
      resources.push({ kind: "delete", key: this.#keys.resource(one) });
      if (one.kind === "sandbox") resources.push({ kind: "delete", key: this.#keys.trafficOf(one.name) });
    }
    const request: TxnRequest = {
      compare: [{ key: this.#keys.head, modRevision: known.modRevision }],
      success: [
        { kind: "put", key: this.#keys.head, value: JSON.stringify(head) },
        { kind: "put", key: this.#keys.log(revision), value: JSON.stringify(log) },
        // At most one key each time, so the log keeps its length.
        { kind: "delete", key: this.#keys.log(0), end: this.#keys.log(Math.max(0, revision - AUDIT_KEPT)) },
        ...inParts(resources),
      ],
      failure: [{ kind: "range", range: { key: this.#keys.log(revision) } }],
    };
    const bytes = txn.encode(request).length;
    if (bytes > REQUEST_BYTES_MAX) {
      throw new CommitTooLargeError(
        `the change is too large for etcd: ${bytes} bytes, it takes ${REQUEST_BYTES_MAX} at once; make it in several steps`,
      );
    }
    return request;
  }

  async #trafficNow(): Promise<Map<string, { readonly at: number; readonly modRevision: number }>> {
    const { traffic } = this.#keys;
    const found = new Map<string, { readonly at: number; readonly modRevision: number }>();
    let { key } = traffic;
    for (;;) {
      const page = { key, end: traffic.end, limit: LOG_PAGE };
      const { kvs, more } = await this.#asked(() => this.#endpoints.call(range, page, READ_WITHIN_MS));
      for (const kv of kvs) {
        const at = Number(kv.value);
        if (Number.isFinite(at)) found.set(kv.key.slice(traffic.key.length), { at, modRevision: kv.modRevision });
      }
      const last = kvs.at(-1);
      if (!more || last === undefined) return found;
      key = `${last.key}\0`;
    }
  }

  #trafficTxn(
    times: readonly (readonly [name: string, at: number])[],
    now: ReadonlyMap<string, { readonly modRevision: number }>,
  ): TxnRequest {
    return {
      compare: times.map(([name]) => {
        const unchanged = { key: this.#keys.trafficOf(name), modRevision: now.get(name)?.modRevision ?? 0 };
        return unchanged;
      }),
      success: times.map(([name, at]) => {
        const put = { kind: "put", key: this.#keys.trafficOf(name), value: String(at) } as const;
        return put;
      }),
      failure: [],
    };
  }

  /** The errors of a call as the callers of a store know them. */
  async #asked<T>(call: () => Promise<T>, more = ""): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (error instanceof EtcdRefusedError) {
        if (/request is too large|too many operations/.test(error.message)) {
          throw new CommitTooLargeError(
            `the change is too large for this etcd (${error.message}): make it in several steps, or raise its --max-request-bytes or --max-txn-ops`,
          );
        }
        throw new StoreUnavailableError(`the store ${this.name}: ${sentenceOf(error)}`);
      }
      if (!(error instanceof StoreUnavailableError)) throw error;
      this.#following?.failed(error.message);
      throw new StoreUnavailableError(`the store ${this.name} cannot be reached: ${error.message}${more}; try again`);
    }
  }
}

const commitUnknown = "; if it was reached after all and only the answer was lost, the change shows when it is back";

/** etcd counts the operations of a transaction and of each one inside, so many fit when they are in several. */
function inParts(operations: readonly Operation[]): readonly Operation[] {
  const alone = OPERATIONS_MAX - 3;
  if (operations.length <= alone) return operations;
  const each = OPERATIONS_MAX - 3 - PARTS_MAX;
  if (operations.length > PARTS_MAX * each) {
    throw new CommitTooLargeError(
      `the change is too large for etcd: ${operations.length} operations, it takes ${PARTS_MAX * each} at once (a deletion of a sandbox counts twice); make it in several steps`,
    );
  }
  const parts: Operation[] = [];
  for (let from = 0; from < operations.length; from += each) {
    parts.push({ kind: "txn", txn: { compare: [], success: operations.slice(from, from + each), failure: [] } });
  }
  return parts;
}

function versioned(puts: readonly Resource[], version: number): Resource[] {
  return puts.map((put) => Object.assign({}, put, { meta: { ...put.meta, version } }));
}
