// Which replicas live: each has a Lease that it renews. A Lease that was not renewed for its duration is that of a dead replica; how
// long that is, each measures by itself from when it saw the last renewal, so no clock is compared with another one. One that ends by
// itself says so in its Lease, so that others can tell it from one that is cut off.

import { setTimeout as pause } from "node:timers/promises";
import type { KubeClient } from "../../../kube/client.ts";
import { KubeError } from "../../../kube/kube-error.ts";
import { StoreUnusableError } from "../store.ts";
import type { ReplicaRecord, ReplicasListener } from "../store.ts";

const DURATION_MS = 10_000;
const BEAT_MS = 3000;
const CALL_MS = 3000;
const LEAVE_MS = 1000;
/** Dead ones are deleted by those that live. */
const FORGET_MS = 60_000;

const LABELS = { "app.kubernetes.io/name": "sidelane", "sidelane.dev/lease": "control-replica" };
const SELECTOR = "sidelane.dev/lease=control-replica";
const RECORD = "sidelane.dev/replica";
const LEFT = "sidelane.dev/left";

interface Lease {
  readonly metadata: {
    readonly name: string;
    readonly resourceVersion?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

interface Seen {
  readonly record: ReplicaRecord;
  readonly left: boolean;
  readonly resourceVersion: string;
  /** When this resource version was seen first. */
  readonly sinceMs: number;
}

export interface PresenceOptions {
  /** Of the store. */
  readonly name: string;
  readonly client: KubeClient;
  readonly namespace: string;
  readonly self: ReplicaRecord;
  readonly changed: ReplicasListener;
  readonly warn: (message: string) => void;
}

export class Presence {
  readonly #name: string;
  readonly #namespace: string;
  readonly #warn: (message: string) => void;
  readonly #client: KubeClient;
  readonly #path: string;
  readonly #self: ReplicaRecord;
  readonly #changed: ReplicasListener;
  readonly #seen = new Map<string, Seen>();
  readonly #acquired = microTime();
  #told = "";
  /** Resource version of its own Lease; "": not made yet. */
  #written = "";
  /** The last look failed: nobody could renew, perhaps. */
  #blind = false;
  /** Why the API server refuses, as told last; "": it does not. */
  #refusal = "";
  /** It has not seen who else is there yet. */
  #isFirst = true;
  readonly #stop = new AbortController();

  constructor({ name, client, namespace, self, changed, warn }: PresenceOptions) {
    this.#name = name;
    this.#namespace = namespace;
    this.#warn = warn;
    this.#client = client;
    this.#path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
    this.#self = self;
    this.#changed = changed;
  }

  /**
   * Resolves after the first attempt, well or not: it goes on trying. Rejects with a `StoreUnusableError` when it may not: a replica that
   * others do not know of has sidecars that they do not know of, and they would say that a sandbox is ready where it is not.
   */
  async start(): Promise<void> {
    const resourceVersion = await this.#beat();
    if (this.#refusal !== "") {
      this.#stop.abort();
      throw new StoreUnusableError(`the store ${this.#name} cannot be used: ${this.#refusal}`);
    }
    void this.#beats();
    void this.#watches(resourceVersion);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#write({ [LEFT]: "true" }, LEAVE_MS).catch(() => {});
  }

  async #beats(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await pause(BEAT_MS, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await this.#beat();
    }
  }

