// Resources for the tests of this folder.

import type {
  GroupResource,
  GroupSpec,
  Meta,
  SandboxResource,
  SandboxSpec,
  ServiceResource,
  ServiceSpec,
} from "./resource.ts";

const described = { labels: {}, owner: "", description: "" };

export function metaOf(version = 1): Meta {
  const at = "2026-01-02T03:04:05.000Z";
  return { version, createdAt: at, updatedAt: at, createdBy: "ada", updatedBy: "ada" };
}

export function serviceResource(name: string, spec: Partial<ServiceSpec> = {}, version = 1): ServiceResource {
  return { kind: "service", name, spec: { ...described, ...spec }, meta: metaOf(version) };
}

export function sandboxResource(name: string, spec: Partial<SandboxSpec> = {}, version = 1): SandboxResource {
  return { kind: "sandbox", name, spec: { ...described, services: {}, ...spec }, meta: metaOf(version) };
}

export function groupResource(name: string, spec: Partial<GroupSpec> = {}, version = 1): GroupResource {
  return { kind: "group", name, spec: { ...described, ...spec }, meta: metaOf(version) };
}
