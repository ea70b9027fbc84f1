// What becomes of a request about services, sandboxes and groups.

import { jsonAnswer, problemAnswer } from "../../admin/answer.ts";
import type { Answer } from "../../admin/answer.ts";
import type { Query } from "../../admin/query.ts";
import type { Asked } from "../../admin/route.ts";
import { MANAGER_FIELD } from "../managed.ts";
import { deletePlan, notFound, patchPlan, putPlan } from "../plans.ts";
import type { Planned, Rejection } from "../plans.ts";
import type { AuditEntry, Kind, Resource } from "../resource.ts";
import type { ControlState } from "../state.ts";
import { describeResource, entityTag, listAnswer, refusalAnswer } from "./answers.ts";
import { readObject } from "./body.ts";
import { readPrecondition } from "./conditional.ts";
import type { ApiCall } from "./route.ts";
import { selectPage } from "./select.ts";
import { JSON_TYPES, PATCH_TYPES } from "./spec-bodies.ts";

export function listResources({ backend }: ApiCall, kind: Kind, plural: string, query: Query): Answer {
  const { state } = backend;
  const selected = selectPage<Resource>(state.list(kind), query);
  if ("status" in selected) return selected;
  const { page, next } = selected;
  const resources = page.map((resource) => describeResource(resource, backend));
  const value = { [plural]: resources, revision: state.revision, ...(next === undefined ? {} : { next }) };
  return listAnswer(value, resources.length);
}

export async function getResource({ backend }: ApiCall, kind: Kind, asked: Asked): Promise<Answer> {
  const name = nameIn(asked);
  const resource: Resource | undefined = backend.state.find(kind, name);
  if (resource === undefined) return refusalAnswer(notFound(backend.state, kind, name));
  const status = kind === "sandbox" ? await backend.statusSoon?.(name) : undefined;
  return jsonTagged(200, resource, describeResource(resource, backend, status));
}

export async function createResource(
  call: ApiCall,
  kind: Kind,
  query: Query,
  body: Buffer,
  asked: Asked,
): Promise<Answer> {
  const read = readObject(body, asked, JSON_TYPES);
  if ("refused" in read) return read.refused;
  const { name, version: _, ...fields } = read.fields;
  if (typeof name !== "string") {
    const message = name === undefined ? 'field "name" is missing' : "name is not text";
    return fieldRefusal("/name", message, "add name: pr-7");
  }
  const wish = { kind, name, how: "create", fields, ...settings(call, query), ...managerIn(asked) } as const;
  return writtenAnswer(call, await commit(call, "create", (state) => putPlan(state, wish)));
}

export async function putResource(
  call: ApiCall,
  kind: Kind,
  query: Query,
  body: Buffer,
  asked: Asked,
): Promise<Answer> {
  const read = readChange(kind, body, asked, JSON_TYPES);
  if ("refused" in read) return read.refused;
  const { name, fields, ifMatch, onlyNew } = read;
  const wish = { kind, name, how: "put", fields, ifMatch, ...settings(call, query), ...managerIn(asked) } as const;
  for (let attempt = 1; ; attempt++) {
    // The audit log says whether it was made or changed, so a plan that finds the other case is made anew.
    const existed = call.backend.state.find(kind, name) !== undefined;
    const outcome = await commit(call, existed ? "update" : "create", (state) => {
      const exists = state.find(kind, name) !== undefined;
      if (exists !== existed) return OVERTAKEN;
      return exists && onlyNew ? existsAlready(kind, name) : putPlan(state, wish);
    });
    if (outcome !== OVERTAKEN || attempt === OVERTAKEN_MAX) return writtenAnswer(call, outcome);
  }
}

export async function patchResource(
  call: ApiCall,
  kind: Kind,
  query: Query,
  body: Buffer,
  asked: Asked,
): Promise<Answer> {
  const read = readChange(kind, body, asked, PATCH_TYPES);
  if ("refused" in read) return read.refused;
  const { name, fields, ifMatch } = read;
  const wish = { kind, name, patch: fields, ifMatch, ...settings(call, query), ...managerIn(asked) };
  return writtenAnswer(call, await commit(call, "update", (state) => patchPlan(state, wish)));
}

