// The store in the Kubernetes API, for several replicas side by side, without anything beside the cluster itself.
//
// Guarantees: all commits of all replicas are one after the other; each is made whole or not, and once, also when its answer gets
// lost; every replica is told all of them in the same order. While the API server cannot be reached reading goes on and writing
// says so within seconds; afterwards everything goes on by itself. No clock is compared with another one.
//
// Mechanism: a commit is an object that has its revision for a name (objects.ts). Creating a name that is there is refused, so of
// two commits on one revision one is made. Where an answer was lost the creation is asked for again, and the id in the object says
// whose it is. Old commits are deleted when a snapshot holds what they did, and then their names are free again: so whoever has
// created an object reads the snapshot afterwards, and the commit counts only if that does not reach as far (a replica that slept
// through a thousand commits would otherwise make one that nobody ever sees). Reads: following.ts. Who lives: presence.ts.

import type { AuditEntry, Resource } from "../../resource.ts";
import { CommitTooLargeError, StoreUnavailableError, StoreUnusableError } from "../store.ts";
import type { Commit, CommitResult, ReplicaRecord, ReplicasListener, Store, StoreFollower } from "../store.ts";
import type { KubeClient } from "../../../kube/client.ts";
import { Following } from "./following.ts";
import { SNAPSHOT, commitName, commitObject, floorOf, loggedCommit } from "./objects.ts";
import type { LoggedCommit, NewObject, TableCommitObject } from "./objects.ts";
import { Presence } from "./presence.ts";
import { Snapshots } from "./snapshots.ts";
import type { SnapshotTimes } from "./snapshots.ts";
import { ObjectTooLargeError, TableCommits } from "./table-commits.ts";
import { TrafficTimes } from "./traffic-times.ts";

export interface KubernetesStoreOptions {
  /** Of the control plane; undefined: the client's own. */
  readonly namespace: string | undefined;
  /** Made when the store is opened. */
  readonly client: () => Promise<KubeClient>;
  readonly warn: (message: string) => void;
  /** Tests: other times between snapshots. */
  readonly snapshots?: Partial<SnapshotTimes>;
}

const OPEN_WITHIN_MS = 10_000;
const COMMIT_WITHIN_MS = 5000;
/** When the API server was not reached the last time either, nobody is kept waiting. */
const COMMIT_WITHOUT_STORE_MS = 2000;
const READ_WITHIN_MS = 4000;
/** Until the watch tells of the commit that came first. */
const NEWER_WITHIN_MS = 2000;

export class KubernetesStore implements Store {
  #name: string;
  readonly #options: KubernetesStoreOptions;
  #parts: Parts | undefined;
  #presence: Presence | undefined;
  #closed = false;

  constructor(options: KubernetesStoreOptions) {
    this.#name = options.namespace === undefined ? "kubernetes" : `kubernetes://${options.namespace}`;
    this.#options = options;
  }

  /** With the namespace, once that is known. */
  get name(): string {
    return this.#name;
  }

  get source(): string {
    return this.#parts?.following.known.source ?? "";
  }

  async open(follower: StoreFollower): Promise<void> {
    const { warn } = this.#options;
    try {
      const client = await this.#options.client();
      const namespace = this.#options.namespace ?? client.namespace ?? "default";
      this.#name = `kubernetes://${namespace}`;
      const objects = new TableCommits(client, namespace);
      const following: Following = new Following({
        name: this.name,
        namespace,
        objects,
        follower,
        warn,
        damaged: () => void snapshots.write(true),
      });
      const snapshots = new Snapshots(
        { name: this.name, namespace, objects, following, warn },
        this.#options.snapshots,
      );
      await following.start(OPEN_WITHIN_MS);
      const traffic = new TrafficTimes(namespace, objects, following, READ_WITHIN_MS);
      this.#parts = { namespace, client, objects, following, snapshots, traffic };
    } catch (error) {
      if (error instanceof StoreUnusableError) throw error;
      const said = error instanceof Error ? error.message : String(error);
      throw new StoreUnusableError(`the store ${this.name} cannot be used: ${said}`);
    }
  }

  async commit(commit: Commit): Promise<CommitResult> {
    const { following, namespace } = this.#opened();
    const before = following.contents.revisionOf(commit.id);
    // Made, and asked for once more.
    if (before !== undefined) return { done: true, revision: before, puts: versioned(commit.puts, before) };
    const { known } = following;
    if (commit.basedOn !== known.revision) return { done: false };
    const revision = known.revision + 1;
    const puts = versioned(commit.puts, revision);
    const audit = commit.audit.map((entry) => Object.assign({}, entry, { revision }));
    const logged = { revision, previous: known.commit, puts, audit };
    const object = commitObject(namespace, commit, logged);
    const bytes = String(object.spec["data"]).length;
    const made: LoggedCommit = { ...logged, id: commit.id, deletes: commit.deletes, bytes };
    const withinMs = following.reachable ? COMMIT_WITHIN_MS : COMMIT_WITHOUT_STORE_MS;
    const isMade = await this.#asked(() => this.#create(object, made, known.source, withinMs), UNKNOWN);
    if (!isMade) {
      await following.past(commit.basedOn, NEWER_WITHIN_MS);
      return { done: false };
    }
    following.apply(made);
    void this.#parts?.snapshots.write(false);
    return { done: true, revision, puts };
  }