  /** The resource version of the list; "" when there is none. */
  async #beat(): Promise<string> {
    try {
      await this.#write({}, CALL_MS);
      const signal = AbortSignal.timeout(CALL_MS);
      const { items, resourceVersion } = await this.#client.list<Lease>(this.#path, {
        labelSelector: SELECTOR,
        signal,
      });
      if (this.#blind)
        for (const [name, seen] of this.#seen) this.#seen.set(name, { ...seen, sinceMs: performance.now() });
      this.#blind = false;
      const names = new Set(items.map(({ metadata }) => metadata.name));
      for (const name of this.#seen.keys()) if (!names.has(name)) this.#seen.delete(name);
      for (const item of items) this.#see((await this.#superseded(item)) ?? item);
      this.#isFirst = false;
      this.#tell();
      this.#refusal = "";
      await this.#forget();
      return resourceVersion;
    } catch (error) {
      // That the API server cannot be reached is told by whoever follows the table; those known last are as good as anything.
      this.#blind = true;
      this.#tell();
      this.#noteRefusal(error);
      return "";
    }
  }

  #noteRefusal(error: unknown): void {
    if (!(error instanceof KubeError) || (error.status !== 401 && error.status !== 403)) return;
    const told = this.#refusal !== "";
    this.#refusal = `${error.message} (its ServiceAccount needs get, list, watch, create, update and delete for leases.coordination.k8s.io in the namespace ${this.#namespace})`;
    if (!told) this.#warn(`${this.#name}: replicas do not hear of each other any more: ${this.#refusal}`);
  }

  /** So that others are known at once; all else is in the list of the next beat. */
  async #watches(resourceVersion: string): Promise<void> {
    const { signal } = this.#stop;
    for (let from = resourceVersion; !signal.aborted;) {
      const startMs = performance.now();
      try {
        if (from === "") throw new Error("no list yet");
        const events = this.#client.watch<Lease>(this.#path, from, { labelSelector: SELECTOR, signal });
        for await (const { type, object } of events) {
          from = object.metadata.resourceVersion ?? from;
          if (signal.aborted) return;
          if (type === "ADDED" || type === "MODIFIED") this.#see(object);
          if (type === "DELETED") this.#seen.delete(object.metadata.name);
          if (type !== "BOOKMARK") this.#tell();
        }
        if (performance.now() - startMs < BEAT_MS) throw new Error("it ended at once");
      } catch {
        await pause(BEAT_MS, undefined, { signal }).catch(() => {});
        const listed = AbortSignal.timeout(CALL_MS);
        const list = this.#client.list<Lease>(this.#path, { labelSelector: SELECTOR, signal: listed });
        from = (await list.catch(() => ({ resourceVersion: "" }))).resourceVersion;
      }
    }
  }

  /**
   * At the start: a replica that was at this one's address is dead, because a container that was killed starts again in the same pod.
   * Written into its Lease, so that those who come later do not wait for it either.
   */
  async #superseded(lease: Lease): Promise<Lease | undefined> {
    if (!this.#isFirst) return undefined;
    const { metadata } = lease;
    const before = recordIn(metadata.annotations?.[RECORD] ?? "");
    if (before === undefined || before.id === this.#self.id || before.url !== this.#self.url || before.url === "")
      return undefined;
    const annotations = { ...metadata.annotations, [LEFT]: "true" };
    const body = {
      ...lease,
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { ...metadata, annotations },
    };
    const path = `${this.#path}/${metadata.name}`;
    // Somebody else may have changed it: then it is not dead, or deleted.
    return this.#client.request<Lease>({ method: "PUT", path, body, withinMs: CALL_MS }).catch(() => undefined);
  }

  #see({ metadata }: Lease): void {
    const { name, resourceVersion = "", annotations = {} } = metadata;
    const record = recordIn(annotations[RECORD] ?? "");
    if (record === undefined || this.#seen.get(name)?.resourceVersion === resourceVersion) return;
    const left = annotations[LEFT] === "true";
    this.#seen.set(name, { record, left, resourceVersion, sinceMs: performance.now() });
  }

  #tell(): void {
    if (this.#stop.signal.aborted) return;
    const nowMs = performance.now();
    const all = [...this.#seen.values()].toSorted((a, b) => (a.record.id < b.record.id ? -1 : 1));
    const alive = ({ sinceMs }: Seen): boolean => this.#blind || nowMs - sinceMs < DURATION_MS;
    const replicas = all.flatMap((seen) => (!seen.left && alive(seen) ? [seen.record] : []));
    const gone = all.flatMap(({ record, left }) => (left ? [record.id] : []));
    // Itself lives whatever the API server knows: its Lease may be late while that could not be reached.
    const present = replicas.some(({ id }) => id === this.#self.id);
    const living = present ? replicas : [...replicas, this.#self];
    const told = JSON.stringify([living, gone]);
    if (told === this.#told) return;
    this.#told = told;
    this.#changed(living, gone);
  }

  async #forget(): Promise<void> {
    const nowMs = performance.now();
    for (const [name, { sinceMs, resourceVersion, record }] of this.#seen) {
      if (nowMs - sinceMs < FORGET_MS || record.id === this.#self.id) continue;
      // Not when it was renewed just now.
      const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions: { resourceVersion } };
      const path = `${this.#path}/${name}`;
      await this.#client.request({ method: "DELETE", path, body, withinMs: CALL_MS }).catch(() => {});
    }
  }

  /** Renews the Lease, or makes it. One that was changed or deleted by somebody else is read and written once more. */
  async #write(more: Readonly<Record<string, string>>, withinMs: number): Promise<void> {
    try {
      await this.#writeOnce(more, withinMs);
    } catch (error) {
      const stale = error instanceof KubeError && (error.status === 404 || error.status === 409);
      if (!stale) throw error;
      const found = await this.#client.find<Lease>(`${this.#path}/${leaseName(this.#self.id)}`);
      this.#written = found?.metadata.resourceVersion ?? "";
      await this.#writeOnce(more, withinMs);
    }
  }

  async #writeOnce(more: Readonly<Record<string, string>>, withinMs: number): Promise<void> {
    const name = leaseName(this.#self.id);
    const annotations = { [RECORD]: JSON.stringify(this.#self), ...more };
    const lease = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: {
        name,
        labels: LABELS,
        annotations,
        // The API server replaces no Lease without.
        ...(this.#written === "" ? {} : { resourceVersion: this.#written }),
      },
      spec: {
        holderIdentity: this.#self.id,
        leaseDurationSeconds: DURATION_MS / 1000,
        acquireTime: this.#acquired,
        renewTime: microTime(),
      },
    };
    const how =
      this.#written === ""
        ? ({ method: "POST", path: this.#path } as const)
        : ({ method: "PUT", path: `${this.#path}/${name}` } as const);
    const { metadata } = await this.#client.request<Lease>({ ...how, body: lease, withinMs });
    this.#written = metadata.resourceVersion ?? "";
  }
}

function leaseName(id: string): string {
  return `sidelane-control-${id.toLowerCase().replaceAll(/[^a-z0-9-]/gu, "-")}`;
}

/** As Kubernetes' MicroTime. */
function microTime(): string {
  return new Date().toISOString().replace("Z", "000Z");
}

function recordIn(text: string): ReplicaRecord | undefined {
  try {
    const { id, url, secret, startedAt } = JSON.parse(text) as Partial<ReplicaRecord>;
    const fields = [id, url, secret, startedAt];
    if (fields.some((field) => typeof field !== "string")) return undefined;
    return { id, url, secret, startedAt } as ReplicaRecord;
  } catch {
    return undefined;
  }
}
