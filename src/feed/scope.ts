// What of a table a scope sees (schema/table-feed.proto, Scope). Guarantees:
//
// - No group has a member that is not seen, no sandbox a service that is not.
// - Every part can be judged without the rest of the table, but for groups, which depend on their members.

import type { FeedParts } from "./convert.ts";
import type { FeedGroup, FeedSandbox, FeedService, Scope } from "./messages.ts";

/** A table in which parts can be looked up. */
export interface PartsByName {
  readonly services: Lookup<FeedService>;
  readonly sandboxes: Lookup<FeedSandbox>;
  readonly groups: Lookup<FeedGroup>;
}

interface Lookup<Part> {
  get(name: string): Part | undefined;
}

/** The same for scopes that see the same: services in order and once, `names` only where it makes a difference. */
export function canonicalScope({ services, names }: Scope): Scope {
  const sorted = [...new Set(services)].toSorted();
  return { services: sorted, names: names && sorted.length > 0 };
}

/** One scope, ready to look at parts. */
export class ScopeView {
  /** Undefined: everything. */
  readonly #services: ReadonlySet<string> | undefined;
  readonly #names: boolean;

  constructor({ services, names }: Scope) {
    this.#services = services.length === 0 ? undefined : new Set(services);
    this.#names = names;
  }

  get everything(): boolean {
    return this.#services === undefined;
  }

  /** A service as the scope sees it; undefined when it does not. */
  service(service: FeedService | undefined): FeedService | undefined {
    if (service === undefined || this.#services === undefined || this.#services.has(service.name)) return service;
    if (!this.#names) return undefined;
    return { name: service.name, hosts: [], ports: [], baseline: [] };
  }

  sandbox(sandbox: FeedSandbox | undefined): FeedSandbox | undefined {
    if (sandbox === undefined || this.#services === undefined) return sandbox;
    if (!this.#changes(sandbox)) {
      return this.#names ? { name: sandbox.name, key: sandbox.key, strict: false, services: [] } : undefined;
    }
    const seen = sandbox.services.filter(({ service }) => this.#services?.has(service) === true);
    return seen.length === sandbox.services.length ? sandbox : { ...sandbox, services: seen };
  }

  group(group: FeedGroup | undefined, sandboxes: Lookup<FeedSandbox>): FeedGroup | undefined {
    if (group === undefined || this.#services === undefined) return group;
    const seen = group.sandboxes.filter((name) => this.#changes(sandboxes.get(name)));
    if (seen.length === 0 && !this.#names) return undefined;
    return seen.length === group.sandboxes.length ? group : { ...group, sandboxes: seen };
  }

  /** Whether the sandbox changes a service of the scope. Asked for every sandbox of a table. */
  #changes(sandbox: FeedSandbox | undefined): boolean {
    if (sandbox === undefined) return false;
    for (const { service } of sandbox.services) if (this.#services?.has(service) === true) return true;
    return false;
  }
}

/** All that a scope sees of a table. */
export function scoped(view: ScopeView, table: FeedParts): FeedParts {
  if (view.everything) return table;
  return {
    services: seen(table.services, (service) => view.service(service)),
    sandboxes: seen(table.sandboxes, (sandbox) => view.sandbox(sandbox)),
    groups: seen(table.groups, (group) => view.group(group, table.sandboxes)),
  };
}

function seen<Part>(parts: ReadonlyMap<string, Part>, see: (part: Part) => Part | undefined): Map<string, Part> {
  const found = new Map<string, Part>();
  for (const [name, part] of parts) {
    const visible = see(part);
    if (visible !== undefined) found.set(name, visible);
  }
  return found;
}
