// The Kubernetes API over HTTP: JSON in, JSON out, streams of JSON lines for watches. Who we are and whom we trust comes from
// KubeConfig of @kubernetes/client-node; its generated classes are not used, because they drop fields that they do not know.
//
// Every failure is a `KubeError`. Requests are bounded in time; a watch is given up when the API server is silent for longer than
// its bookmarks would let it be, which is how a connection that only looks alive is noticed.

import type { KubeConfig } from "@kubernetes/client-node";
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { RequestOptions } from "node:https";
import { RefusedError } from "../base/refused-error.ts";
import { isExpired, isNotFound, kubeErrorOf, unreachable } from "./kube-error.ts";
import { readJsonLines } from "./json-lines.ts";
import type { KubeList, KubeObject, WatchEvent } from "./object.ts";

/** Query parameters; those that are undefined are left out. */
export type KubeQuery = Readonly<Record<string, string | number | boolean | undefined>>;

/** One request. */
export interface KubeRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From the root, as `/api/v1/namespaces/shop/pods`; `pathOf` makes it. */
  readonly path: string;
  readonly query?: KubeQuery | undefined;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  /** Until the answer is complete. Default 30 s. */
  readonly withinMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** How something is written. */
export interface WriteQuery {
  readonly fieldManager?: string;
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

/** What a list or watch is about. */
export interface Selection {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Only `metadata` of each object: what the API server sends is a tenth. */
  readonly metadataOnly?: boolean;
  readonly signal?: AbortSignal;
}

/** RFC 7396, RFC 6902, or the merge by keys that built-in kinds have. */
export type PatchKind = "merge" | "json" | "strategic";

/** Tests shorten them. */
export interface WatchTimes {
  /** The API server ends a watch after this, give or take a fifth; then it is resumed. */
  readonly lengthMs: number;
  /** Nothing came for so long, not even a bookmark (one a minute): the connection is dead. */
  readonly silenceMs: number;
}

const WITHIN_MS = 30_000;
const PAGE = 500;
const BODY_BYTES_MAX = 512 * 1024 * 1024;
const watchTimes: WatchTimes = { lengthMs: 300_000, silenceMs: 130_000 };

export class KubeClient {
  /** URL of the API server, for people. */
  readonly server: string;
  /** Of the kubeconfig's context, or the pod's own; undefined: not said. */
  readonly namespace: string | undefined;
  readonly #config: KubeConfig;
  readonly #watchTimes: WatchTimes;
  readonly #agent: HttpAgent;

  constructor(config: KubeConfig, times: WatchTimes = watchTimes) {
    const cluster = config.getCurrentCluster();
    if (cluster === null)
      throw new RefusedError("the kubeconfig has no current context; choose one: kubectl config use-context NAME");
    this.server = cluster.server.replace(/\/+$/u, "");
    this.namespace = config.getContextObject(config.getCurrentContext())?.namespace;
    this.#config = config;
    this.#watchTimes = times;
    const settings = { keepAlive: true, maxSockets: 32, maxFreeSockets: 8, scheduling: "lifo" as const };
    this.#agent = this.server.startsWith("https:") ? new HttpsAgent(settings) : new HttpAgent(settings);
  }

  /** One request, its answer parsed. */
  async request<T>(asked: KubeRequest): Promise<T> {
    try {
      return await this.#once<T>(asked);
    } catch (error) {
      // The API server closed a kept connection just as it was used; a read can be sent again.
      if (asked.method !== "GET" || !wasReused(error) || asked.signal?.aborted === true) throw error;
      return this.#once<T>(asked);
    }
  }

  async get<T extends object = KubeObject>(path: string, query?: KubeQuery): Promise<T> {
    return this.request<T>({ method: "GET", path, query });
  }

