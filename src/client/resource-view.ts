// A resource as the API tells it: the fields of its spec, its name, and what the control plane knows.

import type { SandboxStatus } from "../control/api/backend.ts";
import type { Kind } from "../control/resource.ts";
import { READ_ONLY } from "../control/resources/spec-shape.ts";
import { checkName } from "../routing/names.ts";

/** Where each kind is in the API and in a table file. */
export const plurals: Readonly<Record<Kind, "services" | "sandboxes" | "groups">> = {
  service: "services",
  sandbox: "sandboxes",
  group: "groups",
};

/** Kinds in the order in which they can be made: a group names sandboxes, and they may name services. */
export const kinds: readonly Kind[] = ["service", "sandbox", "group"];

/** Spec as people write it, in JSON. */
export type Spec = Readonly<Record<string, unknown>>;

/** What was read. */
export interface ResourceView {
  readonly kind: Kind;
  readonly name: string;
  readonly version: number;
  readonly spec: Spec;
  /** Everything that the answer had, `kind` and `name` first. */
  readonly whole: Readonly<Record<string, unknown>>;
  readonly createdAt: string;
  readonly status: SandboxStatus | undefined;
}

/** The spec among the fields of a resource: what was read can be sent back. */
export function withoutReadOnly(fields: Readonly<Record<string, unknown>>): Spec {
  const own = [...READ_ONLY, "name", "version"];
  return Object.fromEntries(Object.entries(fields).filter(([field]) => !own.includes(field)));
}

/** Reads one resource; undefined when it is something else. */
export function readResource(kind: Kind, value: unknown): ResourceView | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const fields = value as Readonly<Record<string, unknown>>;
  const { name, version, createdAt, status } = fields;
  // Names end up in shells: completions expand the words that they are given.
  if (typeof name !== "string" || checkName(name) !== undefined) return undefined;
  const isStatus = typeof status === "object" && status !== null && Array.isArray((status as SandboxStatus).conditions);
  const { kind: _, ...rest } = fields;
  return {
    kind,
    name,
    version: typeof version === "number" ? version : 0,
    spec: withoutReadOnly(fields),
    whole: { kind, ...rest },
    createdAt: typeof createdAt === "string" ? createdAt : "",
    status: isStatus ? (status as SandboxStatus) : undefined,
  };
}