  async audit(query: { kind?: string; name?: string; limit: number }): Promise<readonly AuditEntry[]> {
    const { following } = this.#opened();
    if (!following.reachable) throw new StoreUnavailableError(`the store ${this.name} cannot be reached; try again`);
    return following.contents.audit(query);
  }

  async noteTraffic(times: Readonly<Record<string, number>>): Promise<void> {
    const { traffic } = this.#opened();
    await this.#asked(() => traffic.note(times));
  }

  async traffic(): Promise<Readonly<Record<string, number>>> {
    const { traffic } = this.#opened();
    return this.#asked(() => traffic.read());
  }

  async join(self: ReplicaRecord, changed: ReplicasListener): Promise<void> {
    const { client, namespace } = this.#opened();
    const { warn } = this.#options;
    this.#presence = new Presence({ name: this.name, client, namespace, self, changed, warn });
    await this.#presence.start();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#parts?.following.stop();
    await this.#parts?.snapshots.stop();
    await this.#presence?.stop();
    this.#parts?.client.close();
  }

  #opened(): Parts {
    if (this.#closed || this.#parts === undefined) throw new StoreUnavailableError(`the store ${this.name} is closed`);
    return this.#parts;
  }

  /** Whether it is this commit that made its revision. */
  async #create(object: NewObject, made: LoggedCommit, source: string, withinMs: number): Promise<boolean> {
    const { objects, following } = this.#opened();
    const name = commitName(made.revision);
    const created = await objects.create(object, withinMs);
    const found = created ?? (await objects.get(name, READ_WITHIN_MS));
    // Gone: what it did is in a snapshot, which is looked at below.
    if (found !== undefined && loggedCommit(found)?.id !== made.id) return false;
    const snapshot = await objects.get(SNAPSHOT, READ_WITHIN_MS);
    const floor = snapshot === undefined ? undefined : floorOf(this.name, snapshot);
    if (found !== undefined && floor?.source !== source) {
      // Everything is being deleted, or was: a commit that came too late would stand in the way of what begins anew.
      await objects.remove(name, READ_WITHIN_MS, found.metadata.uid);
      const why = floor === undefined ? `the TableCommit ${SNAPSHOT} was deleted` : "it has another history by now";
      following.listAgain(why);
      throw new StoreUnavailableError(why);
    }
    if (found !== undefined && floor !== undefined && floor.revision < made.revision) return true;
    return this.#madeBeforeSnapshot(found, made, following);
  }

  /** The log has gone on beyond the commit, and what came before the snapshot is deleted: the snapshot knows the last ids. */
  async #madeBeforeSnapshot(
    found: TableCommitObject | undefined,
    made: LoggedCommit,
    following: Following,
  ): Promise<boolean> {
    following.listAgain("the log has gone on");
    await following.past(made.revision - 1, READ_WITHIN_MS);
    if (following.known.revision < made.revision) throw new StoreUnavailableError("the log could not be listed");
    if (following.contents.revisionOf(made.id) === made.revision) return true;
    const { metadata } = found ?? {};
    if (metadata !== undefined) await this.#opened().objects.remove(metadata.name, READ_WITHIN_MS, metadata.uid);
    return false;
  }

  /** The errors of a call as the callers of a store know them. */
  async #asked<T>(call: () => Promise<T>, more = ""): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (error instanceof ObjectTooLargeError) {
        throw new CommitTooLargeError(
          `the change is too large for this API server (${error.message}); make it in several steps`,
        );
      }
      if (error instanceof StoreUnusableError) throw new StoreUnavailableError(error.message);
      if (!(error instanceof StoreUnavailableError)) throw error;
      this.#parts?.following.failed(error.message);
      throw new StoreUnavailableError(`the store ${this.name} cannot be reached: ${error.message}${more}; try again`);
    }
  }
}

interface Parts {
  readonly namespace: string;
  readonly client: KubeClient;
  readonly objects: TableCommits;
  readonly following: Following;
  readonly snapshots: Snapshots;
  readonly traffic: TrafficTimes;
}

const UNKNOWN = "; if it was reached after all and only the answer was lost, the change shows when it is back";

function versioned(puts: readonly Resource[], version: number): Resource[] {
  return puts.map((put) => Object.assign({}, put, { meta: { ...put.meta, version } }));
}