  /** Undefined when there is none. */
  async find<T extends object = KubeObject>(path: string): Promise<T | undefined> {
    try {
      return await this.get<T>(path);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** All pages of a collection, as of one moment. */
  async list<T extends object = KubeObject>(path: string, selection: Selection = {}): Promise<KubeList<T>> {
    try {
      return await this.#pages<T>(path, selection, PAGE);
    } catch (error) {
      // The moment of the first page was forgotten before the last was read: all at once then.
      if (!isExpired(error)) throw error;
      return this.#pages<T>(path, selection, undefined);
    }
  }

  async create<T extends object = KubeObject>(path: string, object: object, how: WriteQuery = {}): Promise<T> {
    return this.request<T>({ method: "POST", path, body: object, ...written(how) });
  }

  /** `object.metadata.resourceVersion`, where it is given, has to be the current one. */
  async replace<T extends object = KubeObject>(path: string, object: object, how: WriteQuery = {}): Promise<T> {
    return this.request<T>({ method: "PUT", path, body: object, ...written(how) });
  }

  async patch<T extends object = KubeObject>(
    path: string,
    patch: object,
    kind: PatchKind,
    how: WriteQuery = {},
  ): Promise<T> {
    const contentType = patchTypes[kind];
    return this.request<T>({ method: "PATCH", path, body: patch, contentType, ...written(how) });
  }

  /** Server-side apply: makes the object, or takes over the fields that `object` has and drops those that it had before. */
  async apply<T extends object = KubeObject>(
    path: string,
    object: object,
    how: WriteQuery & { readonly fieldManager: string; readonly force: boolean },
  ): Promise<T> {
    const { query, signal } = written(how);
    const asked = { method: "PATCH", path, body: object, contentType: "application/apply-patch+yaml" } as const;
    return this.request<T>({ ...asked, query: { ...query, force: how.force }, signal });
  }

  /** Asks for deletion; false when there is nothing. `uid`: only this very object. */
  async delete(
    path: string,
    options: {
      readonly uid?: string;
      readonly propagation?: "Background" | "Foreground" | "Orphan";
      readonly signal?: AbortSignal;
    } = {},
  ): Promise<boolean> {
    const { uid, propagation = "Background", signal } = options;
    const body = {
      apiVersion: "v1",
      kind: "DeleteOptions",
      propagationPolicy: propagation,
      ...(uid === undefined ? {} : { preconditions: { uid } }),
    };
    try {
      await this.request({ method: "DELETE", path, body, signal });
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  /**
   * Changes after `resourceVersion`, until the API server ends the watch, which it does every few minutes: go on from the last
   * version then. Throws a `KubeError`; `isExpired`: list again. Ends quietly when `signal` is aborted.
   */
  async *watch<T extends object = KubeObject>(
    path: string,
    resourceVersion: string,
    selection: Selection = {},
  ): AsyncGenerator<WatchEvent<T>> {
    const { lengthMs, silenceMs } = this.#watchTimes;
    const timeoutSeconds = Math.max(1, Math.round((lengthMs * (0.8 + 0.4 * Math.random())) / 1000));
    const more = { watch: true, allowWatchBookmarks: true, resourceVersion, timeoutSeconds };
    const { accept, query, signal } = selected(selection, false);
    const asked: KubeRequest = { method: "GET", path, query: { ...query, ...more }, ...accept, signal };
    const about = `WATCH ${path}`;
    let response: IncomingMessage;
    try {
      response = await this.#open(asked, WITHIN_MS, false);
    } catch (error) {
      if (signal?.aborted === true) return;
      throw error;
    }
    if (response.statusCode !== 200) throw await this.#refusal(response, about);
    const { socket } = response;
    socket.setTimeout(silenceMs, () => response.destroy(new Error(`it was silent for ${silenceMs / 1000} s`)));
    try {
      for await (const line of readJsonLines(response as AsyncIterable<Buffer>)) {
        const { type, object } = line as { readonly type: string; readonly object: T };
        if (type === "ERROR") {
          const { code = 500 } = object as { readonly code?: number };
          throw kubeErrorOf(code, JSON.stringify(object), about);
        }
        yield { type, object } as WatchEvent<T>;
      }
    } catch (error) {
      if (signal?.aborted === true) return;
      throw error instanceof RefusedError ? error : unreachable(this.server, about, error);
    } finally {
      response.destroy();
    }
  }

  /** Closes kept connections. */
  close(): void {
    this.#agent.destroy();
  }

  async #pages<T extends object>(path: string, selection: Selection, limit: number | undefined): Promise<KubeList<T>> {
    const items: T[] = [];
    let next: string | undefined;
    let resourceVersion = "";
    const { accept, query, signal } = selected(selection, true);
    do {
      const page = await this.request<{
        readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
        readonly items?: readonly T[] | null;
      }>({ method: "GET", path, query: { ...query, limit, continue: next }, ...accept, signal });
      items.push(...(page.items ?? []));
      resourceVersion = page.metadata?.resourceVersion ?? resourceVersion;
      next = page.metadata?.continue === "" ? undefined : page.metadata?.continue;
    } while (next !== undefined);
    return { resourceVersion, items };
  }

  async #once<T>(asked: KubeRequest): Promise<T> {
    const about = `${asked.method} ${asked.path}`;
    const { withinMs = WITHIN_MS } = asked;
    const late = AbortSignal.timeout(withinMs);
    const signal = asked.signal === undefined ? late : AbortSignal.any([asked.signal, late]);
    let response: IncomingMessage;
    let text: string;
    try {
      response = await this.#open({ ...asked, signal }, withinMs, true);
      text = await readText(response);
    } catch (error) {
      if (error instanceof RefusedError) throw error;
      const why = late.aborted ? new Error(`it took more than ${withinMs / 1000} s`) : error;
      throw unreachable(this.server, about, why);
    }
    const status = response.statusCode ?? 0;
    if (status < 200 || status >= 300) throw kubeErrorOf(status, text, about, response.headers["retry-after"]);
    try {
      return (text === "" ? {} : JSON.parse(text)) as T;
    } catch {
      throw kubeErrorOf(status, text, about);
    }
  }

  async #refusal(response: IncomingMessage, about: string): Promise<Error> {
    const text = await readText(response).catch((error: unknown) => String(error));
    return kubeErrorOf(response.statusCode ?? 0, text, about, response.headers["retry-after"]);
  }

  async #open(asked: KubeRequest, withinMs: number, kept: boolean): Promise<IncomingMessage> {
    const {
      method,
      path,
      query = {},
      body,
      contentType = "application/json",
      accept = "application/json",
      signal,
    } = asked;
    const about = `${method} ${path}`;
    const text = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const url = new URL(this.server + path);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const options: RequestOptions = {
      method,
      ...(signal === undefined ? {} : { signal }),
      headers: {
        accept,
        "user-agent": "sidelane",
        ...(text === undefined ? {} : { "content-type": contentType, "content-length": text.length }),
      },
    };
    try {
      await this.#config.applyToHTTPSOptions(options);
    } catch (error) {
      throw unreachable(this.server, about, error); // the file with the token or the program that makes one
    }
    // The library's agent remembers the first certificates that it sees and keeps no connections; a proxy's agent is its business.
    const proxied = this.#config.getCurrentCluster()?.proxyUrl !== undefined;
    if (!proxied) options.agent = kept ? this.#agent : false;
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const request = send(url, options, resolve);
      request.setTimeout(withinMs, () => request.destroy(new Error(`no answer within ${withinMs / 1000} s`)));
      request.on("error", (error: NodeJS.ErrnoException) => {
        const problem = unreachable(this.server, about, error);
        if (request.reusedSocket && error.code === "ECONNRESET") reused.add(problem);
        reject(problem);
      });
      request.end(text);
    });
  }
}

