// DESIGN §3.4 once more, as plainly as it can be said, straight on the document and without any table: only the tests use it.
// It must agree with `compile` and `decide` on every table and every request.

import type { DecisionReason } from "../base/reasons.ts";
import type { RoutePolicy } from "./decide.ts";
import { entry, isList } from "./document.ts";
import type { EndpointsDocument, TableDocument } from "./document.ts";

/** A request as the matcher sees it. */
export interface ReferenceRequest {
  /** Outbound: the host of the authority. Inbound: the name of the service. */
  readonly service: string;
  /** Outbound: the port of the authority. Inbound: the name of the port, "" for the only one. */
  readonly port: number | string;
  readonly key: string | undefined;
}

/** `endpoints` is undefined where the listener's target or the authority itself is meant. */
export interface ReferenceDecision {
  readonly reason: DecisionReason;
  readonly service: string;
  readonly destination: string;
  readonly endpoints: readonly string[] | undefined;
  readonly refuse: boolean;
}

/** Decides one request. */
export function referenceDecision(
  document: TableDocument,
  policy: RoutePolicy,
  request: ReferenceRequest,
): ReferenceDecision {
  const inbound = policy.direction === "inbound";
  const service = inbound ? request.service : serviceWithHost(document, request.service);
  if (service === undefined) {
    return { reason: "not-in-table", service: "", destination: "passthrough", endpoints: undefined, refuse: false };
  }
  const known = allServices(document).includes(service);
  const port = known ? portNamed(document, service, request.port) : undefined;
  if (!inbound && port === undefined) {
    return { reason: "not-in-table", service, destination: "passthrough", endpoints: undefined, refuse: false };
  }
  const baseline = entry(document.services, service)?.baseline;
  const fallback = {
    service,
    destination: policy.self ? (policy.sandbox ?? "baseline") : "baseline",
    endpoints: inbound || baseline === undefined || port === undefined ? undefined : endpointsOf(baseline, port),
    refuse: false,
  };
  if (request.key === undefined) return { ...fallback, reason: "no-key" };
  if (policy.self) return { ...fallback, reason: "self" };
  const sandboxes = sandboxesWithKey(document, request.key);
  if (sandboxes === undefined) {
    const refuse = policy.onUnknownKey === "reject";
    return { ...fallback, reason: "unknown-key", refuse, ...(refuse ? { destination: "none" } : {}) };
  }
  if (known && port === undefined) return { ...fallback, reason: "not-in-table" };
  for (const name of sandboxes) {
    const sandbox = entry(document.sandboxes, name);
    const own = sandbox === undefined ? undefined : entry(sandbox.services, service);
    if (own === undefined || port === undefined) continue;
    return { reason: "sandbox", service, destination: name, endpoints: endpointsOf(own, port), refuse: false };
  }
  return { ...fallback, reason: "not-in-sandbox" };
}

/** Whether the sandbox that the key gives the service to refuses rather than let the baseline answer. */
export function referenceStrict(document: TableDocument, key: string, service: string): boolean {
  for (const name of sandboxesWithKey(document, key) ?? []) {
    const sandbox = entry(document.sandboxes, name);
    if (sandbox !== undefined && entry(sandbox.services, service) !== undefined) return sandbox.strict === true;
  }
  return false;
}

function allServices(document: TableDocument): readonly string[] {
  return [
    ...Object.keys(document.services),
    ...Object.values(document.sandboxes).flatMap((sandbox) => Object.keys(sandbox.services)),
  ];
}

function serviceWithHost(document: TableDocument, host: string): string | undefined {
  const same = (a: string, b: string): boolean =>
    a.toLowerCase().replace(/\.$/u, "") === b.toLowerCase().replace(/\.$/u, "");
  return allServices(document).find((name) =>
    (entry(document.services, name)?.hosts ?? [name]).some((claimed) => same(claimed, host)),
  );
}

function portNamed(document: TableDocument, service: string, port: number | string): string | undefined {
  const ports = Object.entries(entry(document.services, service)?.ports ?? { "": 0 });
  const only = ports.length === 1 ? ports[0] : undefined;
  if (typeof port === "number") return (only ?? ports.find(([, number]) => number === port))?.[0];
  if (only !== undefined && (port === "" || only[0] === "")) return only[0];
  return ports.find(([name]) => name === port)?.[0];
}

function endpointsOf(endpoints: EndpointsDocument, port: string): readonly string[] | undefined {
  return isList(endpoints) ? endpoints : entry(endpoints, port);
}

function sandboxesWithKey(document: TableDocument, key: string): readonly string[] | undefined {
  for (const [name, sandbox] of Object.entries(document.sandboxes)) if ((sandbox.key ?? name) === key) return [name];
  for (const [name, group] of Object.entries(document.groups)) if ((group.key ?? name) === key) return group.sandboxes;
  return undefined;
}
