// The other replicas of the control plane: who lives, and what each says when it is asked. Guarantees: asking ends within the time
// given, and a replica that cannot be asked is an error with a sentence, never a rejection that somebody has to expect elsewhere.
//
// One of which the store hears nothing any more has died, or is cut off from the store and still has its sidecars, which route by
// what it knew last. Until it is known to be dead it is one of the others.

import { connectionCauses, isDistrust } from "../base/connection-causes.ts";
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { SIDECARS_PATH } from "./readiness/sidecar-views.ts";
import type { ReplicaTls } from "./replica-tls.ts";
import type { ReplicaRecord, Store } from "./store/store.ts";

/** A replica that does not answer by then is not there. */
const ANSWER_MS = 2_000;
/** All sidecars of a replica are some megabytes. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const CONNECTIONS_MAX = 16;
/** Between two looks whether a lost replica runs. */
const LOST_LOOK_MS = 3_000;
/** A lost replica that has not answered for so long is dead, and its sidecars, which miss it after 30 s, are elsewhere. */
const LOST_MS = 60_000;

/** What one replica said, or why nothing. */
export type ReplicaAnswer =
  | { readonly replica: string; readonly answer: unknown }
  | { readonly replica: string; readonly why: string };

export interface ReplicasOptions {
  readonly self: ReplicaRecord;
  /** Whoever made it closes it. */
  readonly tls: Pick<ReplicaTls, "agent" | "optionsFor">;
}

export class Replicas {
  #self: ReplicaRecord;
  readonly #http = new HttpAgent({ keepAlive: true, maxSockets: CONNECTIONS_MAX });
  readonly #tls: ReplicasOptions["tls"];
  readonly #listeners = new Set<() => void>();
  #all: readonly ReplicaRecord[] | undefined;
  /** By id: those that the store has lost. */
  readonly #lost = new Map<string, Lost>();
  #looking: NodeJS.Timeout | undefined;
  #closed = false;

  constructor({ self, tls }: ReplicasOptions) {
    this.#self = self;
    this.#tls = tls;
  }

  /** As others see it. */
  get self(): ReplicaRecord {
    return this.#self;
  }

