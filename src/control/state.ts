// What this replica knows: the resources of the store, and the table that they make. Follows the store; never written to
// otherwise. Everything in it is immutable, so whoever holds a table or a resource may keep it.

import type { FeedGroup, FeedSandbox, FeedService } from "../feed/messages.ts";
import { documentOf, feedService } from "../feed/convert.ts";
import { samePart } from "../feed/delta.ts";
import type { TableDocument } from "../routing/document.ts";
import { groupOf, isMember, sandboxOf } from "./members.ts";
import type { GroupResource, Kind, Resource, ResourceId, SandboxResource, ServiceResource } from "./resource.ts";
import type { StoreChange, StoreFollower, StoreSnapshot } from "./store/store.ts";

/** The table of one revision, as the feed tells it. */
export interface FeedTable {
  readonly revision: number;
  readonly services: ReadonlyMap<string, FeedService>;
  readonly sandboxes: ReadonlyMap<string, FeedSandbox>;
  readonly groups: ReadonlyMap<string, FeedGroup>;
}

/** One part of the table before and after a change; undefined where it was not, or is not any more. */
export interface Changed<Part> {
  readonly before: Part | undefined;
  readonly after: Part | undefined;
}

/** How the table went from one revision to the next. Empty when only what people say about resources changed. */
export interface FeedChange {
  readonly from: number;
  readonly to: number;
  /** Changes were missed: everything may differ, and nothing is listed. */
  readonly reset: boolean;
  readonly services: ReadonlyMap<string, Changed<FeedService>>;
  readonly sandboxes: ReadonlyMap<string, Changed<FeedSandbox>>;
  readonly groups: ReadonlyMap<string, Changed<FeedGroup>>;
}

interface ByKind {
  readonly service: ServiceResource;
  readonly sandbox: SandboxResource;
  readonly group: GroupResource;
}

type Resources = { readonly [kind in Kind]: ReadonlyMap<string, ByKind[kind]> };

const nothing: Resources = { service: new Map(), sandbox: new Map(), group: new Map() };

export class ControlState implements StoreFollower {
  #resources: Resources = nothing;
  #table: FeedTable = { revision: 0, services: new Map(), sandboxes: new Map(), groups: new Map() };
  #length = 0;
  #storeProblem = "the store has not been read yet";
  readonly #listeners = new Set<(change: FeedChange) => void>();
  readonly #reachability = new Set<() => void>();

  /** Of the store; 0 before anything was written. */
  get revision(): number {
    return this.#table.revision;
  }

  get table(): FeedTable {
    return this.#table;
  }

  /** Characters of the table as JSON, about: what sidecars have a limit for. */
  get tableLength(): number {
    return this.#length;
  }

  /** Why the store cannot be reached, as a sentence; "" when it can. */
  get storeProblem(): string {
    return this.#storeProblem;
  }

  find<K extends Kind>(kind: K, name: string): ByKind[K] | undefined {
    return this.#resources[kind].get(name);
  }

