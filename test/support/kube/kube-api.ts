// A small client of the Kubernetes API for tests: independent of the product's own, so that a fault there cannot hide here.
import { Agent, request } from "node:https";
import type { IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";

/** What every object has; the rest is read with `as`. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly generation?: number;
    /** RFC 3339, whole seconds. */
    readonly creationTimestamp: string;
    readonly deletionTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly finalizers?: readonly string[];
    readonly ownerReferences?: readonly { readonly kind: string; readonly name: string; readonly uid: string }[];
  };
}

/** One change: what a watch says, with ADDED for all that is there at first. */
export interface KubeEvent<T extends KubeObject = KubeObject> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: T;
}

interface ListAnswer<T extends KubeObject> {
  readonly items: readonly T[];
  readonly metadata: { readonly resourceVersion: string };
}

/** An answer other than 2xx. */
export class KubeRefusal extends Error {
  override readonly name = "KubeRefusal";
  readonly status: number;
  /** As in the answer's Status object, such as `NotFound`. */
  readonly reason: string;

  constructor(where: string, status: number, body: string) {
    const { message, reason } = parsed(body) as { readonly message?: string; readonly reason?: string };
    super(`${where}: ${status} ${message ?? body}`);
    this.status = status;
    this.reason = reason ?? "";
  }
}

const patchTypes = {
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  json: "application/json-patch+json",
  apply: "application/apply-patch+yaml",
} as const;

/** How long a test waits for what never comes. */
const WITHIN_MS = 40_000;

/** Speaks as the owner of one token. */
export class KubeApi {
  readonly server: string;
  readonly #token: string;
  readonly #agent: Agent;
  readonly #following = new Set<() => void>();

  /** @param server `https://host:port`. @param ca PEM. */
  constructor(server: string, ca: string, token: string) {
    this.server = server;
    this.#token = token;
    this.#agent = new Agent({ ca, keepAlive: true });
  }

  /** Paths start at the root: `/api/v1/namespaces/shop/pods`. Rejects with a {@link KubeRefusal}. */
  get<T = KubeObject>(path: string): Promise<T> {
    return this.#ask<T>("GET", path);
  }

  async list<T extends KubeObject = KubeObject>(path: string): Promise<readonly T[]> {
    return (await this.#ask<ListAnswer<T>>("GET", path)).items;
  }

  create<T = KubeObject>(path: string, object: object): Promise<T> {
    return this.#ask<T>("POST", path, object);
  }

  replace<T = KubeObject>(path: string, object: object): Promise<T> {
    return this.#ask<T>("PUT", path, object);
  }

  patch<T = KubeObject>(path: string, kind: keyof typeof patchTypes, patch: unknown): Promise<T> {
    return this.#ask<T>("PATCH", path, patch, patchTypes[kind]);
  }

  /** What is gone already counts as deleted. */
  async delete(path: string, options: object = {}): Promise<void> {
    try {
      await this.#ask("DELETE", path, { kind: "DeleteOptions", apiVersion: "v1", ...options });
    } catch (error) {
      if (!(error instanceof KubeRefusal && error.status === 404)) throw error;
    }
  }

  /**
   * Tells of all there is in a collection and of every change from then on, until the returned function is called. A watch that
   * breaks is taken up again; what went in between is told then.
   */
  follow<T extends KubeObject = KubeObject>(collection: string, onEvent: (event: KubeEvent<T>) => void): () => void {
    return this.#follow<T>(collection, undefined, onEvent);
  }

  /** @param start what is known already, and not told again. */
  #follow<T extends KubeObject>(
    collection: string,
    start: ListAnswer<T> | undefined,
    onEvent: (event: KubeEvent<T>) => void,
  ): () => void {
    let over = false;
    let stopWatch = (): void => {};
    const known = new Map<string, T>(start?.items.map((object) => [object.metadata.uid, object]));
    const stop = (): void => {
      over = true;
      this.#following.delete(stop);
      stopWatch();
    };
    this.#following.add(stop);
    const tell = (type: KubeEvent["type"], object: T): void => {
      if (over) return;
      const before = known.get(object.metadata.uid);
      if (type === "DELETED") known.delete(object.metadata.uid);
      else if (before?.metadata.resourceVersion === object.metadata.resourceVersion) return;
      else known.set(object.metadata.uid, object);
      onEvent({ type: type === "DELETED" ? type : before === undefined ? "ADDED" : "MODIFIED", object });
    };
    const listAgain = async (): Promise<string> => {
      const { items, metadata } = await this.#ask<ListAnswer<T>>("GET", collection);
      const there = new Set(items.map((item) => item.metadata.uid));
      for (const gone of [...known.values()]) if (!there.has(gone.metadata.uid)) tell("DELETED", gone);
      for (const item of items) tell("ADDED", item);
      return metadata.resourceVersion;
    };
    const run = async (): Promise<void> => {
      let from = start?.metadata.resourceVersion;
      while (!over) {
        try {
          from ??= await listAgain();
          const answer = await this.#open("GET", `${withQuery(collection)}watch=1&resourceVersion=${from}`);
          from = undefined;
          stopWatch = () => void answer.destroy();
          if (over) stopWatch();
          for await (const line of createInterface({ input: answer })) {
            const { type, object } = JSON.parse(line) as { type: string; object: T };
            if (type !== "ADDED" && type !== "MODIFIED" && type !== "DELETED") break;
            tell(type, object);
          }
          answer.destroy();
        } catch {
          from = undefined;
          // The server is starting, ending or gone: until `stop` it is worth another try.
          if (!over) await new Promise((resolve) => setTimeout(resolve, 200));
        }
      }
    };
    void run();
    return stop;
  }

