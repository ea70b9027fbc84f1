// From a request head to a route, on bytes. What a decision needs to know is worked out once per (table, service port,
// target) and kept in a `Route`; a request then costs the look-up of its key and one Map access. A new table starts
// with no routes: an old one is never consulted again, and dies with the last exchange that holds one of its routes.
import type { FailureReason, Reason } from "../base/reasons.ts";
import type { ListenerConfig, ProxyConfig } from "../config/proxy-config.ts";
import { isPartialTable } from "../config/table-scope.ts";
import { latin1, textOf } from "../protocol/bytes.ts";
import type { RequestView } from "../protocol/context/request-view.ts";
import type { CompiledTable } from "../routing/compiled-table.ts";
import { type Decision, NO_KEY, NO_SERVICE, type RoutePolicy, decide } from "../routing/decide.ts";
import { leavesToBaseline, requiredServices, strictlyOwned, unmetExpectation } from "../routing/expectation.ts";
import type { TableCell } from "../routing/table-cell.ts";
import type { GrpcStats } from "../telemetry/grpc-stats.ts";
import type { RouteStats, Telemetry } from "../telemetry/metrics.ts";
import type { Endpoint } from "./endpoints/endpoint.ts";
import type { EndpointRegistry } from "./endpoints/registry.ts";
import { NO_USE, type SandboxUse, type SandboxUses } from "./endpoints/sandbox-uses.ts";
import { isProbe } from "./probe/probe-mark.ts";
import { RequestRecords } from "./tenancy/request-records.ts";
import type { Tenancy } from "./tenancy/tenancy.ts";
import { Tenant } from "./tenancy/tenant.ts";
import type { ProxyTls } from "./tls/start-tls.ts";

/** Routes of authorities that no table names: bounded, because clients choose them. */
const PASSTHROUGH_MAX = 1000;

/** What a connection speaks; the metric label. */
export type Protocol = "http1" | "http2" | "tcp";

/** Why Sidelane answers for itself: a failure, or the one decision that may be a refusal. */
export type RefusalReason = FailureReason | "unknown-key";

/** A decision not to forward. */
export interface Refusal {
  readonly reason: RefusalReason;
  readonly detail: string;
}

const UNKNOWN: Refusal = { reason: "unknown-key", detail: "" };

/** Everything one kind of request needs on its way: made once, shared by all of them. */
export interface Route {
  readonly decision: Decision;
  /** The decision's, or why this is where the request went in the end. */
  readonly reason: Reason;
  /** Answered with this instead of being forwarded. */
  readonly refusal: Refusal | undefined;
  /** What it means that no endpoint can be reached; undefined: what the endpoint says. */
  readonly exhaustedReason: FailureReason | undefined;
  readonly tableVersion: number;
  readonly endpoints: readonly Endpoint[];
  /** Not complete without the request's authority: see `Router`. */
  readonly needsAuthority: boolean;
  readonly stats: RouteStats;
  /** What the request is counted to beside them; `NO_USE` unless a sandbox's, and a control plane wants to know. */
  readonly use: SandboxUse;
  /** Undefined where there is no gRPC. */
  readonly grpc: GrpcStats | undefined;
  /** The value of `x-sidelane-route`. */
  readonly debugText: string;
  /** The line `x-sidelane-route: ...` with its line end. */
  readonly debugLine: Uint8Array;
  /** Where to go when no endpoint of the sandbox can be reached and the config allows it. */
  readonly fallback: Route | undefined;
}

