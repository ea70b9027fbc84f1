// All endpoints of the process by name. One object per `host:port`, whichever table, listener or authority named it, so
// that a new table keeps connections, load and health of what stayed.
//
// What goes: an endpoint that no route of the present table has asked for is retired soon after the table came: its idle
// connections are closed and it is forgotten as soon as its last exchange is over. One that nobody uses is forgotten after
// a while. A route may still hold a forgotten endpoint; its next use brings it back.
import { isIP } from "node:net";
import type { Limits, Timeouts } from "../../base/limits.ts";
import type { Log } from "../../base/log.ts";
import type { Telemetry } from "../../telemetry/metrics.ts";
import { Http1Pool } from "../http1/pool.ts";
import { FieldTable } from "../../protocol/field-table.ts";
import { StaticFields } from "../../protocol/hpack/static-fields.ts";
import { http2Fields } from "../../protocol/http2/field-ids.ts";
import { Http2Pool, type Http2UpstreamContext } from "../http2/pool.ts";
import { TcpConnector } from "../tcp/connector.ts";
import { Endpoint, type EndpointTls, type PoolMakers } from "./endpoint.ts";
import type { Pool, PoolCounts } from "./pool.ts";
import { type LookUp, Resolver } from "./resolver.ts";

/** An endpoint that nobody has used for so long is forgotten, unless it has connections. */
const FORGET_MS = 10 * 60 * 1000;
/** The same while there are more than `CROWD` of them: clients choose the authorities that pass through. */
const FORGET_IN_CROWD_MS = 10 * 1000;
const CROWD = 10_000;
/** What a new table keeps is asked for by the next request; what is not asked for by then has gone or is not needed. */
const RETIRE_MS = 2000;
/** Between two looks at all endpoints; only those with connections are looked at in every tick. */
const HOUSEKEEPING_MS = 500;

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
  /** Pools that have connections or waiting exchanges. */
  readonly #live = new Set<Pool>();
  readonly #context: UpstreamContext;
  readonly #http2Context: Http2UpstreamContext;
  readonly #resolver: Resolver;
  /** Told when an endpoint accepts extended CONNECT (RFC 8441 §3). */
  onConnectProtocol: (endpoint: Endpoint) => void = () => {};
  readonly #makers: PoolMakers = {
    http1: (endpoint) =>
      new Http1Pool(endpoint, this.#resolver, this.#context, (pool) => this.#becomesLive(pool, endpoint)),
    http2: (endpoint) =>
      new Http2Pool(endpoint, this.#resolver, this.#http2Context, (pool) => this.#becomesLive(pool, endpoint)),
    tcp: (endpoint) =>
      new TcpConnector(endpoint, this.#resolver, this.#context, (pool) => this.#becomesLive(pool, endpoint)),
  };
  #generation = 0;
  #housekeptMs = Number.NEGATIVE_INFINITY;

  constructor(context: UpstreamContext, lookUp: LookUp) {
    this.#context = context;
    this.#http2Context = {
      ...context,
      blockLimits: { listBytesMax: context.limits.headBytesMax, countMax: context.limits.headerCountMax },
      statics: new StaticFields(new FieldTable([], http2Fields)),
      noteConnectProtocol: (endpoint) => this.onConnectProtocol(endpoint),
    };
    this.#resolver = new Resolver(context.timeouts.dnsRefreshMs, context.log, lookUp);
  }

  #becomesLive(pool: Pool, endpoint: Endpoint): void {
    this.#live.add(pool);
    // Forgotten meanwhile. A namesake that has been made since is as good, and keeps its place.
    const id = idOf(endpoint.name, endpoint.tls);
    if (!this.#endpoints.has(id)) this.#endpoints.set(id, endpoint);
  }

  /**
   * The endpoint called `name` (`host:port`, valid: the table, the config or the request parser has checked it).
   *
   * @param tls how its connections are secured; one address may be several endpoints by that.
   */
  get(name: string, tls?: EndpointTls): Endpoint {
    const id = idOf(name, tls);
    let endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) {
      const colon = name.lastIndexOf(":");
      const host = name.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
      endpoint = new Endpoint(name, host, Number(name.slice(colon + 1)), isIP(host) !== 0, this.#makers, tls);
      this.#endpoints.set(id, endpoint);
    }
    endpoint.generation = this.#generation;
    endpoint.supersededMs = 0;
    endpoint.retired = false;
    return endpoint;
  }

  /** Looks names up before the first request needs them. */
  warm(endpoint: Endpoint): void {
    void this.#resolver.ensure(endpoint);
  }

  /** There is a new table: its routes will `get` what they need. */
  noteTable(): void {
    this.#generation++;
  }

  /** Deadlines of all pools; once per tick of the coarse clock. */
  sweep(nowMs: number): void {
    for (const pool of this.#live) {
      pool.sweep(nowMs);
      if (!pool.live) this.#live.delete(pool);
    }
    if (nowMs - this.#housekeptMs < HOUSEKEEPING_MS) return;
    this.#housekeptMs = nowMs;
    const forgetMs = this.#endpoints.size > CROWD ? FORGET_IN_CROWD_MS : FORGET_MS;
    for (const [id, endpoint] of this.#endpoints) {
      this.#retireUnlessNamed(endpoint, nowMs);
      const used = endpoint.live || endpoint.outstanding > 0;
      if (!used && (endpoint.retired || nowMs - endpoint.lastUsedMs > forgetMs)) {
        this.#endpoints.delete(id);
        endpoint.stale = true;
      } else this.#resolver.refresh(endpoint, nowMs);
    }
  }

  /** Swaps may follow one another quickly: what counts is how long no table's route has asked for the endpoint. */
  #retireUnlessNamed(endpoint: Endpoint, nowMs: number): void {
    if (endpoint.generation === this.#generation || endpoint.retired) return;
    if (endpoint.supersededMs === 0) endpoint.supersededMs = nowMs;
    if (nowMs - endpoint.supersededMs < RETIRE_MS) return;
    endpoint.retired = true;
    for (const pool of endpoint.pools) pool.closeIdle();
  }

  /** For `GET /connections`. */
  describe(nowMs: number): readonly object[] {
    return [...this.#endpoints.values()].map((endpoint) => ({
      endpoint: endpoint.name,
      addresses: endpoint.addresses,
      ...summed(endpoint.pools),
      outstanding: endpoint.outstanding,
      ejectedMs: Math.max(0, endpoint.ejectedUntilMs - nowMs),
    }));
  }

  closeIdle(): void {
    for (const pool of this.#live) pool.closeIdle();
  }

  close(): void {
    for (const pool of this.#live) pool.close();
  }
}

/** Under which an endpoint is kept. */
function idOf(name: string, tls: EndpointTls | undefined): string {
  return tls === undefined ? name : `${name} ${tls.name}`;
}

function summed(pools: readonly Pool[]): PoolCounts {
  const counts = { idle: 0, connecting: 0, active: 0, waiting: 0 };
  for (const pool of pools) {
    const more = pool.describe();
    counts.idle += more.idle;
    counts.connecting += more.connecting;
    counts.active += more.active;
    counts.waiting += more.waiting;
  }
  return counts;
}