  /** Resolves with the named object as soon as `accept` says so of its newest state. Rejects with that state when it never does. */
  until<T extends KubeObject = KubeObject>(
    collection: string,
    name: string,
    accept: (object: T) => boolean,
    withinMs = WITHIN_MS,
  ): Promise<T> {
    const only = `${withQuery(collection)}fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}`;
    return this.untilAll<T>(only, (objects) => objects[0] !== undefined && accept(objects[0]), withinMs).then(
      ([object]) => object as T,
    );
  }

  /** Resolves when the named object is not there any more. */
  async untilGone(collection: string, name: string, withinMs = WITHIN_MS): Promise<void> {
    const only = `${withQuery(collection)}fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}`;
    await this.untilAll(only, (objects) => objects.length === 0, withinMs);
  }

  /** Resolves with all objects of a collection (a query such as `?labelSelector=` included) once they are accepted together. */
  async untilAll<T extends KubeObject = KubeObject>(
    collection: string,
    accept: (objects: readonly T[]) => boolean,
    withinMs = WITHIN_MS,
  ): Promise<readonly T[]> {
    const first = await this.#ask<ListAnswer<T>>("GET", collection);
    if (accept(first.items)) return first.items;
    const { promise, resolve, reject } = Promise.withResolvers<readonly T[]>();
    const now = new Map(first.items.map((object) => [object.metadata.uid, object]));
    const stop = this.#follow<T>(collection, first, ({ type, object }) => {
      if (type === "DELETED") now.delete(object.metadata.uid);
      else now.set(object.metadata.uid, object);
      const all = [...now.values()];
      try {
        if (accept(all)) resolve(all);
      } catch (error) {
        reject(error);
      }
    });
    const timer = setTimeout(() => {
      const state = [...now.values()].map((object) => {
        const { metadata, status = {} } = object as KubeObject & { readonly status?: object };
        return `${metadata.name} (${metadata.deletionTimestamp === undefined ? "" : "being deleted, "}${JSON.stringify(status)})`;
      });
      reject(new Error(`${collection}: not as wanted within ${withinMs} ms; now: ${state.join("\n") || "nothing"}`));
    }, withinMs);
    return promise.finally(() => {
      clearTimeout(timer);
      stop();
    });
  }

  /** The answer as text, whatever its status: for paths such as `/readyz`. */
  async raw(path: string): Promise<{ readonly status: number; readonly body: string }> {
    const answer = await this.#send("GET", path);
    return { status: answer.statusCode ?? 0, body: await text(answer) };
  }

  /** Ends all that follows and every connection. */
  close(): void {
    for (const stop of this.#following) stop();
    this.#agent.destroy();
  }

  async #ask<T>(method: string, path: string, body?: unknown, type?: string): Promise<T> {
    return JSON.parse(await text(await this.#open(method, path, body, type))) as T;
  }

  async #open(method: string, path: string, body?: unknown, type?: string): Promise<IncomingMessage> {
    const answer = await this.#send(method, path, body, type);
    const status = answer.statusCode ?? 0;
    if (status < 200 || status > 299) throw new KubeRefusal(`${method} ${path}`, status, await text(answer));
    return answer;
  }

  #send(method: string, path: string, body?: unknown, type = "application/json"): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers: Record<string, string> = { authorization: `Bearer ${this.#token}`, accept: "application/json" };
      const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
      if (content !== undefined) {
        headers["content-type"] = type;
        // A DELETE has no framing by default, even with a body.
        headers["content-length"] = String(content.length);
      }
      const sent = request(`${this.server}${path}`, { method, headers, agent: this.#agent }, resolve);
      sent.once("error", reject);
      sent.end(content);
    });
  }
}

function withQuery(path: string): string {
  return path.includes("?") ? `${path}&` : `${path}?`;
}

function parsed(body: string): object {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
