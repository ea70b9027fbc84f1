// The TableCommits of a namespace: each call tries again what may work a moment later, as long as its caller waits, and says what
// is wrong otherwise. Calls that change something may be made more than once so: a creation then finds its own object, a
// replacement another resource version; whoever calls looks what is there.

import { setTimeout as pause } from "node:timers/promises";
import type { KubeClient } from "../../../kube/client.ts";
import { KubeError } from "../../../kube/kube-error.ts";
import { RefusedError } from "../../../base/refused-error.ts";
import { StoreUnavailableError } from "../store.ts";
import type { NewObject, TableCommitObject } from "./objects.ts";

/** Of one attempt: an answer that got lost is not waited for until the end. */
const ATTEMPT_MS = 1500;
const LIST_ATTEMPT_MS = 15_000;
const RETRY_MS = 50;

export interface WatchEvent {
  readonly type: string;
  readonly object: TableCommitObject;
}

/** What came after the given resource version is forgotten: list. */
export class ExpiredError extends Error {
  override readonly name = "ExpiredError";
}

/** The API server, or its etcd, takes less at once. */
export class ObjectTooLargeError extends Error {
  override readonly name = "ObjectTooLargeError";
}

/** All methods throw `StoreUnavailableError`, with what the API server said and what to do. */
export class TableCommits {
  readonly #client: KubeClient;
  readonly #namespace: string;
  readonly #path: string;

  constructor(client: KubeClient, namespace: string) {
    this.#client = client;
    this.#namespace = namespace;
    this.#path = `/apis/sidelane.dev/v1alpha1/namespaces/${namespace}/tablecommits`;
  }

  /** All of one moment. */
  async list(
    withinMs: number,
  ): Promise<{ readonly items: readonly TableCommitObject[]; readonly resourceVersion: string }> {
    return this.#try(withinMs, LIST_ATTEMPT_MS, (attemptMs) =>
      this.#client.list<TableCommitObject>(this.#path, { signal: AbortSignal.timeout(attemptMs) }),
    );
  }

  /** As a majority of etcd has it; undefined: there is none. */
  async get(name: string, withinMs: number): Promise<TableCommitObject | undefined> {
    const path = `${this.#path}/${name}`;
    return this.#try(withinMs, ATTEMPT_MS, (attemptMs) =>
      orUndefined(404, "NotFound", this.#client.request({ method: "GET", path, withinMs: attemptMs })),
    );
  }

  /** Undefined: there is one of this name, perhaps this very one. Throws `ObjectTooLargeError`. */
  async create(object: NewObject, withinMs: number): Promise<TableCommitObject | undefined> {
    const asked = { method: "POST", path: this.#path, body: object } as const;
    return this.#try(withinMs, ATTEMPT_MS, (attemptMs) =>
      orUndefined(409, "AlreadyExists", this.#client.request({ ...asked, withinMs: attemptMs })),
    );
  }

  /** Undefined: it is another one by now, perhaps by this very call. Throws `ObjectTooLargeError`. */
  async replace(object: NewObject, withinMs: number): Promise<TableCommitObject | undefined> {
    const asked = { method: "PUT", path: `${this.#path}/${object.metadata.name}`, body: object } as const;
    return this.#try(withinMs, ATTEMPT_MS, (attemptMs) =>
      orUndefined(409, "Conflict", this.#client.request({ ...asked, withinMs: attemptMs })),
    );
  }

  /** With `uid` only this very one. */
  async remove(name: string, withinMs: number, uid?: string): Promise<void> {
    const body = {
      apiVersion: "v1",
      kind: "DeleteOptions",
      ...(uid === undefined ? {} : { preconditions: { uid } }),
    };
    const asked = { method: "DELETE", path: `${this.#path}/${name}`, body } as const;
    await this.#try(withinMs, ATTEMPT_MS, async (attemptMs) => {
      const request = this.#client.request<TableCommitObject>({ ...asked, withinMs: attemptMs });
      return orUndefined(409, "Conflict", orUndefined(404, "NotFound", request));
    });
  }

  /** Calls `each` for what comes after the resource version; resolves when the API server ends it. Throws `ExpiredError`. */
  async watch(resourceVersion: string, each: (event: WatchEvent) => void, signal: AbortSignal): Promise<void> {
    try {
      const events = this.#client.watch<TableCommitObject>(this.#path, resourceVersion, { signal });
      for await (const event of events) {
        // What was on its way when it was ended may be of before a list.
        if (signal.aborted) return;
        each(event);
      }
    } catch (error) {
      if (error instanceof KubeError && error.status === 410) throw new ExpiredError(error.message);
      throw this.#told(error);
    }
  }

  async #try<T>(withinMs: number, mostMs: number, call: (attemptMs: number) => Promise<T>): Promise<T> {
    const endMs = performance.now() + withinMs;
    for (;;) {
      const leftMs = Math.max(1, Math.min(mostMs, Math.ceil(endMs - performance.now())));
      try {
        return await call(leftMs);
      } catch (error) {
        const waitMs = waitOf(error);
        if (waitMs === undefined || performance.now() + waitMs >= endMs) throw this.#told(error);
        await pause(waitMs);
      }
    }
  }

  #told(error: unknown): Error {
    if (!(error instanceof KubeError)) {
      return error instanceof RefusedError ? new StoreUnavailableError(error.message) : (error as Error);
    }
    const { status, message } = error;
    if (status === 413 || /request is too large|too large to|limit is \d+/u.test(message)) {
      return new ObjectTooLargeError(message);
    }
    const hint = hintOf(error, this.#namespace);
    return new StoreUnavailableError(`${message}${hint === "" ? "" : ` (${hint})`}`);
  }
}

/** Undefined: trying again is of no use. */
function waitOf(error: unknown): number | undefined {
  if (!(error instanceof KubeError)) return undefined;
  const { status, reason, message } = error;
  if (/request is too large/u.test(message)) return undefined;
  const passing = status === 0 || status === 429 || status >= 500 || reason === "Expired";
  return passing ? RETRY_MS * (1 + Math.random()) : undefined;
}

function hintOf({ status, reason, message }: KubeError, namespace: string): string {
  if (status === 401)
    return "the control plane's token is not accepted: look at its ServiceAccount, or at the kubeconfig";
  if (status === 403 && message.includes("being terminated")) return "the namespace is being deleted";
  if (status === 403) {
    return `its ServiceAccount needs get, list, watch, create, update and delete for tablecommits.sidelane.dev in the namespace ${namespace}`;
  }
  if (status === 404 && /namespaces? "/u.test(message)) return `kubectl create namespace ${namespace}`;
  if (status === 404 && reason !== "AlreadyExists") {
    return "is the CustomResourceDefinition tablecommits.sidelane.dev there? It comes with the chart";
  }
  if (message.includes("database space exceeded")) return "the cluster's etcd is full: compact, defrag, alarm disarm";
  return "";
}

async function orUndefined<T>(status: number, reason: string, request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (error instanceof KubeError && error.status === status && isAbout(error, reason)) return undefined;
    throw error;
  }
}

/** A missing object, and not a missing namespace or a resource that the API server does not know. */
function isAbout({ reason, message }: KubeError, wanted: string): boolean {
  if (reason !== wanted) return false;
  return wanted !== "NotFound" || !/could not find the requested resource|namespaces? "/u.test(message);
}
