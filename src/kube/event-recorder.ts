// Events on objects, for `kubectl describe`. Never in the way of what they are about: nothing here rejects, and the same event is
// counted instead of written again and again.

import { createHash } from "node:crypto";
import type { Log } from "../base/log.ts";
import type { KubeClient } from "./client.ts";
import { isConflict, isNotFound } from "./kube-error.ts";
import { pathOf } from "./object.ts";
import type { KubeObject } from "./object.ts";

const EVENTS = { apiVersion: "v1", plural: "events" };
/** The same event is written at most once in this time. */
const SAME_MS = 60_000;
/** Different events that are remembered. */
const KNOWN_MAX = 4096;
/** https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/: 1024 bytes. */
const MESSAGE_MAX = 1000;

export type EventType = "Normal" | "Warning";

/** What an event is about; `apiVersion` and `kind` are given because items of lists lack them. */
export interface Regarding {
  readonly apiVersion: string;
  readonly kind: string;
  readonly object: KubeObject;
}

export class EventRecorder {
  readonly #client: Pick<KubeClient, "create" | "patch">;
  readonly #component: string;
  readonly #log: Log;
  readonly #known = new Map<string, { count: number; atMs: number }>();

  /** `component`: who says so, as `sidelane-operator`. */
  constructor(client: Pick<KubeClient, "create" | "patch">, component: string, log: Log) {
    this.#client = client;
    this.#component = component;
    this.#log = log;
  }

  /** `reason`: one word in CamelCase; `message`: a sentence. */
  async record(about: Regarding, type: EventType, reason: string, message: string): Promise<void> {
    const { metadata } = about.object;
    const text = message.slice(0, MESSAGE_MAX);
    const hash = createHash("sha256").update([metadata.uid, type, reason, text].join("\n")).digest("hex").slice(0, 16);
    const name = `${metadata.name.slice(0, 230)}.${hash}`;
    const namespace = metadata.namespace ?? "default";
    const nowMs = performance.now();
    const known = this.#known.get(`${namespace}/${name}`);
    if (known !== undefined && nowMs - known.atMs < SAME_MS) return;
    const entry = { count: (known?.count ?? 0) + 1, atMs: nowMs };
    if (this.#known.size >= KNOWN_MAX) this.#known.delete(this.#known.keys().next().value ?? "");
    this.#known.set(`${namespace}/${name}`, entry);
    const now = new Date().toISOString().replace(/\.\d+Z$/u, "Z");
    const patch = { count: entry.count, lastTimestamp: now };
    try {
      if (entry.count > 1 && (await this.#update(namespace, name, patch))) return;
      await this.#client.create(pathOf(EVENTS, namespace), {
        apiVersion: "v1",
        kind: "Event",
        metadata: { name, namespace },
        involvedObject: {
          apiVersion: about.apiVersion,
          kind: about.kind,
          name: metadata.name,
          namespace: metadata.namespace,
          uid: metadata.uid,
          resourceVersion: metadata.resourceVersion,
        },
        type,
        reason,
        message: text,
        source: { component: this.#component },
        reportingComponent: this.#component,
        firstTimestamp: now,
        lastTimestamp: now,
        count: 1,
      });
    } catch (error) {
      // An earlier process has written it.
      if (isConflict(error)) await this.#update(namespace, name, { lastTimestamp: now }).catch(() => {});
      else this.#log.debug("an event was not written", { reason, object: name, error: String(error) });
    }
  }

  async #update(namespace: string, name: string, patch: object): Promise<boolean> {
    try {
      await this.#client.patch(pathOf(EVENTS, namespace, name), patch, "merge");
      return true;
    } catch (error) {
      if (isNotFound(error)) return false; // events are forgotten after an hour
      throw error;
    }
  }
}