/** Where to find the cluster. */
export interface KubeAccess {
  /** Path; undefined: `KUBECONFIG`, then `~/.kube/config`, then the pod's ServiceAccount. */
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
}

/** A client for the cluster that environment and flags name; a `RefusedError` says what is wrong with them. Loads the library. */
export async function connectKube(access: KubeAccess = {}): Promise<KubeClient> {
  const { KubeConfig: Config } = await import("@kubernetes/client-node");
  const config = new Config();
  const { kubeconfig, context } = access;
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (error) {
    const from = kubeconfig ?? "of KUBECONFIG or ~/.kube/config";
    throw new RefusedError(`the kubeconfig ${from} cannot be used: ${(error as Error).message}`);
  }
  // What the library makes up when it has found nothing.
  if (config.getCurrentCluster()?.server === "http://localhost:8080") {
    throw new RefusedError("there is no cluster: name a kubeconfig by KUBECONFIG=FILE, or run it in a pod");
  }
  if (context !== undefined) {
    if (config.getContextObject(context) === null) {
      const known = config.getContexts().map(({ name }) => name);
      throw new RefusedError(`the kubeconfig has no context ${JSON.stringify(context)}; it has: ${known.join(", ")}`);
    }
    config.setCurrentContext(context);
  }
  return new KubeClient(config);
}

const patchTypes: Readonly<Record<PatchKind, string>> = {
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  strategic: "application/strategic-merge-patch+json",
};

/** Errors of requests that were sent on a kept connection which turned out to be closed. */
const reused = new WeakSet<object>();

function wasReused(error: unknown): boolean {
  return typeof error === "object" && error !== null && reused.has(error);
}

function written({ fieldManager, dryRun, signal }: WriteQuery): Pick<KubeRequest, "query" | "signal"> {
  return { query: { fieldManager, dryRun: dryRun === true ? "All" : undefined }, signal };
}

function selected({ labelSelector, fieldSelector, metadataOnly = false, signal }: Selection, list: boolean) {
  const kind = list ? "PartialObjectMetadataList" : "PartialObjectMetadata";
  const accept = metadataOnly ? { accept: `application/json;as=${kind};g=meta.k8s.io;v=v1` } : {};
  return { accept, query: { labelSelector, fieldSelector }, signal };
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) throw new Error("the answer has no end");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
