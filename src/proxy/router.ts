// From a request head to a route, on bytes. What a decision needs to know is worked out once per (table, service port,
// target) and kept in a `Route`; a request then costs the look-up of its key and one Map access. A new table starts
// with no routes: an old one is never consulted again, and dies with the last exchange that holds one of its routes.
import type { ListenerConfig, ProxyConfig } from "../config/proxy-config.ts";
import { fieldIds } from "../protocol/http1/field-ids.ts";
import type { Field } from "../protocol/hpack/field.ts";
import type { RequestHead } from "../protocol/http1/request-head.ts";
import type { Http2RequestHead } from "../protocol/http2/request-head.ts";
import { latin1, textOf } from "../protocol/bytes.ts";
import { Found } from "../protocol/context/found.ts";
import { findBaggageMember } from "../protocol/context/baggage.ts";
import { findTracestateMember } from "../protocol/context/tracestate.ts";
import type { CompiledTable } from "../routing/compiled-table.ts";
import { type Decision, NO_KEY, NO_SERVICE, type RoutePolicy, UNKNOWN_KEY, decide } from "../routing/decide.ts";
import type { TableCell } from "../routing/table-cell.ts";
import type { GrpcStats } from "../telemetry/grpc-stats.ts";
import type { RouteStats, Telemetry } from "../telemetry/metrics.ts";
import type { Reason } from "../base/reasons.ts";
import type { Endpoint } from "./endpoints/endpoint.ts";
import type { EndpointRegistry } from "./endpoints/registry.ts";
import type { ProxyTls } from "./tls/start-tls.ts";

/** Routes of authorities that no table names: bounded, because clients choose them. */
const PASSTHROUGH_MAX = 1000;

/** What a connection speaks; the metric label. */
export type Protocol = "http1" | "http2" | "tcp";

/** Everything one kind of request needs on its way: made once, shared by all of them. */
export interface Route {
  readonly decision: Decision;
  /** The decision's, or why this is where the request went in the end. */
  readonly reason: Reason;
  readonly endpoints: readonly Endpoint[];
  /** Not complete without the request's authority: see `Router`. */
  readonly needsAuthority: boolean;
  readonly stats: RouteStats;
  /** Undefined where there is no gRPC. */
  readonly grpc: GrpcStats | undefined;
  /** The value of `x-sidelane-route`. */
  readonly debugText: string;
  /** The line `x-sidelane-route: ...` with its line end. */
  readonly debugLine: Uint8Array;
  /** Where to go when no endpoint of the sandbox can be reached and the config allows it. */
  readonly fallback: Route | undefined;
}

interface CarrierAt {
  readonly kind: "baggage" | "tracestate" | "header";
  readonly fieldId: number;
  readonly member: Uint8Array;
}

/** The header names that carry keys, in the order of the config, each once: the watched fields of the parser. */
export function watchedFields(config: ProxyConfig): string[] {
  return [...new Set(config.tenancy.carriers.map(headerOf))];
}

function headerOf(carrier: ProxyConfig["tenancy"]["carriers"][number]): string {
  return carrier.kind === "header" ? carrier.name.toLowerCase() : carrier.kind;
}

/** Routes the requests of one listener in one protocol. */
export class Router {
  /** Where the last key was found, for the access log; `keyFound` says whether there was one. */
  readonly key = new Found();
  keyFound = false;
  readonly #listener: ListenerConfig;
  readonly #config: ProxyConfig;
  readonly #policy: RoutePolicy;
  readonly #cell: TableCell;
  readonly #registry: EndpointRegistry;
  readonly #telemetry: Telemetry;
  readonly #protocol: Protocol;
  /** Undefined: no service is connected to with TLS. */
  readonly #tls: ProxyTls | undefined;
  readonly #carriers: readonly CarrierAt[];
  #table: CompiledTable;
  #routes = new Map<number, Route>();
  #passthrough = new Map<string, Route>();
  #service = NO_SERVICE;
  #servicePort = -1;

