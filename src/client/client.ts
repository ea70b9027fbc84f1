// The control plane's API as functions. Every failure is a `RefusedError` whose message says what to do.

import type { ControlAccess } from "./access.ts";
import { RefusedError } from "../base/refused-error.ts";
import type { WaitEvent } from "../control/api/backend.ts";
import type { Kind } from "../control/resource.ts";
import { isMap } from "../base/is-map.ts";
import { exchange, openAnswer } from "./exchange.ts";
import type { ControlRequest, Reply } from "./exchange.ts";
import { refusalOf } from "./failure.ts";
import { plurals, readResource } from "./resource-view.ts";
import type { ResourceView, Spec } from "./resource-view.ts";
import { readEvents } from "./server-sent-events.ts";

/** Which resources of a list are wanted. */
export interface ListFilter {
  /** `team=a`: all of them. */
  readonly labels?: readonly string[];
  readonly owner?: string;
  readonly withinMs?: number;
}

/** How something is written. */
export interface WriteOptions {
  /** Only if this is its version still. */
  readonly ifVersion: number | undefined;
  /** A sandbox may have services that nobody declared. */
  readonly allowUnknownServices: boolean;
}

/** Of a list. */
const PAGES_MAX = 10_000;

export class ControlClient {
  readonly access: ControlAccess;

  constructor(access: ControlAccess) {
    this.access = access;
  }