  /** Says in the store that this one lives and where its API is, and hears who else does. */
  join(store: Pick<Store, "join">, url: string): Promise<void> {
    this.#self = { ...this.#self, url };
    return store.join(this.#self, (replicas, left = []) => this.#heard(replicas, left));
  }

  /** Those beside this one that live, or may. */
  others(): readonly ReplicaRecord[] {
    const lost = Array.from(this.#lost.values(), ({ record }) => record);
    return [...(this.#all ?? []).filter(({ id }) => id !== this.self.id), ...lost];
  }

  /** Whether a replica lives, this one included. All do before it is known who does: nobody must be taken for gone by mistake. */
  lives(id: string): boolean {
    return this.#all === undefined || id === this.self.id || this.#all.some((one) => one.id === id);
  }

  /** Called when replicas came or went. Returns what takes the listener off again. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** GET of a path from all others at once. */
  askAll(path: string, withinMs: number = ANSWER_MS): Promise<readonly ReplicaAnswer[]> {
    return Promise.all(this.others().map((replica) => this.ask(replica, path, undefined, withinMs)));
  }

  /** GET of a path, or POST where there is a body; both are JSON. */
  async ask(replica: ReplicaRecord, path: string, body?: object, withinMs: number = ANSWER_MS): Promise<ReplicaAnswer> {
    if (replica.url === "") return { replica: replica.id, why: "it has told no URL of its API" };
    try {
      return { replica: replica.id, answer: JSON.parse(await this.#fetch(replica, path, body, withinMs)) as unknown };
    } catch (error) {
      return { replica: replica.id, why: whyOf(error) };
    }
  }

  #fetch({ url, secret }: ReplicaRecord, path: string, body: object | undefined, withinMs: number): Promise<string> {
    const target = new URL(`${url.replace(/\/+$/u, "")}${path}`);
    const secured = target.protocol === "https:";
    const sent = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const request = (secured ? httpsRequest : httpRequest)(
        target,
        {
          method: sent === undefined ? "GET" : "POST",
          ...(secured ? { agent: this.#tls.agent, ...this.#tls.optionsFor(target.hostname) } : { agent: this.#http }),
          // Not that of the socket: a peer that sends a byte now and then would never be late.
          signal: AbortSignal.timeout(withinMs),
          headers: {
            authorization: `Bearer ${secret}`,
            accept: "application/json",
            ...(sent === undefined ? {} : { "content-type": "application/json" }),
          },
        },
        (response) => {
          const pieces: Buffer[] = [];
          let bytes = 0;
          response.on("error", reject);
          response.on("data", (piece: Buffer) => {
            bytes += piece.length;
            if (bytes > ANSWER_BYTES_MAX) request.destroy(new Error("its answer is too large"));
            else pieces.push(piece);
          });
          response.on("end", () => {
            const text = Buffer.concat(pieces).toString();
            const { statusCode = 0 } = response;
            if (statusCode === 200) return resolve(text);
            const message = `it answered with status ${statusCode}: ${detailOf(text)}`;
            reject(STRANGER.has(statusCode) ? new StrangerError(message) : new Error(message));
          });
        },
      );
      request.on("error", reject);
      request.end(sent);
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#looking);
    this.#http.destroy();
    this.#listeners.clear();
  }

  #heard(replicas: readonly ReplicaRecord[], left: readonly string[]): void {
    for (const record of this.others()) {
      if (!this.#lost.has(record.id)) this.#lost.set(record.id, { record, heardMs: performance.now() });
    }
    for (const id of [...left, ...replicas.map((one) => one.id)]) this.#lost.delete(id);
    this.#all = replicas;
    this.#lookLater();
    this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  #lookLater(): void {
    if (this.#lost.size === 0 || this.#closed) return;
    this.#looking ??= setTimeout(() => void this.#lookForLost(), LOST_LOOK_MS).unref();
  }

  async #lookForLost(): Promise<void> {
    const before = this.#lost.size;
    await Promise.all(Array.from(this.#lost.values(), (one) => this.#lookFor(one)));
    this.#looking = undefined;
    if (this.#lost.size !== before) this.#changed();
    this.#lookLater();
  }

  /** Only the replica itself knows its secret: whoever else has its address by now refuses it. */
  async #lookFor(lost: Lost): Promise<void> {
    const { record } = lost;
    try {
      await this.#fetch(record, SIDECARS_PATH, undefined, ANSWER_MS);
      lost.heardMs = performance.now();
    } catch (error) {
      const isGone = error instanceof StrangerError || (error as NodeJS.ErrnoException).code === "ECONNREFUSED";
      const isDead = isGone || record.url === "" || performance.now() - lost.heardMs > LOST_MS;
      if (isDead && this.#lost.get(record.id) === lost) this.#lost.delete(record.id);
    }
  }
}

interface Lost {
  readonly record: ReplicaRecord;
  /** When it was heard of last. */
  heardMs: number;
}

/** Somebody who answers, and is not the replica that was asked. */
class StrangerError extends Error {}

/** The bearer, the path or the host is not known there. */
const STRANGER = new Set([401, 403, 404, 421]);

/** The sentence of a problem (RFC 9457), or what there is instead. */
function detailOf(text: string): string {
  try {
    const { detail } = JSON.parse(text) as { readonly detail?: unknown };
    if (typeof detail === "string") return detail;
  } catch {
    // Not from a replica, then.
  }
  return text.slice(0, 200).trim();
}

const causes: Readonly<Record<string, string>> = { ...connectionCauses, ENOTFOUND: "its name does not resolve" };

function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError" || error.name === "AbortError") return "no answer in time";
  if (error instanceof SyntaxError) return "its answer is no JSON";
  const { code = "" } = error as NodeJS.ErrnoException;
  if (isDistrust(code)) {
    return `its certificate cannot be trusted: ${error.message}; name the authority that signed it in replicas.ca`;
  }
  return causes[code] ?? error.message;
}