export async function deleteResource(call: ApiCall, kind: Kind, asked: Asked): Promise<Answer> {
  const condition = readPrecondition(asked.headers, undefined);
  if ("refused" in condition) return condition.refused;
  const wish = { kind, name: nameIn(asked), ifMatch: condition.ifMatch, ...managerIn(asked) };
  const outcome = await commit(call, "delete", (state) => deletePlan(state, wish));
  if ("refused" in outcome) return refusalAnswer(outcome);
  const { before, revision } = outcome;
  return jsonAnswer(200, {
    deleted: before === undefined ? { name: wish.name } : describeResource(before, call.backend),
    revision,
  });
}

/** A plan, and what came of it. */
interface Committed extends Planned {
  readonly revision: number;
  /** The resource as it is stored now; undefined: there is none, or nothing had to be written. */
  readonly stored: Resource | undefined;
}

const OVERTAKEN: Rejection = { refused: "busy", message: "others write the same at the same time; try again" };
const OVERTAKEN_MAX = 10;

async function commit(
  { backend, identity }: ApiCall,
  action: AuditEntry["action"],
  plan: (state: ControlState) => Planned | Rejection,
): Promise<Committed | Rejection> {
  let last: Planned | Rejection = OVERTAKEN;
  const written = await backend.writer.write(identity.name, action, (state) => {
    last = plan(state);
    return "refused" in last ? last : last.plan;
  });
  // The writer's own refusals are no plan's: the store is down, or others are always faster.
  if ("refused" in written) return written;
  const planned = last as Planned | Rejection; // assigned in the callback, which TypeScript does not see
  if ("refused" in planned) return planned;
  return { ...planned, revision: written.revision, stored: written.resources[0] };
}

function writtenAnswer({ backend }: ApiCall, outcome: Committed | Rejection): Answer {
  if ("refused" in outcome) return refusalAnswer(outcome);
  const { before, stored, warnings } = outcome;
  const resource = stored ?? before;
  if (resource === undefined) return problemAnswer(500, "the resource was written and cannot be found");
  const described = describeResource(resource, backend);
  const made = before === undefined;
  const more = warnings.length === 0 ? described : { ...described, warnings };
  return jsonTagged(made ? 201 : 200, resource, more, made ? { location: pathTo(resource) } : {});
}

const plurals: Readonly<Record<Kind, string>> = { service: "services", sandbox: "sandboxes", group: "groups" };

function pathTo({ kind, name }: Resource): string {
  return `/v1/${plurals[kind]}/${encodeURIComponent(name)}`;
}

function jsonTagged(
  status: number,
  resource: Resource,
  value: object,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return { ...jsonAnswer(status, value), headers: { etag: entityTag(resource), ...headers } };
}

/** Name, fields and condition of a request that changes one resource. */
function readChange(kind: Kind, body: Buffer, asked: Asked, contentTypes: readonly string[]) {
  const read = readObject(body, asked, contentTypes);
  if ("refused" in read) return read;
  const { name: given, version, ...fields } = read.fields;
  const name = nameIn(asked);
  if (given !== undefined && given !== name) {
    const message = `the path names ${kind} ${name}, the body ${JSON.stringify(given).slice(0, 200)}, and a name cannot be changed`;
    return { refused: fieldRefusal("/name", message, "make another one and delete this one") };
  }
  const condition = readPrecondition(asked.headers, version);
  return "refused" in condition ? condition : { name, fields, ...condition };
}

function settings({ backend, identity }: ApiCall, query: Query) {
  return {
    actor: identity.name,
    allowUnknownServices: query.get("allowUnknownServices")?.[0] === "1",
    resourcesMax: backend.limits.resourcesMax,
  };
}

/** On whose behalf the request is. */
function managerIn({ headers }: Asked): { readonly manager?: string } {
  const manager = headers[MANAGER_FIELD];
  return typeof manager === "string" ? { manager } : {};
}

function existsAlready(kind: Kind, name: string): Rejection {
  return { refused: "changed", message: `${kind} ${name} exists already, and If-None-Match: * asks for a new one` };
}

function fieldRefusal(pointer: string, message: string, hint: string): Answer {
  return refusalAnswer({ refused: "invalid", message: `${message}, ${hint}`, fields: [{ pointer, message, hint }] });
}

function nameIn({ path }: Asked): string {
  return path.get("name") ?? "";
}
