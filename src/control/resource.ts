// What the control plane keeps: services, sandboxes and groups, with what people say about them and what the control plane knows
// of their history.

import type { EndpointsDocument, ServiceDocument } from "../routing/document.ts";

export type Kind = "service" | "sandbox" | "group";

/** What the control plane writes itself. */
export interface Meta {
  /** The store's revision in which this resource was last changed: what optimistic concurrency compares. */
  readonly version: number;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  readonly updatedAt: string;
  /** Who, as the audit log names them. */
  readonly createdBy: string;
  readonly updatedBy: string;
}

/** What people say about a resource. */
export interface Described {
  readonly labels: Readonly<Record<string, string>>;
  /** Whom to ask about it; "" nobody. */
  readonly owner: string;
  readonly description: string;
}

/** How the service is asked whether a sandbox answers. */
export interface ProbeSpec {
  readonly protocol: "auto" | "http1" | "http2" | "grpc" | "tcp" | "none";
  /** Default "/". */
  readonly path: string;
}

export interface ServiceSpec extends ServiceDocument, Described {
  readonly probe?: ProbeSpec | undefined;
}

/** A developer's machine that answers for a service of a sandbox. */
export interface ConnectedService {
  /** `host:port` at the replica that holds the connection; sidecars send requests there. One per port of the service. */
  readonly endpoints: EndpointsDocument;
  /** The session that may change or end this. */
  readonly session: string;
  /** Id of the control replica that holds the connection. */
  readonly replica: string;
  /** Who, and the machine's name. */
  readonly by: string;
  readonly machine: string;
  readonly since: string;
}

export interface SandboxSpec extends Described {
  /** Default: the name. */
  readonly key?: string | undefined;
  readonly strict?: boolean | undefined;
  readonly services: Readonly<Record<string, EndpointsDocument>>;
  /** As written: `30m`, `4h`, `7d`. Absent: it stays until it is deleted. */
  readonly ttl?: string | undefined;
  /** What the ttl counts from. Default creation. */
  readonly ttlFrom?: "creation" | "traffic" | undefined;
  /**
   * What becomes of a service when its developer's machine goes: `fall-back` (default) to the endpoints in `services`, or to the
   * baseline where there are none; `unavailable`: nobody answers until the machine is back.
   */
  readonly whenDisconnected?: "fall-back" | "unavailable" | undefined;
  /** Written by `connect` alone; wins over `services`. */
  readonly connected?: Readonly<Record<string, ConnectedService>> | undefined;
  /** Made by `connect --create`: deleted when its last connection ends. */
  readonly temporary?: boolean | undefined;
}

/** Which sandboxes belong to a group by their labels: those that have all of `all`, and one of `any` where there is an `any`. */
export interface LabelMatch {
  readonly all?: WantedLabels | undefined;
  readonly any?: WantedLabels | undefined;
}

/** Label -> its value, or several of which each will do. */
export type WantedLabels = Readonly<Record<string, string | readonly string[]>>;

export interface GroupSpec extends Described {
  readonly key?: string | undefined;
  /** In order; the first that has a service wins. Either this or `match`. */
  readonly sandboxes?: readonly string[] | undefined;
  /** Members come and go with their labels; in order of their names. */
  readonly match?: LabelMatch | undefined;
}

/** A resource as it is stored. */
export type Resource =
  | { readonly kind: "service"; readonly name: string; readonly spec: ServiceSpec; readonly meta: Meta }
  | { readonly kind: "sandbox"; readonly name: string; readonly spec: SandboxSpec; readonly meta: Meta }
  | { readonly kind: "group"; readonly name: string; readonly spec: GroupSpec; readonly meta: Meta };

export type ServiceResource = Extract<Resource, { readonly kind: "service" }>;
export type SandboxResource = Extract<Resource, { readonly kind: "sandbox" }>;
export type GroupResource = Extract<Resource, { readonly kind: "group" }>;

/** A resource's name among all. */
export interface ResourceId {
  readonly kind: Kind;
  readonly name: string;
}

/** One line of the audit log. */
export interface AuditEntry {
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Who: the name of a token or certificate; `sidelane` for what the control plane does by itself. */
  readonly actor: string;
  readonly action: "create" | "update" | "delete" | "expire" | "connect" | "disconnect";
  readonly kind: Kind;
  readonly name: string;
  /** The store's revision that it led to. */
  readonly revision: number;
  /** What changed, one sentence: `services.checkout: 10.0.0.7:8080 -> 10.0.0.9:8080`. */
  readonly detail: string;
}