  constructor(
    listener: ListenerConfig,
    config: ProxyConfig,
    cell: TableCell,
    registry: EndpointRegistry,
    telemetry: Telemetry,
    protocol: Protocol,
    tls?: ProxyTls,
  ) {
    this.#tls = tls;
    this.#listener = listener;
    this.#protocol = protocol;
    this.#config = config;
    this.#cell = cell;
    this.#registry = registry;
    this.#telemetry = telemetry;
    this.#policy = {
      direction: listener.direction,
      self: config.sandbox !== undefined && listener.direction === "inbound",
      onUnknownKey: config.tenancy.onUnknownKey,
      service: config.service,
      ...(config.sandbox === undefined ? {} : { sandbox: config.sandbox }),
    };
    const watched = watchedFields(config);
    this.#carriers = config.tenancy.carriers.map((carrier) => ({
      kind: carrier.kind,
      fieldId: fieldIds.watched + watched.indexOf(headerOf(carrier)),
      member: new TextEncoder().encode(carrier.name),
    }));
    this.#table = cell.current;
    this.#takeTable(cell.current);
  }

  #takeTable(table: CompiledTable): void {
    this.#table = table;
    this.#routes = new Map();
    this.#passthrough = new Map();
    if (this.#listener.direction === "inbound") {
      this.#service = table.serviceByName(this.#config.service);
      this.#servicePort =
        this.#service === NO_SERVICE ? -1 : table.servicePortByName(this.#service, this.#listener.port);
    }
  }

  /** The route of a request: DESIGN §3.4, with the table that is current now. */
  route(head: RequestHead, bytes: Uint8Array): Route {
    const table = this.#cell.current;
    if (table !== this.#table) this.#takeTable(table);
    const target = this.#findTarget(table, head, bytes);
    if (this.#listener.direction === "inbound") {
      return this.#routes.get(target) ?? this.#addRoute(target, this.#service, this.#servicePort, target);
    }
    const { hostNameStart, hostNameEnd, hostPort } = head;
    const service = table.findService(bytes, hostNameStart, hostNameEnd);
    const port = hostPort === -1 ? 80 : hostPort;
    return this.#outboundRoute(table, service, port, target, bytes, hostNameStart, hostNameEnd);
  }

  #outboundRoute(
    table: CompiledTable,
    service: number,
    port: number,
    target: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Route {
    const servicePort = service === NO_SERVICE ? -1 : table.servicePort(service, port);
    if (servicePort !== -1) {
      const at = servicePort * (table.targetCount + 2) + target + 2;
      const route = this.#routes.get(at) ?? this.#addRoute(at, service, servicePort, target);
      if (!route.needsAuthority) return route;
    }
    // Without endpoints of its own a service's baseline is the authority itself, which differs from request to request.
    return this.#passthroughRoute(bytes, start, end, port, service, target, servicePort);
  }

  /**
   * The route of a connection that is not looked into: it has no key and names no service. Undefined where nothing but a
   * request could tell where to go.
   */
  opaque(): Route | undefined {
    const table = this.#cell.current;
    if (table !== this.#table) this.#takeTable(table);
    if (this.#listener.direction === "outbound") return undefined;
    return this.#routes.get(NO_KEY) ?? this.#addRoute(NO_KEY, this.#service, this.#servicePort, NO_KEY);
  }

  /** Whether a route of the present table leads to the endpoint. */
  uses(endpoint: Endpoint): boolean {
    for (const routes of [this.#routes, this.#passthrough]) {
      for (const { endpoints, fallback } of routes.values()) {
        if (endpoints.includes(endpoint) || fallback?.endpoints.includes(endpoint) === true) return true;
      }
    }
    return false;
  }

  /** The route of an HTTP/2 request. */
  routeFields(head: Http2RequestHead): Route {
    const table = this.#cell.current;
    if (table !== this.#table) this.#takeTable(table);
    const target = this.#findTargetInFields(table, head);
    if (this.#listener.direction === "inbound") {
      return this.#routes.get(target) ?? this.#addRoute(target, this.#service, this.#servicePort, target);
    }
    const service = table.findService(head.hostBytes, head.hostNameStart, head.hostNameEnd);
    const port = head.hostPort === -1 ? (head.schemeIsHttps ? 443 : 80) : head.hostPort;
    return this.#outboundRoute(table, service, port, target, head.hostBytes, head.hostNameStart, head.hostNameEnd);
  }

  #findTargetInFields(table: CompiledTable, head: Http2RequestHead): number {
    this.keyFound = false;
    if (head.watchedCount === 0) return NO_KEY;
    const carriers = this.#carriers;
    for (let c = 0; c < carriers.length; c++) {
      const carrier = carriers[c] as CarrierAt;
      if (!this.#readCarrierInFields(carrier, head)) continue;
      this.keyFound = true;
      const { key } = this;
      const target = table.findTarget(key.bytes, key.start, key.end);
      return target === -1 ? UNKNOWN_KEY : target;
    }
    return NO_KEY;
  }

  #readCarrierInFields(carrier: CarrierAt, head: Http2RequestHead): boolean {
    const { watched } = head;
    let found = false;
    for (let w = 0; w < head.watchedCount; w++) {
      const field = watched[w] as Field;
      if (field.kind !== carrier.fieldId) continue;
      const yields = this.#readValue(carrier, field.bytes, field.valueStart, field.valueEnd);
      if (!yields) continue;
      found = true;
      if (carrier.kind !== "baggage") return true;
    }
    return found;
  }

  /** Whether one field of a carrier yields a key, which is then in `key`. */
  #readValue(carrier: CarrierAt, bytes: Uint8Array, start: number, end: number): boolean {
    const { key } = this;
    if (carrier.kind === "baggage") return findBaggageMember(bytes, start, end, carrier.member, key);
    if (carrier.kind === "tracestate") return findTracestateMember(bytes, start, end, carrier.member, key);
    if (end > start) key.set(bytes, start, end);
    return end > start;
  }

  /** The target that the first yielding carrier's key selects, NO_KEY or UNKNOWN_KEY. */
  #findTarget(table: CompiledTable, head: RequestHead, bytes: Uint8Array): number {
    this.keyFound = false;
    if (head.watchedCount === 0) return NO_KEY;
    const carriers = this.#carriers;
    for (let c = 0; c < carriers.length; c++) {
      if (this.#readCarrier(carriers[c] as CarrierAt, head, bytes)) {
        this.keyFound = true;
        const { key } = this;
        const target = table.findTarget(key.bytes, key.start, key.end);
        return target === -1 ? UNKNOWN_KEY : target;
      }
    }
    return NO_KEY;
  }

  #readCarrier(carrier: CarrierAt, head: RequestHead, bytes: Uint8Array): boolean {
    const { watched } = head;
    let found = false;
    for (let w = 0; w < head.watchedCount; w++) {
      if (watched[w * 3] !== carrier.fieldId) continue;
      if (!this.#readValue(carrier, bytes, watched[w * 3 + 1] as number, watched[w * 3 + 2] as number)) continue;
      found = true;
      // Several fields of baggage are one list, and in a list the last member of a name wins.
      if (carrier.kind !== "baggage") return true;
    }
    return found;
  }

  #addRoute(at: number, service: number, servicePort: number, target: number): Route {
    const decision = decide(this.#table, this.#policy, service, servicePort, target);
    const route = this.#routeOf(decision, this.#endpointsOf(decision), this.#fallbackOf(decision, servicePort));
    this.#routes.set(at, route);
    return route;
  }

  #endpointsOf(decision: Decision): readonly Endpoint[] {
    if (decision.set !== -1) return this.#table.endpoints(decision.set).map((name) => this.#endpoint(name, decision));
    if (this.#listener.direction === "inbound") return [this.#endpoint(this.#listener.target, decision)];
    return [];
  }

  /** The endpoint, secured as its service is. What passes through is nobody's service, whatever it calls itself. */
  #endpoint(name: string, { service, destination }: Decision): Endpoint {
    const tls = destination === "passthrough" ? undefined : this.#tls?.services.get(service);
    return this.#registry.get(name, tls?.forEndpoint(name));
  }

  #routeOf(
    decision: Decision,
    endpoints: readonly Endpoint[],
    fallback: Route | undefined,
    reason: Reason = decision.reason,
  ): Route {
    for (const endpoint of endpoints) this.#registry.warm(endpoint);
    const { destination } = decision;
    const { direction } = this.#listener;
    const service = decision.service === "" ? "-" : decision.service;
    const debugText = `${service}=${destination};reason=${reason};table=${this.#table.version}`;
    return {
      decision,
      reason,
      endpoints,
      needsAuthority:
        direction === "outbound" &&
        ((endpoints.length === 0 && !decision.refuse) ||
          (reason === "sandbox" && this.#fallsBack(decision) && fallback === undefined)),
      stats: this.#telemetry.routeStats(decision.service, direction, this.#protocol, destination, reason),
      grpc:
        this.#protocol === "http2" ? this.#telemetry.grpcStats(decision.service, direction, destination) : undefined,
      debugText,
      debugLine: latin1(`x-sidelane-route: ${debugText}\r\n`),
      fallback,
    };
  }

  #fallsBack(decision: Decision): boolean {
    return decision.reason === "sandbox" && this.#config.tenancy.onUnavailable === "baseline";
  }

  /**
   * `onUnavailable: baseline`: the baseline's endpoints under the sandbox's reason, so that it shows in every number.
   * Outbound, a baseline that the table does not declare is the request's `authority`; without one there is none yet.
   */
  #fallbackOf(decision: Decision, servicePort: number, authority?: string): Route | undefined {
    if (!this.#fallsBack(decision)) return undefined;
    const set = this.#listener.direction === "inbound" ? -1 : this.#table.baselineSet(servicePort);
    const baseline: Decision = { ...decision, destination: "baseline", set };
    const declared = this.#endpointsOf(baseline);
    const endpoints =
      declared.length === 0 && authority !== undefined ? [this.#endpoint(authority, baseline)] : declared;
    return endpoints.length === 0 ? undefined : this.#routeOf(baseline, endpoints, undefined, "sandbox-unavailable");
  }

  /** A route for which the request's own authority counts: as the destination, or as the baseline to fall back to. */
  #passthroughRoute(
    bytes: Uint8Array,
    start: number,
    end: number,
    port: number,
    service: number,
    target: number,
    servicePort: number,
  ): Route {
    const host = textOf(bytes, start, end).toLowerCase();
    const authority = `${host}:${port}`;
    const at = `${authority} ${service} ${target}`;
    let route = this.#passthrough.get(at);
    if (route === undefined) {
      const decision = decide(this.#table, this.#policy, service, servicePort, target);
      const declared = this.#endpointsOf(decision);
      const endpoints = declared.length > 0 || host === "" ? declared : [this.#endpoint(authority, decision)];
      const fallback = host === "" ? undefined : this.#fallbackOf(decision, servicePort, authority);
      route = this.#routeOf(decision, endpoints, fallback);
      if (this.#passthrough.size >= PASSTHROUGH_MAX) this.#passthrough.clear();
      this.#passthrough.set(at, route);
    }
    return route;
  }
}
