// The API of the control plane before a made-up process. Every answer that is asked for is held against the OpenAPI document.

import { request as httpRequest } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import { text } from "node:stream/consumers";
import { silentLog } from "../../src/base/log.ts";
import type { HttpServer, TlsContents } from "../../src/admin/http-server.ts";
import { Credentials } from "../../src/control/credentials.ts";
import type { AuditEntry, Resource } from "../../src/control/resource.ts";
import { ControlState } from "../../src/control/state.ts";
import { StoreUnavailableError } from "../../src/control/store/store.ts";
import type { Commit, CommitResult, Store, StoreFollower } from "../../src/control/store/store.ts";
import { Writer } from "../../src/control/writer.ts";
import { checkAnswer } from "./api-document.ts";
import type { ApiBackend, SandboxStatus } from "../../src/control/api/backend.ts";
import { startApi } from "../../src/control/api/server.ts";

/** Keeps everything in memory, and can be told to be unreachable. */
export class MemoryStore implements Pick<Store, "name" | "source" | "commit" | "audit"> {
  readonly name = "memory";
  readonly source = "history-1";
  /** Not empty: why it cannot be reached. */
  down = "";
  readonly #follower: StoreFollower;
  #revision = 0;
  #audit: AuditEntry[] = [];

  constructor(follower: StoreFollower) {
    this.#follower = follower;
    follower.reset({ revision: 0, resources: [] });
    follower.reachable(true, "");
  }

  setDown(why: string): void {
    this.down = why;
    this.#follower.reachable(why === "", why);
  }

  async commit({ basedOn, puts, deletes, audit }: Commit): Promise<CommitResult> {
    await Promise.resolve();
    if (this.down !== "") throw new StoreUnavailableError(this.down);
    if (basedOn !== this.#revision) return { done: false };
    const revision = ++this.#revision;
    const stored = puts.map((put): Resource => ({ ...put, meta: { ...put.meta, version: revision } }));
    this.#audit.unshift(...audit.map((entry) => ({ ...entry, revision })));
    this.#follower.changed({ revision, puts: stored, deletes });
    return { done: true, revision, puts: stored };
  }

  async audit({ kind, name, limit }: Parameters<Store["audit"]>[0]): Promise<readonly AuditEntry[]> {
    await Promise.resolve();
    if (this.down !== "") throw new StoreUnavailableError(this.down);
    const fits = (entry: AuditEntry): boolean =>
      (kind === undefined || entry.kind === kind) && (name === undefined || entry.name === name);
    return this.#audit.filter(fits).slice(0, limit);
  }
}

/** What an answer was. */
export interface Got {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** {} unless the body is a JSON object. */
  readonly json: Record<string, unknown>;
}

/** What a request has besides method and path. */
export interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON, a text as it is. */
  readonly body?: object | string;
}

/** A running API and what is behind it. */
export interface ApiWorld {
  readonly server: HttpServer;
  readonly state: ControlState;
  readonly store: MemoryStore;
  readonly backend: ApiBackend;
  /** Rejects when the answer is not as the document says. */
  ask(method: string, path: string, sent?: Sent): Promise<Got>;
  close(): Promise<void>;
}

const ready: SandboxStatus = {
  conditions: [
    { type: "Ready", status: "true", reason: "Answered", message: "it answers", since: "2026-11-23T12:00:00.000Z" },
  ],
};

/** @param changes what is different from a process whose parts all do the least that they can. */
export async function startWorld(changes: Partial<ApiBackend> = {}, tls?: TlsContents): Promise<ApiWorld> {
  const state = new ControlState();
  const store = new MemoryStore(state);
  const writer = new Writer(state, store as unknown as Store);
  const backend: ApiBackend = {
    version: "0.1.0",
    replica: "replica-1",
    state,
    writer,
    authority: new Credentials({ auth: { kind: "none" }, replicaSecret: "replica-secret", log: silentLog }),
    limits: { bodyBytesMax: 64 * 1024, connectionsMax: 64, waitsMax: 4, resourcesMax: 100_000 },
    store,
    status: (name) => (state.find("sandbox", name) === undefined ? undefined : ready),
    async *wait() {
      await Promise.resolve();
      yield { kind: "progress", status: { conditions: [] } };
      yield { kind: "done", reached: true, message: "it is ready", status: ready };
    },
    sidecars: async () => ({ items: [{ instance: "a" }], missing: [] }),
    trace: async () => ({ items: [{ instance: "a", entries: [] }], missing: [] }),
    metrics: async () => "sidelane_control_revision 1\n",
    notReady: () => [],
    internal: [],
    connect: (_, socket) => void socket.destroy(),
    ...changes,
  };
  const server = await startApi({ address: "127.0.0.1:0", backend, log: silentLog, tls });
  const ask = async (method: string, path: string, sent: Sent = {}): Promise<Got> => {
    const got = await send(server.address, method, path, sent);
    checkAnswer(method, path, got);
    return got;
  };
  return { server, state, store, backend, ask, close: () => server.close() };
}

function send(address: string, method: string, path: string, { headers = {}, body }: Sent): Promise<Got> {
  const content = typeof body === "object" ? JSON.stringify(body) : (body ?? "");
  const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  return new Promise((resolve, reject) => {
    const typed = body === undefined ? {} : { "content-type": type };
    const options = { path, method, headers: { ...typed, ...headers } };
    const sent = httpRequest(`http://${address}`, options, (response) => {
      const { statusCode = 0, headers: fields } = response;
      const read = text(response).then((got) => ({
        status: statusCode,
        headers: fields,
        body: got,
        json: parsed(got),
      }));
      read.then(resolve, reject);
    });
    sent.on("error", reject);
    sent.end(content);
  });
}

function parsed(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
