// What somebody's wish to write means with what is known now: a plan that can be committed, or why not. Pure, and made again
// whenever somebody else was faster, so that a plan never overlooks what came in between.

import { nearest } from "../routing/nearest.ts";
import { checkName, checkTargetName } from "../routing/names.ts";
import { checkChange } from "./check-change.ts";
import { labelRefusal, managedRefusal } from "./managed.ts";
import type { Kind, Meta, Resource, SandboxSpec } from "./resource.ts";
import { mergePatch } from "./resources/merge-patch.ts";
import { sameSpec, specDifference, specSummary } from "./resources/spec-difference.ts";
import { readSpec } from "./resources/spec-shape.ts";
import type { FieldProblem } from "./resources/spec-shape.ts";
import type { ControlState } from "./state.ts";
import type { DraftResource, Plan, Refusal } from "./writer.ts";

/** A refusal that can say which fields it is about. */
export interface Rejection extends Refusal {
  readonly fields?: readonly FieldProblem[];
}

/** What comes of a wish: `before` is what was there, `after` what is there when the plan is committed. */
export interface Planned {
  readonly plan: Plan;
  readonly before: Resource | undefined;
  /** Absent when there is nothing any more. */
  readonly after: DraftResource | undefined;
  /** Legal and odd; sentences. */
  readonly warnings: readonly string[];
}

/** Which versions of a resource may be changed; undefined: any, `any`: it has to exist. */
export type IfMatch = readonly number[] | "any" | undefined;

interface Wish {
  readonly kind: Kind;
  readonly name: string;
  readonly ifMatch?: IfMatch;
  /** On whose behalf; default nobody's in particular. See managed.ts. */
  readonly manager?: string;
}

export interface PutWish extends Wish {
  /** `create`: it must not be there, but for the very same by the same; `put`: whatever is there is replaced. */
  readonly how: "create" | "put";
  /** Fields of the spec as they were sent. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly actor: string;
  /** Let sandboxes have services that nobody declared. */
  readonly allowUnknownServices: boolean;
  readonly resourcesMax: number;
}

export interface PatchWish extends Wish {
  /** A JSON Merge Patch of the spec. */
  readonly patch: Readonly<Record<string, unknown>>;
  readonly allowUnknownServices: boolean;
}

const NOTHING: Plan = { puts: [], deletes: [], detail: () => "" };
const USERS_LISTED_MAX = 5;
const CREATE_FIRST = "create the service first, or add ?allowUnknownServices=1";

/** Creates a resource, or puts it in the place of what is there. */
export function putPlan(state: ControlState, wish: PutWish): Planned | Rejection {
  const { kind, name, how, fields, actor, ifMatch } = wish;
  const before: Resource | undefined = state.find(kind, name);
  const wrongName = nameProblem(kind, name);
  if (wrongName !== undefined) return invalid([wrongName]);
  const read = readSpec(kind, fields);
  if (!read.ok) return invalid(read.problems);
  const changed = versionRefusal(kind, name, before, ifMatch);
  if (changed !== undefined) return changed;
  const managed = how === "put" ? managedRefusal(before, wish.manager ?? "") : undefined;
  if (managed !== undefined) return managed;
  if (before === undefined) {
    const room = roomRefusal(state, wish.resourcesMax);
    if (room !== undefined) return room;
  } else if (how === "create" && !(before.meta.createdBy === actor && sameSpec(writable(before), read.spec))) {
    return { refused: "exists", message: `${kind} ${name} exists already: ${history(before.meta)}` };
  }
  const label = labelRefusal(read.spec, wish.manager ?? "");
  if (label !== undefined) return label;
  return planned(state, draftOf(kind, name, read.spec, before), before, wish.allowUnknownServices);
}

/** Changes some fields of a resource. */
export function patchPlan(state: ControlState, wish: PatchWish): Planned | Rejection {
  const { kind, name, patch, ifMatch } = wish;
  const before: Resource | undefined = state.find(kind, name);
  if (before === undefined) return notFound(state, kind, name);
  const changed = versionRefusal(kind, name, before, ifMatch);
  if (changed !== undefined) return changed;
  const managed = managedRefusal(before, wish.manager ?? "");
  if (managed !== undefined) return managed;
  const merged = mergePatch(writable(before), patch) as Readonly<Record<string, unknown>>;
  const read = readSpec(kind, merged);
  if (!read.ok) return invalid(read.problems);
  const label = labelRefusal(read.spec, wish.manager ?? "");
  if (label !== undefined) return label;
  return planned(state, draftOf(kind, name, read.spec, before), before, wish.allowUnknownServices);
}

/** Deletes a resource that nobody uses. */
export function deletePlan(state: ControlState, { kind, name, ifMatch, manager = "" }: Wish): Planned | Rejection {
  const before: Resource | undefined = state.find(kind, name);
  if (before === undefined) return notFound(state, kind, name);
  const changed = versionRefusal(kind, name, before, ifMatch);
  if (changed !== undefined) return changed;
  const managed = managedRefusal(before, manager);
  if (managed !== undefined) return managed;
  const users = usersOf(state, before);
  if (users.length > 0) {
    const listed = users.slice(0, USERS_LISTED_MAX).join(", ");
    const more = users.length > USERS_LISTED_MAX ? ` and ${users.length - USERS_LISTED_MAX} more` : "";
    const message = `${kind} ${name} is used by ${listed}${more}; change or delete ${users.length === 1 ? "it" : "them"} first`;
    return { refused: "in-use", message };
  }
  const detail = (): string => specSummary(writable(before));
  const plan = { puts: [], deletes: [{ kind, name }], detail };
  return { plan, before, after: undefined, warnings: [] };
}