  /** All of a kind that fit. */
  async list(kind: Kind, { labels = [], owner, withinMs }: ListFilter = {}): Promise<readonly ResourceView[]> {
    const query = new URLSearchParams();
    for (const label of labels) query.append("label", label);
    if (owner !== undefined) query.append("owner", owner);
    const resources: ResourceView[] = [];
    // A page at a time; a list without end would be a loop.
    for (let page = 0; page < PAGES_MAX; page++) {
      const path = `/v1/${plurals[kind]}${query.size === 0 ? "" : `?${query.toString()}`}`;
      const body = await this.#json({ method: "GET", path, ...(withinMs === undefined ? {} : { withinMs }) });
      resources.push(...listIn(body, plurals[kind]).map((one) => this.#resource(kind, one)));
      const next = isMap(body) ? body["next"] : undefined;
      if (typeof next !== "string" || next === "") break;
      query.set("after", next);
    }
    return resources;
  }

  /** One; undefined when there is none. */
  async find(kind: Kind, name: string): Promise<ResourceView | undefined> {
    const reply = await exchange(this.access, { method: "GET", path: pathTo(kind, name) });
    if (reply.status === 404 && isProblem(reply)) return undefined;
    return this.#resource(kind, this.#read(reply, `${kind} ${name}`));
  }

  /** One, which has to be there. */
  async get(kind: Kind, name: string): Promise<ResourceView> {
    const body = await this.#json({ method: "GET", path: pathTo(kind, name) }, `${kind} ${name}`);
    return this.#resource(kind, body);
  }

  async create(kind: Kind, name: string, spec: Spec, allowUnknownServices: boolean): Promise<ResourceView> {
    const path = `/v1/${plurals[kind]}${writeQuery(kind, allowUnknownServices)}`;
    const request = { method: "POST", path, body: { name, ...spec } } as const;
    return this.#resource(kind, await this.#json(request, `${kind} ${name}`));
  }

  /** In place of all that it is; makes it where there is none. */
  async replace(kind: Kind, name: string, spec: Spec, options: WriteOptions): Promise<ResourceView> {
    const path = pathTo(kind, name) + writeQuery(kind, options.allowUnknownServices);
    const request = { method: "PUT", path, body: { name, ...spec }, headers: ifMatch(options.ifVersion) } as const;
    return this.#resource(kind, await this.#json(request, `${kind} ${name}`));
  }

  /** Changes what the patch has (RFC 7396). */
  async merge(kind: Kind, name: string, patch: Spec, options: WriteOptions): Promise<ResourceView> {
    const headers = { ...ifMatch(options.ifVersion), "content-type": "application/merge-patch+json" };
    const path = pathTo(kind, name) + writeQuery(kind, options.allowUnknownServices);
    const request = { method: "PATCH", path, body: patch, headers } as const;
    return this.#resource(kind, await this.#json(request, `${kind} ${name}`));
  }

  async remove(kind: Kind, name: string, ifVersion: number | undefined): Promise<void> {
    const request = { method: "DELETE", path: pathTo(kind, name), headers: ifMatch(ifVersion) } as const;
    const reply = await exchange(this.access, request);
    if (reply.status >= 300) throw refusalOf(reply, this.access, `${kind} ${name}`);
  }

  /** What happens until the sandbox is ready, or gone, or the time is up; ends without `done` when the connection does. */
  async *wait(
    name: string,
    what: "ready" | "deleted",
    withinMs: number,
    signal: AbortSignal,
  ): AsyncGenerator<WaitEvent> {
    const query = new URLSearchParams({ for: what, withinMs: String(withinMs) });
    const path = `${pathTo("sandbox", name)}/wait?${query.toString()}`;
    const headers = { accept: "text/event-stream" };
    // Nothing may happen for as long as we wait.
    const asked = { method: "GET", path, headers, signal, withinMs: withinMs + 10_000 } as const;
    const response = await openAnswer(this.access, asked);
    if (response.statusCode !== 200) {
      const chunks: Buffer[] = [];
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
      const body = Buffer.concat(chunks).toString("utf8");
      throw refusalOf(
        { status: response.statusCode ?? 0, headers: response.headers, body },
        this.access,
        `sandbox ${name}`,
      );
    }
    for await (const { event, data } of readEvents(response)) {
      const value = parse(data) as Partial<WaitEvent> | undefined;
      if (value === undefined || (event !== "progress" && event !== "done")) continue;
      yield { ...value, kind: event } as WaitEvent;
    }
  }

  /** The answer to a GET as it is. */
  async read(path: string): Promise<unknown> {
    return this.#json({ method: "GET", path });
  }

  /** The same, with the fields of the answer's head. */
  async readWithHead(path: string): Promise<{ readonly value: unknown; readonly headers: Reply["headers"] }> {
    const reply = await exchange(this.access, { method: "GET", path });
    return { value: this.#read(reply, undefined), headers: reply.headers };
  }

  async #json(request: ControlRequest, about?: string): Promise<unknown> {
    return this.#read(await exchange(this.access, request), about);
  }

  #read(reply: Reply, about: string | undefined): unknown {
    const value = reply.status >= 200 && reply.status < 300 ? parse(reply.body) : undefined;
    if (value === undefined) throw refusalOf(reply, this.access, about);
    return value;
  }

  #resource(kind: Kind, value: unknown): ResourceView {
    const resource = readResource(kind, value);
    if (resource !== undefined) return resource;
    throw new RefusedError(
      `${this.access.url} answered with something else than a ${kind}; is it a control plane of this version?`,
    );
  }
}

/** The list in an answer, whether it stands alone or in an object beside other things. */
export function listIn(value: unknown, field: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  const fields = (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  const list = fields[field] ?? fields["items"];
  return Array.isArray(list) ? list : [];
}

function pathTo(kind: Kind, name: string): string {
  return `/v1/${plurals[kind]}/${encodeURIComponent(name)}`;
}

function writeQuery(kind: Kind, allowUnknownServices: boolean): string {
  return kind === "sandbox" && allowUnknownServices ? "?allowUnknownServices=1" : "";
}

function ifMatch(version: number | undefined): Readonly<Record<string, string>> {
  return version === undefined ? {} : { "if-match": `"${version}"` };
}

function isProblem(reply: Reply): boolean {
  return String(reply.headers["content-type"]).startsWith("application/problem+json");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
