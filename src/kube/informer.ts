// A copy of a collection in memory that follows the API server: one list, then a watch from there.
//
// Guarantees: listeners see each object's states in order, without every state in between; whatever was missed is made up for by the
// next list, deletions included. An API server that is away is asked again with growing pauses; what is known stays known meanwhile.

import type { Log } from "../base/log.ts";
import { backOffMs, pause } from "./back-off.ts";
import type { BackOff } from "./back-off.ts";
import type { KubeClient, Selection } from "./client.ts";
import { isExpired, KubeError } from "./kube-error.ts";
import { keyOf } from "./object.ts";
import type { KubeObject } from "./object.ts";

export interface InformerOptions {
  readonly client: Pick<KubeClient, "list" | "watch">;
  /** Of the collection; see `pathOf`. */
  readonly path: string;
  readonly selection?: Omit<Selection, "signal">;
  /** Given to items of lists, which lack them. */
  readonly type?: { readonly apiVersion: string; readonly kind: string };
  readonly log: Log;
  readonly backOff?: BackOff;
}

/** What has happened to one object. */
export type Change<T> =
  | { readonly type: "add"; readonly object: T; readonly before: undefined }
  | { readonly type: "update"; readonly object: T; readonly before: T }
  /** `object`: the last state that was seen. */
  | { readonly type: "delete"; readonly object: T; readonly before: T };

const defaultBackOff: BackOff = { firstMs: 250, mostMs: 30_000 };

export class Informer<T extends KubeObject = KubeObject> {
  readonly #options: InformerOptions;
  readonly #objects = new Map<string, T>();
  readonly #listeners = new Set<(change: Change<T>) => void>();
  readonly #ending = new AbortController();
  readonly #synced = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #resourceVersion = "";
  #isSynced = false;
  #problem = "";

  constructor(options: InformerOptions) {
    this.#options = options;
  }

  /** Resolves when the first list is in `list`, and told to the listeners; never rejects. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Why it does not follow at the moment, a sentence; "" when it does. */
  get problem(): string {
    return this.#problem;
  }

  /** Resource version up to which everything is known; "" before the first list. */
  get resourceVersion(): string {
    return this.#resourceVersion;
  }

  /** By `namespace/name`, or the name alone where there is no namespace. */
  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): readonly T[] {
    return [...this.#objects.values()];
  }

  /** Returns what takes the listener away again. */
  onChange(listener: (change: Change<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  start(): void {
    this.#running ??= this.#follow(this.#ending.signal);
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { path, log, backOff = defaultBackOff } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === "") await this.#relist(signal);
        await this.#watch(signal, () => {
          failures = 0;
          this.#problem = "";
        });
        // The API server ended it, as it does every few minutes; one that ends them at once is not to be asked in a circle.
        await pause(backOffMs({ firstMs: 50, mostMs: 50 }, 1), signal);
      } catch (error) {
        if (signal.aborted) return;
        const message = error instanceof Error ? error.message : String(error);
        // A version that cannot be gone on from, for whatever reason, is not tried for ever.
        if (isExpired(error) || (error instanceof KubeError && error.status >= 400 && error.status !== 429)) {
          this.#resourceVersion = "";
        }
        if (isExpired(error) && failures === 0) {
          failures++;
          continue;
        }
        failures++;
        this.#problem = message;
        const ms = Math.max(backOffMs(backOff, failures), error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0);
        if (failures === 1 || failures % 10 === 0)
          log.warn("a watch was interrupted", { path, error: message, againMs: ms });
        await pause(ms, signal);
      }
    }
  }

  async #relist(signal: AbortSignal): Promise<void> {
    const { client, path, selection, type } = this.#options;
    const { resourceVersion, items } = await client.list<T>(path, { ...selection, signal });
    const gone = new Set(this.#objects.keys());
    for (const object of items) {
      gone.delete(keyOf(object));
      this.#put(type === undefined ? object : { ...object, ...type });
    }
    for (const key of gone) this.#drop(key, undefined);
    this.#resourceVersion = resourceVersion;
    this.#problem = "";
    this.#isSynced = true;
    this.#synced.resolve();
  }

  async #watch(signal: AbortSignal, alive: () => void): Promise<void> {
    const { client, path, selection } = this.#options;
    for await (const { type, object } of client.watch<T>(path, this.#resourceVersion, { ...selection, signal })) {
      if (signal.aborted) return;
      alive();
      if (type === "ADDED" || type === "MODIFIED") this.#put(object);
      else if (type === "DELETED") this.#drop(keyOf(object), object);
      this.#resourceVersion = object.metadata.resourceVersion ?? this.#resourceVersion;
    }
  }

  #put(object: T): void {
    const key = keyOf(object);
    const before = this.#objects.get(key);
    if (before !== undefined && before.metadata.resourceVersion === object.metadata.resourceVersion) return;
    this.#objects.set(key, object);
    if (before === undefined) this.#tell({ type: "add", object, before });
    // Deleted and made again between two looks.
    else if (before.metadata.uid !== object.metadata.uid) {
      this.#tell({ type: "delete", object: before, before });
      this.#tell({ type: "add", object, before: undefined });
    } else this.#tell({ type: "update", object, before });
  }

  #drop(key: string, last: T | undefined): void {
    const before = this.#objects.get(key);
    if (before === undefined) return;
    this.#objects.delete(key);
    this.#tell({ type: "delete", object: last ?? before, before });
  }

  #tell(change: Change<T>): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        const { path, log } = this.#options;
        log.error("a listener failed", {
          path,
          object: keyOf(change.object),
          error: String((error as Error).stack ?? error),
        });
      }
    }
  }
}
