// Since when conditions are what they are. Kept for the sandboxes that somebody asks about; a replica that has just been started
// knows only since when it has been looking.

import type { Condition, SandboxStatus } from "../api/backend.ts";

/** A condition before it is known since when it holds. */
export type Finding = Omit<Condition, "since">;

export class ConditionLog {
  readonly #now: () => Date;
  readonly #known = new Map<string, Map<string, Condition>>();

  constructor(now: () => Date = () => new Date()) {
    this.#now = now;
  }

  /** The findings with the time when their status became what it is. */
  note(sandbox: string, findings: readonly Finding[]): SandboxStatus["conditions"] {
    const before = this.#known.get(sandbox);
    const after = new Map<string, Condition>();
    for (const finding of findings) {
      const old = before?.get(finding.type);
      const since = old?.status === finding.status ? old.since : this.#now().toISOString();
      after.set(finding.type, { ...finding, since });
    }
    this.#known.set(sandbox, after);
    return [...after.values()];
  }

  forget(sandbox: string): void {
    this.#known.delete(sandbox);
  }

  /** Forgets what does not exist any more. */
  retain(exists: (sandbox: string) => boolean): void {
    for (const sandbox of this.#known.keys()) if (!exists(sandbox)) this.#known.delete(sandbox);
  }
}
