// What the simulation consists of: the same services, sandboxes and sidecars in every process that needs them, made from numbers.

import type { SandboxResource, ServiceResource } from "../../src/control/resource.ts";
import type { Scope } from "../../src/feed/messages.ts";

/** How large it is. */
export interface Plan {
  readonly streams: number;
  readonly services: number;
  readonly sandboxes: number;
  /** What sidecars ask for: a few services each, or everything. */
  readonly scope: "narrow" | "everything";
}

/** Services that a sidecar's service calls. */
const CALLED = 4;
const described = { labels: {}, owner: "team", description: "" };
const meta = {
  version: 1,
  createdAt: "2026-01-01T00:00:00.000Z",
  updatedAt: "2026-01-01T00:00:00.000Z",
  createdBy: "bench",
  updatedBy: "bench",
};

export function serviceName(index: number): string {
  return `service-${index}`;
}

export function serviceOf(index: number): ServiceResource {
  const name = serviceName(index);
  return { kind: "service", name, spec: { ...described, baseline: [`${name}.shop.svc.cluster.local:8080`] }, meta };
}

/** Services that a sandbox changes: one to three, spread evenly. */
export function servicesOfSandbox(index: number, { services }: Plan): readonly number[] {
  const count = 1 + (index % 3);
  return Array.from({ length: count }, (_, at) => (index * 7 + at * 53) % services);
}

/** A sandbox as it is after so many changes. */
export function sandboxOf(index: number, changes: number, plan: Plan): SandboxResource {
  const address = `10.${(index >> 8) & 255}.${index & 255}.${changes % 250}:8080`;
  const services = Object.fromEntries(servicesOfSandbox(index, plan).map((one) => [serviceName(one), [address]]));
  return { kind: "sandbox", name: `pr-${index}`, spec: { ...described, services }, meta };
}

/** The service that a sidecar stands beside. */
export function serviceOfSidecar(index: number, { services }: Plan): number {
  return index % services;
}

export function scopeOf(index: number, plan: Plan): Scope {
  if (plan.scope === "everything") return { services: [], names: false };
  const own = serviceOfSidecar(index, plan);
  const services = Array.from({ length: CALLED + 1 }, (_, at) => serviceName((own + at * 11) % plan.services));
  return { services, names: false };
}
