// All endpoints of the process by name. One object per `host:port`, whichever table, listener or authority named it, so
// that a new table keeps connections, load and health of what stayed.
import { isIP } from "node:net";
import type { Limits, Timeouts } from "../../base/limits.ts";
import type { Log } from "../../base/log.ts";
import type { Telemetry } from "../../telemetry/metrics.ts";
import { Http1Pool } from "../http1/pool.ts";
import { Endpoint } from "./endpoint.ts";
import { Resolver } from "./resolver.ts";

/** An endpoint that nobody has used for so long is forgotten, unless it has connections. */
const FORGET_MS = 10 * 60 * 1000;

/** What pools and endpoints need from the process. */
export interface UpstreamContext {
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly telemetry: Telemetry;
  readonly log: Log;
}

/** Endpoints by name. */
export class EndpointRegistry {
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #context: UpstreamContext;
  readonly #resolver: Resolver;

  constructor(context: UpstreamContext) {
    this.#context = context;
    this.#resolver = new Resolver(context.timeouts.dnsRefreshMs, context.log);
  }

  /** The endpoint called `name` (`host:port`, valid: the table, the config or the request parser has checked it). */
  get(name: string): Endpoint {
    let endpoint = this.#endpoints.get(name);
    if (endpoint === undefined) {
      const colon = name.lastIndexOf(":");
      const host = name.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
      endpoint = new Endpoint(name, host, Number(name.slice(colon + 1)), isIP(host) !== 0);
      endpoint.pool = new Http1Pool(endpoint, this.#resolver, this.#context);
      this.#endpoints.set(name, endpoint);
    }
    return endpoint;
  }

  /** Looks names up before the first request needs them. */
  warm(endpoint: Endpoint): void {
    if (endpoint.isName) void this.#resolver.ensure(endpoint);
  }

  /** Deadlines of all pools; once per tick of the coarse clock. */
  sweep(nowMs: number): void {
    for (const endpoint of this.#endpoints.values()) {
      endpoint.pool.sweep(nowMs);
      if (endpoint.pool.size > 0 || endpoint.outstanding > 0) {
        if (endpoint.isName) this.#resolver.refresh(endpoint, nowMs);
      } else if (nowMs - endpoint.lastUsedMs > FORGET_MS) this.#endpoints.delete(endpoint.name);
    }
  }

  /** For `GET /connections`. */
  describe(): readonly object[] {
    return [...this.#endpoints.values()].map((endpoint) => ({
      endpoint: endpoint.name,
      addresses: endpoint.addresses,
      ...endpoint.pool.describe(),
      outstanding: endpoint.outstanding,
      ejected: endpoint.ejected,
    }));
  }

  closeIdle(): void {
    for (const endpoint of this.#endpoints.values()) endpoint.pool.closeIdle();
  }

  close(): void {
    for (const endpoint of this.#endpoints.values()) endpoint.pool.close();
  }
}
