// Where the control plane keeps its resources. One implementation per kind of store; everything above knows only this.
//
// Revisions are the store's, begin with 1 and grow by one with each commit, for all replicas the same; the table that sidecars
// get has the revision of the last commit in it. All commits are one after the other: a commit names the revision that it was
// validated against, and is refused when that is no longer the last.

import type { AuditEntry, Resource, ResourceId } from "../resource.ts";

/** Everything at one revision. */
export interface StoreSnapshot {
  readonly revision: number;
  readonly resources: readonly Resource[];
}

/** What one commit changed, complete. */
export interface StoreChange {
  readonly revision: number;
  readonly puts: readonly Resource[];
  readonly deletes: readonly ResourceId[];
}

/** A commit that the store is asked to make. `meta.version` of the puts is filled in by the store. */
export interface Commit {
  /** Unique: a commit whose outcome is not known is found again by it, and never made twice. */
  readonly id: string;
  /** The revision it was validated against. */
  readonly basedOn: number;
  readonly puts: readonly Resource[];
  readonly deletes: readonly ResourceId[];
  /** Without revision, which the store fills in. */
  readonly audit: readonly Omit<AuditEntry, "revision">[];
}

export type CommitResult =
  | { readonly done: true; readonly revision: number; readonly puts: readonly Resource[] }
  /** Another commit came first; the newer revision will be (or was) told to the follower. */
  | { readonly done: false };

/** What a store tells whoever follows it. Called one at a time, in order. */
export interface StoreFollower {
  /** At the beginning, and whenever changes were missed: forget what you know. */
  readonly reset: (snapshot: StoreSnapshot) => void;
  readonly changed: (change: StoreChange) => void;
  /** Whether the store can be reached; with a sentence for people when not. Reads go on from what is known. */
  readonly reachable: (yes: boolean, why: string) => void;
}

/** A control replica as others see it. */
export interface ReplicaRecord {
  readonly id: string;
  /** URL of its API for other replicas; "" when it has none. */
  readonly url: string;
  /** Bearer token by which other replicas may read there; whoever can read the store may know it. */
  readonly secret: string;
  readonly startedAt: string;
}

/**
 * Is told who lives, the one that listens included, and the ids of those that ended by themselves lately. Who is neither died, or
 * is cut off from the store.
 */
export type ReplicasListener = (replicas: readonly ReplicaRecord[], left?: readonly string[]) => void;

/**
 * The store cannot be reached, did not answer, or cannot write. `message` is a sentence for people. A commit that ends so was
 * not told to the follower; where the store could not be asked any more it may still have been made, and is told to the
 * follower as any other once the store is back (the message says so).
 */
export class StoreUnavailableError extends Error {
  override readonly name = "StoreUnavailableError";
}

/** More than this kind of store takes in one commit; nothing was written. `message` says how much is too much. */
export class CommitTooLargeError extends Error {
  override readonly name = "CommitTooLargeError";
}

/** The store cannot be used at all: `message` says why, where, and what to do. */
export class StoreUnusableError extends Error {
  override readonly name = "StoreUnusableError";
}

/** Entries of the audit log that a store keeps at least, the newest; older ones are forgotten. */
export const AUDIT_KEPT = 10_000;

export interface Store {
  /** For people: `file:/var/lib/sidelane`. Without credentials. */
  readonly name: string;
  /** Names this history of revisions: made when the store is first used, the same for all replicas, another one after a loss. */
  readonly source: string;
  /** Loads and follows until `close`; resolves after the first `reset`. Rejects with `StoreUnusableError`. */
  open(follower: StoreFollower): Promise<void>;
  /** Throws `StoreUnavailableError`, `CommitTooLargeError`. When this resolves with `done`, the follower has been told. */
  commit(commit: Commit): Promise<CommitResult>;
  /** Newest first. Throws `StoreUnavailableError`. */
  audit(query: {
    readonly kind?: string;
    readonly name?: string;
    readonly limit: number;
  }): Promise<readonly AuditEntry[]>;
  /**
   * When sandboxes last had traffic, in milliseconds since the epoch; kept beside the revisions. A later time wins; times of
   * sandboxes that do not exist are dropped, and a commit that deletes a sandbox forgets its time. Throws `StoreUnavailableError`.
   */
  noteTraffic(times: Readonly<Record<string, number>>): Promise<void>;
  traffic(): Promise<Readonly<Record<string, number>>>;
  /** Says that this replica lives, until `close` or some seconds after its death. */
  join(self: ReplicaRecord, changed: ReplicasListener): Promise<void>;
  close(): Promise<void>;
}
