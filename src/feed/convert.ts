// Tables as the feed tells them, to and from tables as people write them (src/routing/document.ts).

import { isList } from "../routing/document.ts";
import type {
  EndpointsDocument,
  GroupDocument,
  SandboxDocument,
  ServiceDocument,
  TableDocument,
} from "../routing/document.ts";
import type { FeedGroup, FeedPortEndpoints, FeedSandbox, FeedService } from "./messages.ts";

/** A whole table, by name. */
export interface FeedParts {
  readonly services: ReadonlyMap<string, FeedService>;
  readonly sandboxes: ReadonlyMap<string, FeedSandbox>;
  readonly groups: ReadonlyMap<string, FeedGroup>;
}

/** A service for the feed. */
export function feedService(name: string, { hosts = [], ports = {}, baseline }: ServiceDocument): FeedService {
  return {
    name,
    hosts,
    ports: Object.entries(ports).map(([port, number]) => ({ name: port, number })),
    baseline: baseline === undefined ? [] : feedEndpoints(baseline),
  };
}

/** A sandbox for the feed. */
export function feedSandbox(name: string, { key = "", strict = false, services }: SandboxDocument): FeedSandbox {
  return {
    name,
    key: key === name ? "" : key,
    strict,
    services: Object.entries(services).map(([service, endpoints]) => ({
      service,
      endpoints: feedEndpoints(endpoints),
    })),
  };
}

/** A route group for the feed. */
export function feedGroup(name: string, { key = "", sandboxes }: GroupDocument): FeedGroup {
  return { name, key: key === name ? "" : key, sandboxes };
}

/** The table that a fed one stands for. */
export function documentOf({ services, sandboxes, groups }: FeedParts): TableDocument {
  return {
    services: mapped(services, serviceDocument),
    sandboxes: mapped(sandboxes, sandboxDocument),
    groups: mapped(groups, groupDocument),
  };
}

/** A service as people write it; its name is the key. */
export function serviceDocument({ hosts, ports, baseline }: FeedService): ServiceDocument {
  return {
    ...(hosts.length === 0 ? {} : { hosts }),
    ...(ports.length === 0 ? {} : { ports: Object.fromEntries(ports.map((port) => [port.name, port.number])) }),
    ...(baseline.length === 0 ? {} : { baseline: endpointsDocument(baseline) }),
  };
}

/** A sandbox as people write it; its name is the key. */
export function sandboxDocument({ key, strict, services }: FeedSandbox): SandboxDocument {
  return {
    ...(key === "" ? {} : { key }),
    ...(strict ? { strict } : {}),
    services: Object.fromEntries(services.map(({ service, endpoints }) => [service, endpointsDocument(endpoints)])),
  };
}

/** A route group as people write it; its name is the key. */
export function groupDocument({ key, sandboxes }: FeedGroup): GroupDocument {
  return { ...(key === "" ? {} : { key }), sandboxes };
}

/** Endpoints for the feed: a plain list has the port "". */
function feedEndpoints(endpoints: EndpointsDocument): readonly FeedPortEndpoints[] {
  if (isList(endpoints)) return [{ port: "", endpoints }];
  return Object.entries(endpoints).map(([port, list]) => ({ port, endpoints: list }));
}

function endpointsDocument(endpoints: readonly FeedPortEndpoints[]): EndpointsDocument {
  const [first] = endpoints;
  if (endpoints.length === 1 && first?.port === "") return first.endpoints;
  return Object.fromEntries(endpoints.map(({ port, endpoints: list }) => [port, list]));
}

/** Names come from outside: `fromEntries` makes `__proto__` an entry like any other. */
function mapped<From, To>(map: ReadonlyMap<string, From>, to: (from: From) => To): Readonly<Record<string, To>> {
  return Object.fromEntries([...map].map(([name, value]) => [name, to(value)]));
}
