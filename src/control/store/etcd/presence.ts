// Which replicas live: each writes a key under a lease that it keeps alive; when it dies, etcd removes the key some seconds later.
// One that ends by itself says so in its key and lets the lease run out, so that others can tell it from one that is cut off.

import { randomInt } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { ReplicaRecord, ReplicasListener } from "../store.ts";
import { leaseGrant, leaseKeepAlive, range, txn } from "./codec.ts";
import type { Endpoints } from "./endpoints.ts";
import type { Keys } from "./keys.ts";
import type { Operation } from "./messages.ts";
import { object } from "./values.ts";

const TTL_SECONDS = 10;
const BEAT_MS = 3000;
const CALL_MS = 3000;
const LEAVE_MS = 1000;
/** Ids are chosen here: etcd's own go beyond what a number can hold exactly. */
const LEASE_ID_MAX = 2 ** 48 - 1;

/** What is in the key of a replica. */
type LiveValue = ReplicaRecord & { readonly left?: boolean };

export class Presence {
  readonly #endpoints: Endpoints;
  readonly #keys: Keys;
  readonly #self: ReplicaRecord;
  readonly #changed: ReplicasListener;
  #lease = 0;
  #told = "";
  readonly #stop = new AbortController();
  #looking: Promise<void> | undefined;
  #lookAgain = false;

  constructor(endpoints: Endpoints, keys: Keys, self: ReplicaRecord, changed: ReplicasListener) {
    this.#endpoints = endpoints;
    this.#keys = keys;
    this.#self = self;
    this.#changed = changed;
  }

  /** Resolves after the first attempt, well or not: it goes on trying. */
  async start(): Promise<void> {
    await this.#beat();
    void this.#beats();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    if (this.#lease === 0) return;
    const put = this.#put({ ...this.#self, left: true }, this.#lease);
    await this.#endpoints.call(txn, { compare: [], success: [put], failure: [] }, LEAVE_MS).catch(() => {});
  }

  /** Looks who lives; when that is asked for several times at once, once more at the end. */
  look(): void {
    this.#lookAgain = true;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
  }

  async #beats(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await pause(BEAT_MS, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await this.#beat();
    }
  }

  async #beat(): Promise<void> {
    try {
      if (this.#lease !== 0) {
        const { ttlSeconds } = await this.#endpoints.call(leaseKeepAlive, this.#lease, CALL_MS);
        if (ttlSeconds <= 0) this.#lease = 0;
      }
      if (this.#lease === 0) await this.#appear();
    } catch {
      // That etcd cannot be reached is told by whoever follows the table.
    }
    this.look();
    await this.#looking;
  }

  async #appear(): Promise<void> {
    const lease = randomInt(1, LEASE_ID_MAX);
    await this.#endpoints.call(leaseGrant, { id: lease, ttlSeconds: TTL_SECONDS }, CALL_MS);
    const put = this.#put(this.#self, lease);
    await this.#endpoints.call(txn, { compare: [], success: [put], failure: [] }, CALL_MS);
    this.#lease = lease;
  }

  #put(value: LiveValue, lease: number): Operation {
    return { kind: "put", key: this.#keys.liveOf(this.#self.id), value: JSON.stringify(value), lease };
  }

  async #look(): Promise<void> {
    while (this.#lookAgain && !this.#stop.signal.aborted) {
      this.#lookAgain = false;
      try {
        const { kvs } = await this.#endpoints.call(range, this.#keys.live, CALL_MS);
        const told = JSON.stringify(kvs.map(({ value }) => value));
        if (told === this.#told || this.#stop.signal.aborted) continue;
        this.#told = told;
        const found = kvs.flatMap(({ value }) => replicaOf(value));
        const replicas = found.flatMap(({ left, ...record }) => (left === true ? [] : [record]));
        const gone = found.flatMap(({ id, left }) => (left === true ? [id] : []));
        // Itself lives whatever etcd knows: its lease may have run out while etcd could not be reached.
        const present = replicas.some(({ id }) => id === this.#self.id);
        this.#changed(present ? replicas : [...replicas, this.#self], gone);
      } catch {
        // As above: those known last are as good as anything.
      }
    }
  }
}

function replicaOf(value: string): LiveValue[] {
  const { id, url, secret, startedAt, left } = object(value) as Partial<LiveValue>;
  if (id === undefined || url === undefined || secret === undefined || startedAt === undefined) return [];
  return [{ id, url, secret, startedAt, ...(left === true ? { left } : {}) }];
}
