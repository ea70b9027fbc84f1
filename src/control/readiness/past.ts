// What sandboxes were about before: a sidecar that hears only of a service that a sandbox had still routes to it until it has the
// revision that took the service out.

import type { FeedSandbox } from "../../feed/messages.ts";
import type { Meta } from "../resource.ts";
import type { FeedChange } from "../state.ts";

/** Sandboxes whose removal is remembered. */
const REMOVED_KEPT = 10_000;
/** What was written so long before this replica began to listen is in use, or its sidecars have said for long why not. */
const SETTLED_MS = 10 * 60_000;

/** When a sandbox was removed, and what it was about. */
export interface Removal {
  readonly revision: number;
  readonly services: readonly string[];
}

export class Past {
  readonly #removed = new Map<string, Removal>();
  /** By sandbox: services that it has no more, with the revision that took each out. */
  readonly #former = new Map<string, Map<string, number>>();
  /** What happened up to here was not heard, but for its outcome. */
  #resetRevision = 0;
  #resetMs = 0;

  removalOf(name: string): Removal | undefined {
    return this.#removed.get(name);
  }

  formerOf(name: string): ReadonlyMap<string, number> | undefined {
    return this.#former.get(name);
  }

  /** Whether all is known that a sandbox may have been about when it was last changed. */
  isKnown({ version, updatedAt }: Meta): boolean {
    return version > this.#resetRevision || this.#resetMs - Date.parse(updatedAt) > SETTLED_MS;
  }

  /** A replica that begins knows the outcome alone. */
  reset(revision: number): void {
    this.#resetRevision = revision;
    this.#resetMs = Date.now();
    this.#former.clear();
  }

  changed({ to, reset, sandboxes }: FeedChange): void {
    if (reset) this.reset(to);
    for (const [name, { before, after }] of sandboxes) {
      if (after !== undefined) this.#stays(name, before, after, to);
      else if (before !== undefined) {
        const former = this.#former.get(name)?.keys() ?? [];
        this.#removed.set(name, { revision: to, services: [...servicesOf(before), ...former] });
        this.#former.delete(name);
      }
    }
    for (const name of this.#removed.keys()) {
      if (this.#removed.size <= REMOVED_KEPT) break;
      this.#removed.delete(name);
    }
  }

  #stays(name: string, before: FeedSandbox | undefined, after: FeedSandbox, revision: number): void {
    const removal = this.#removed.get(name);
    this.#removed.delete(name);
    const former = this.#former.get(name) ?? new Map<string, number>();
    for (const service of removal?.services ?? []) former.set(service, removal?.revision ?? revision);
    for (const service of before === undefined ? [] : servicesOf(before)) former.set(service, revision);
    for (const service of servicesOf(after)) former.delete(service);
    if (former.size === 0) this.#former.delete(name);
    else this.#former.set(name, former);
  }
}

function servicesOf({ services }: FeedSandbox): readonly string[] {
  return services.map(({ service }) => service);
}