/** Routes the requests of one listener in one protocol. */
export class Router {
  /** On whose behalf the last request was; what of its head has to change. */
  readonly tenant: Tenant;
  /** What is kept of the last request beyond its end. */
  readonly records: RequestRecords;
  readonly #listener: ListenerConfig;
  readonly #config: ProxyConfig;
  readonly #policy: RoutePolicy;
  readonly #cell: TableCell;
  readonly #registry: EndpointRegistry;
  readonly #telemetry: Telemetry;
  readonly #protocol: Protocol;
  /** Undefined: no service is connected to with TLS. */
  readonly #tls: ProxyTls | undefined;
  /** Undefined: nobody wants to know which sandboxes are in use. */
  readonly #uses: SandboxUses | undefined;
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
    tenancy: Tenancy,
    tls?: ProxyTls,
    uses?: SandboxUses,
  ) {
    this.#uses = uses;
    this.tenant = new Tenant(listener, tenancy);
    this.records = new RequestRecords(listener, tenancy, this.tenant, protocol);
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
      isPartial: isPartialTable(config),
      ...(config.sandbox === undefined ? {} : { sandbox: config.sandbox }),
    };
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

  /**
   * The route of a request: DESIGN §3.4, with the table that is current now.
   *
   * @param client address and port of the caller, for spans.
   * @param trusted see `Tenant.identify`.
   */
  route(view: RequestView, client: string, trusted: boolean): Route {
    const table = this.#cell.current;
    if (table !== this.#table) this.#takeTable(table);
    const { tenant } = this;
    let target = tenant.identify(view, table, trusted);
    let service = this.#service;
    let route: Route;
    if (this.#listener.direction === "inbound") {
      route = this.#routes.get(target) ?? this.#addRoute(target, service, this.#servicePort, target);
    } else {
      service = table.findService(view.hostBytes, tenant.hostStart, tenant.hostEnd);
      if (target === NO_KEY && tenant.recovers) {
        target = tenant.recover(view, table, service);
      }
      const port = view.hostPort === -1 ? view.portDefault : view.hostPort;
      route = this.#outboundRoute(table, service, port, target, view);
    }
    if (tenant.rejection !== "") route = this.#refused(route, "key-rejected", tenant.rejection);
    else if (tenant.key.propertiesEnd > tenant.key.propertiesStart) route = this.#asRequired(table, route);
    tenant.settle(view, table, service === NO_SERVICE, route.refusal !== undefined);
    if (!route.use.noted && !isProbe(tenant.key)) this.#uses?.note(route.use);
    this.records.begin(view, route.decision, route.refusal?.reason ?? route.reason, client);
    return route;
  }

  /** The route, or the refusal, of a request whose key says what it expects. */
  #asRequired(table: CompiledTable, route: Route): Route {
    const { keyFrom, key } = this.tenant;
    if (keyFrom === "" || keyFrom === "lost" || route.refusal !== undefined) return route;
    const required = requiredServices(key);
    if (required === undefined) return route;
    const own = this.#listener.direction === "inbound" ? this.#config.service : "";
    const unmet = unmetExpectation(table, route.decision, required, own, this.#policy.isPartial === true);
    if (unmet !== undefined) return this.#refused(route, "expectation-failed", unmet);
    return required.includes(route.decision.service) ? withoutFallback(route) : route;
  }

  #outboundRoute(table: CompiledTable, service: number, port: number, target: number, view: RequestView): Route {
    const servicePort = service === NO_SERVICE ? -1 : table.servicePort(service, port);
    if (servicePort !== -1) {
      const at = servicePort * (table.targetCount + 2) + target + 2;
      const route = this.#routes.get(at) ?? this.#addRoute(at, service, servicePort, target);
      if (!route.needsAuthority) return route;
    }
    // Without endpoints of its own a service's baseline is the authority itself, which differs from request to request.
    const { hostStart, hostEnd } = service === NO_SERVICE ? view : this.tenant;
    return this.#passthroughRoute(view.hostBytes, hostStart, hostEnd, port, service, target, servicePort);
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

  #addRoute(at: number, service: number, servicePort: number, target: number): Route {
    const decision = decide(this.#table, this.#policy, service, servicePort, target);
    const fallback = this.#fallbackOf(decision, servicePort);
    const route = this.#asOwned(
      this.#routeOf(decision, servicePort, this.#endpointsOf(decision), fallback),
      service,
      target,
    );
    this.#routes.set(at, route);
    return route;
  }

  /** A strict sandbox leaves nothing of its own to the baseline. */
  #asOwned(route: Route, service: number, target: number): Route {
    if (!strictlyOwned(this.#table, route.decision, service, target)) return route;
    if (!leavesToBaseline(route.decision)) return withoutFallback(route);
    const { reason } = route.decision;
    return this.#refused(
      route,
      "expectation-failed",
      `the sandbox is strict, and the baseline would answer (${reason})`,
    );
  }

  /** The same route, answered with a reason instead of being forwarded. */
  #refused(route: Route, reason: FailureReason, detail: string): Route {
    const decision: Decision = { ...route.decision, destination: "none", refuse: true };
    const debugText = debugTextOf(decision, reason, route.tableVersion);
    return {
      ...route,
      decision,
      refusal: { reason, detail },
      use: NO_USE,
      grpc: this.#grpcStats(decision),
      needsAuthority: false,
      fallback: undefined,
      debugText,
      debugLine: latin1(`x-sidelane-route: ${debugText}\r\n`),
    };
  }

  #grpcStats({ service, destination }: Decision): GrpcStats | undefined {
    if (this.#protocol !== "http2") return undefined;
    return this.#telemetry.grpcStats(service, this.#listener.direction, destination);
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
    servicePort: number,
    endpoints: readonly Endpoint[],
    fallback: Route | undefined,
    reason: Reason = decision.reason,
  ): Route {
    for (const endpoint of endpoints) this.#registry.warm(endpoint);
    const { destination } = decision;
    const { direction } = this.#listener;
    const debugText = debugTextOf(decision, reason, this.#table.version);
    return {
      decision,
      reason,
      refusal: decision.refuse ? UNKNOWN : undefined,
      exhaustedReason: reason === "sandbox" ? "sandbox-unavailable" : undefined,
      tableVersion: this.#table.version,
      endpoints,
      needsAuthority:
        direction === "outbound" &&
        ((endpoints.length === 0 && !decision.refuse) ||
          (reason === "sandbox" && this.#fallsBack(decision) && fallback === undefined)),
      stats: this.#telemetry.routeStats(decision.service, direction, this.#protocol, destination, reason),
      use: reason === "sandbox" ? this.#useOf(decision, servicePort) : NO_USE,
      grpc: this.#grpcStats(decision),
      debugText,
      debugLine: latin1(`x-sidelane-route: ${debugText}\r\n`),
      fallback,
    };
  }

  #useOf({ set, service }: Decision, servicePort: number): SandboxUse {
    return this.#uses?.of(this.#table, set, servicePort, service) ?? NO_USE;
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
    return endpoints.length === 0
      ? undefined
      : this.#routeOf(baseline, servicePort, endpoints, undefined, "sandbox-unavailable");
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
      route = this.#asOwned(this.#routeOf(decision, servicePort, endpoints, fallback), service, target);
      if (this.#passthrough.size >= PASSTHROUGH_MAX) this.#passthrough.clear();
      this.#passthrough.set(at, route);
    }
    return route;
  }
}

/** The same route, for requests that the baseline must not answer. */
function withoutFallback(route: Route): Route {
  if (route.fallback === undefined && !route.needsAuthority) return route;
  return { ...route, fallback: undefined, needsAuthority: false, exhaustedReason: "expectation-failed" };
}

function debugTextOf({ service, destination }: Decision, reason: Reason, tableVersion: number): string {
  return `${service === "" ? "-" : service}=${destination};reason=${reason};table=${tableVersion}`;
}