  /** All of a kind, by name. */
  list<K extends Kind>(kind: K): readonly ByKind[K][] {
    const all = [...this.#resources[kind].values()] as ByKind[K][];
    return all.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The table as people write it. */
  document(): TableDocument {
    return documentOf(this.#table);
  }

  /** Called after each revision. Returns what takes the listener off again. */
  onChange(listener: (change: FeedChange) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Called when the store has gone or come back. Returns what takes the listener off again. */
  onReachable(listener: () => void): () => void {
    this.#reachability.add(listener);
    return () => void this.#reachability.delete(listener);
  }

  reset({ revision, resources }: StoreSnapshot): void {
    const from = this.revision;
    this.#resources = nothing;
    this.#table = { revision: 0, services: new Map(), sandboxes: new Map(), groups: new Map() };
    this.#length = 0;
    this.#apply({ revision, puts: resources, deletes: [] });
    const none = new Map();
    this.#tell({ from, to: revision, reset: true, services: none, sandboxes: none, groups: none });
  }

  changed(change: StoreChange): void {
    this.#tell(this.#apply(change));
  }

  reachable(yes: boolean, why: string): void {
    const problem = yes ? "" : why;
    if (problem === this.#storeProblem) return;
    this.#storeProblem = problem;
    for (const listener of this.#reachability) listener();
  }

  #apply({ revision, puts, deletes }: StoreChange): FeedChange {
    const before = this.#resources;
    const after = {
      service: new Map(before.service),
      sandbox: new Map(before.sandbox),
      group: new Map(before.group),
    };
    for (const { kind, name } of deletes) after[kind].delete(name);
    for (const put of puts) setResource(after, put);
    this.#resources = after;

    const touched = [...puts, ...deletes] as readonly ResourceId[];
    const names = (kind: Kind): readonly string[] => touched.flatMap((one) => (one.kind === kind ? [one.name] : []));
    const sandboxes = names("sandbox");
    const table = this.#table;
    const changedServices = changes(table.services, names("service"), (name) => {
      const service = after.service.get(name);
      return service === undefined ? undefined : feedService(name, service.spec);
    });
    const changedSandboxes = changes(table.sandboxes, sandboxes, (name) => {
      const sandbox = after.sandbox.get(name);
      return sandbox === undefined ? undefined : sandboxOf(sandbox);
    });
    const groups = new Set(names("group"));
    for (const name of groupsOf(after, before, table, sandboxes)) groups.add(name);
    const changedGroups = changes(table.groups, [...groups], (name) => {
      const group = after.group.get(name);
      return group === undefined ? undefined : groupOf(group, after.sandbox);
    });
    this.#length += growthOf(changedServices) + growthOf(changedSandboxes) + growthOf(changedGroups);
    this.#table = {
      revision,
      services: merged(table.services, changedServices),
      sandboxes: merged(table.sandboxes, changedSandboxes),
      groups: merged(table.groups, changedGroups),
    };
    return {
      from: table.revision,
      to: revision,
      reset: false,
      services: changedServices,
      sandboxes: changedSandboxes,
      groups: changedGroups,
    };
  }

  #tell(change: FeedChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}

function setResource(into: { [kind in Kind]: Map<string, ByKind[kind]> }, put: Resource): void {
  switch (put.kind) {
    case "service":
      into.service.set(put.name, put);
      break;
    case "sandbox":
      into.sandbox.set(put.name, put);
      break;
    case "group":
      into.group.set(put.name, put);
  }
}

/** Names of groups whose members differ because of these sandboxes. A whole table is not compared: all of its groups are new. */
function groupsOf(after: Resources, before: Resources, table: FeedTable, sandboxes: readonly string[]): string[] {
  const found: string[] = [];
  for (const group of after.group.values()) {
    if (before.group.get(group.name) !== group) continue; // changed itself
    const members = new Set(table.groups.get(group.name)?.sandboxes);
    const differs = (name: string): boolean => members.has(name) !== isMember(group, after.sandbox.get(name));
    if (sandboxes.some(differs)) found.push(group.name);
  }
  return found;
}

function changes<Part>(
  before: ReadonlyMap<string, Part>,
  names: readonly string[],
  partOf: (name: string) => Part | undefined,
): Map<string, Changed<Part>> {
  const found = new Map<string, Changed<Part>>();
  for (const name of names) {
    const old = before.get(name);
    const now = partOf(name);
    if (!samePart(old, now)) found.set(name, { before: old, after: now });
  }
  return found;
}

function growthOf(changed: ReadonlyMap<string, Changed<object>>): number {
  let growth = 0;
  for (const { before, after } of changed.values()) growth += lengthOf(after) - lengthOf(before);
  return growth;
}

function lengthOf(part: object | undefined): number {
  return part === undefined ? 0 : JSON.stringify(part).length;
}

function merged<Part>(parts: ReadonlyMap<string, Part>, changed: ReadonlyMap<string, Changed<Part>>) {
  if (changed.size === 0) return parts;
  const next = new Map(parts);
  for (const [name, { after }] of changed) {
    if (after === undefined) next.delete(name);
    else next.set(name, after);
  }
  return next;
}
