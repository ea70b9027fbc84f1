// A table as people write it (DESIGN §3.3), parsed: whatever it comes from, it is compiled from this. The shape of the file is in
// src/config/table-schema.ts, which a sidecar does not have in memory.

/** Services, sandboxes and groups by name. */
export interface TableDocument {
  readonly services: Readonly<Record<string, ServiceDocument>>;
  readonly sandboxes: Readonly<Record<string, SandboxDocument>>;
  readonly groups: Readonly<Record<string, GroupDocument>>;
}

/** One service. Empty: its host is its name, it has one port and no declared baseline. */
export interface ServiceDocument {
  /** How callers name it in Host or :authority, without port; empty: they do not. Absent: its name. */
  readonly hosts?: readonly string[] | undefined;
  /** Port names and numbers, for a service with several. */
  readonly ports?: Readonly<Record<string, number>> | undefined;
  /** The shared instances; used by outbound listeners. */
  readonly baseline?: EndpointsDocument | undefined;
}

/** A named set of changed services with their own endpoints. */
export interface SandboxDocument {
  /** The routing key that selects it; absent: its name. */
  readonly key?: string | undefined;
  /** Whether each of its services has to answer itself. */
  readonly strict?: boolean | undefined;
  readonly services: Readonly<Record<string, EndpointsDocument>>;
}

/** Sandboxes that one key selects together; the first that has the service wins. */
export interface GroupDocument {
  readonly key?: string | undefined;
  readonly sandboxes: readonly string[];
}

/** Endpoints of a service, `host:port`: a list, or a list per port name; no list is empty. */
export type EndpointsDocument = readonly string[] | Readonly<Record<string, readonly string[]>>;

/** Whether the endpoints are a list for the only port; `Array.isArray` does not narrow read-only arrays. */
export function isList(endpoints: EndpointsDocument): endpoints is readonly string[] {
  return Array.isArray(endpoints);
}

/**
 * Looks a name up in one of the document's maps. Names come from a file, so `constructor` must not find what every object
 * inherits.
 */
export function entry<T>(map: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(map, name) ? map[name] : undefined;
}

/** The ports of a service by name; one unnamed port when it is not declared or does not name any. */
export function portsOf(service: ServiceDocument | undefined): Readonly<Record<string, number>> {
  return service?.ports ?? { "": 0 };
}

/** The endpoints for each port name; a plain list belongs to the only port. */
export function endpointsByPort(
  ports: Readonly<Record<string, number>>,
  endpoints: EndpointsDocument,
): readonly (readonly [port: string, endpoints: readonly string[]])[] {
  if (!isList(endpoints)) return Object.entries(endpoints);
  return [[Object.keys(ports)[0] ?? "", endpoints]];
}

/** The hosts a service claims, as they are compared: small letters, no final dot, IPv6 without brackets. */
export function hostsOf(name: string, service: ServiceDocument | undefined): readonly string[] {
  return (service?.hosts ?? [name]).map(canonicalHost);
}

/** The form in which hosts are compared. */
export function canonicalHost(host: string): string {
  const folded = host.toLowerCase();
  if (folded.startsWith("[") && folded.endsWith("]")) return folded.slice(1, -1);
  return folded.length > 1 && folded.endsWith(".") ? folded.slice(0, -1) : folded;
}