/** There is no such resource; with the name that was probably meant. */
export function notFound(state: ControlState, kind: Kind, name: string): Rejection {
  const parts = { service: state.table.services, sandbox: state.table.sandboxes, group: state.table.groups }[kind];
  const guess = nearest(name, parts.keys());
  const hint = guess === undefined ? "" : `; did you mean ${guess}?`;
  return { refused: "not-found", message: `there is no ${kind} ${JSON.stringify(name.slice(0, 200))}${hint}` };
}

/** What people wrote about a resource, without what the control plane keeps beside it. */
function writable(resource: Resource): object {
  if (resource.kind !== "sandbox") return resource.spec;
  const { connected: _, temporary: __, ...written } = resource.spec;
  return written;
}

function planned(
  state: ControlState,
  draft: DraftResource,
  before: Resource | undefined,
  allowUnknownServices: boolean,
): Planned | Rejection {
  if (before !== undefined && sameSpec(before.spec, draft.spec)) {
    return { plan: NOTHING, before, after: draft, warnings: [] };
  }
  const unknown = draft.kind === "sandbox" ? unknownServices(state, draft.spec, before) : [];
  if (unknown.length > 0 && !allowUnknownServices) return invalid(unknown);
  const { problems, warnings } = checkChange(state, draft);
  if (problems.length > 0) return invalid(problems);
  const allowed = unknown.map(
    ({ message, hint }) =>
      `${message}${hint === CREATE_FIRST ? "" : ` (${hint}?)`}: only requests to a host of that name reach the sandbox`,
  );
  const detail = (): string =>
    before === undefined ? specSummary(draft.spec) : specDifference(before.spec, draft.spec);
  return { plan: { puts: [draft], deletes: [], detail }, before, after: draft, warnings: [...allowed, ...warnings] };
}

function draftOf(kind: Kind, name: string, spec: object, before: Resource | undefined): DraftResource {
  // Connections are none of the writer's business and stay.
  const { connected, temporary } = before?.kind === "sandbox" ? before.spec : {};
  const kept =
    kind === "sandbox"
      ? { ...(connected === undefined ? {} : { connected }), ...(temporary === undefined ? {} : { temporary }) }
      : {};
  // `readSpec` gave the spec of this kind.
  return { kind, name, spec: { ...spec, ...kept } } as unknown as DraftResource;
}

/** Services that a sandbox gets and that nobody has declared. Those that it has already were allowed before. */
function unknownServices(
  state: ControlState,
  { services }: SandboxSpec,
  before: Resource | undefined,
): readonly FieldProblem[] {
  const had = before?.kind === "sandbox" ? before.spec.services : {};
  const declared = state.table.services;
  const names = Object.keys(services).filter((name) => !declared.has(name) && !Object.hasOwn(had, name));
  return names.slice(0, 20).map((name) => {
    const guess = nearest(name, declared.keys());
    const pointer = `/services/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    return {
      pointer,
      message: `there is no service ${JSON.stringify(name.slice(0, 200))}`,
      hint: guess === undefined ? CREATE_FIRST : `write ${guess}`,
    };
  });
}

/** Who would be left with a name that stands for nothing. */
function usersOf(state: ControlState, { kind, name }: Resource): readonly string[] {
  const users: string[] = [];
  if (kind === "service") {
    for (const sandbox of state.table.sandboxes.values()) {
      if (sandbox.services.some(({ service }) => service === name)) users.push(`sandbox ${sandbox.name}`);
    }
  }
  if (kind === "sandbox") {
    for (const group of state.table.groups.keys()) {
      const listed = state.find("group", group)?.spec.sandboxes;
      if (listed?.includes(name) === true) users.push(`group ${group}`);
    }
  }
  return users;
}

function versionRefusal(
  kind: Kind,
  name: string,
  found: Resource | undefined,
  ifMatch: IfMatch,
): Rejection | undefined {
  if (ifMatch === undefined) return undefined;
  if (found === undefined) {
    return { refused: "changed", message: `${kind} ${name} does not exist, or not any more` };
  }
  const { version, updatedAt, updatedBy } = found.meta;
  if (ifMatch === "any" || ifMatch.includes(version)) return undefined;
  const expected = ifMatch.length === 0 ? "one that never was" : ifMatch.join(" or ");
  const message = `${kind} ${name} has version ${version}, not ${expected}: ${updatedBy} changed it at ${updatedAt}; read it again and repeat the change`;
  return { refused: "changed", message };
}

function roomRefusal(state: ControlState, resourcesMax: number): Rejection | undefined {
  const { services, sandboxes, groups } = state.table;
  const count = services.size + sandboxes.size + groups.size;
  if (count < resourcesMax) return undefined;
  const message = `there are ${count} services, sandboxes and groups, and limits.resourcesMax allows ${resourcesMax}; delete some, or give sandboxes a ttl`;
  return { refused: "invalid", message };
}

function nameProblem(kind: Kind, name: string): FieldProblem | undefined {
  const malformed = kind === "service" ? checkName(name) : checkTargetName(name);
  if (malformed === undefined) return undefined;
  const message = `${JSON.stringify(name.slice(0, 200))} is not a ${kind} name, ${malformed.problem}`;
  return { pointer: "/name", message, hint: malformed.hint };
}

function history({ createdAt, createdBy, updatedAt, updatedBy }: Meta): string {
  return createdAt === updatedAt ? `${createdBy} made it at ${createdAt}` : `${updatedBy} changed it at ${updatedAt}`;
}

function invalid(fields: readonly FieldProblem[]): Rejection {
  const [first] = fields;
  const rest = fields.length > 1 ? `; and ${fields.length - 1} more, see problems` : "";
  const hint = first?.hint === undefined ? "" : `, ${first.hint}`;
  return { refused: "invalid", message: `${first?.message ?? "it is not valid"}${hint}${rest}`, fields };
}
