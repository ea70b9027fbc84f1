// Sidecars that are behind, sorted so that ten thousand sandboxes can be looked at while thousands of sidecars come back: how many
// lack a revision is a binary search, and only the first few are ever looked at.

import type { SidecarInfo } from "../feed/sidecars.ts";

/** Combinations of services whose sidecars are remembered. */
const UNIONS_MAX = 256;

/** Both by the revision that they have in use, lowest first. */
interface Sorted {
  readonly refused: readonly SidecarInfo[];
  readonly others: readonly SidecarInfo[];
}

/** Those of a scope that lack a revision. */
export interface Late {
  readonly count: number;
  /** Whether one of them has refused its table. */
  readonly refused: boolean;
  /** So many of them, those that have refused a table first. */
  first(most: number): readonly SidecarInfo[];
}

/** Each sidecar here is behind: connected and not in use of everything that it is due, or not connected. */
export class Behind {
  readonly sidecars: ReadonlySet<SidecarInfo>;
  /** Hear of everything. */
  readonly #wide: Sorted;
  readonly #all: Sorted;
  readonly #narrow = new Map<string, SidecarInfo[]>();
  readonly #unions = new Map<string, Sorted>();

  constructor(sidecars: readonly SidecarInfo[]) {
    this.sidecars = new Set(sidecars);
    this.#all = sorted(sidecars);
    this.#wide = sorted(sidecars.filter(hearsEverything));
    for (const one of sidecars) {
      if (hearsEverything(one)) continue;
      for (const service of one.scope.services) {
        const known = this.#narrow.get(service);
        if (known === undefined) this.#narrow.set(service, [one]);
        else known.push(one);
      }
    }
  }

  /**
   * Who lacks a revision. What a sidecar is due lies beyond what it has, so it lacks each revision beyond what it has that it may
   * be concerned by.
   *
   * @param services those that the revision is about; undefined: any.
   */
  late(revision: number, services: readonly string[] | undefined): Late {
    const groups = services === undefined ? [this.#all] : [this.#wide, this.#narrowOf(services)];
    const parts = [...groups.map(({ refused }) => refused), ...groups.map(({ others }) => others)].map((all) => ({
      all,
      count: countBelow(all, revision),
    }));
    return {
      count: parts.reduce((sum, { count }) => sum + count, 0),
      refused: parts.slice(0, groups.length).some(({ count }) => count > 0),
      first(most) {
        const found: SidecarInfo[] = [];
        for (const { all, count } of parts) found.push(...all.slice(0, Math.min(count, most - found.length)));
        return found;
      },
    };
  }

  #narrowOf(services: readonly string[]): Sorted {
    const key = JSON.stringify(services);
    const known = this.#unions.get(key);
    if (known !== undefined) return known;
    const union = sorted([...new Set(services.flatMap((service) => this.#narrow.get(service) ?? []))]);
    if (this.#unions.size >= UNIONS_MAX) this.#unions.clear();
    this.#unions.set(key, union);
    return union;
  }
}

/** Whether a sidecar hears of every change. */
export function hearsEverything({ scope }: SidecarInfo): boolean {
  return scope.services.length === 0 || scope.names;
}

function sorted(sidecars: readonly SidecarInfo[]): Sorted {
  const all = sidecars.toSorted((a, b) => a.appliedRevision - b.appliedRevision);
  return { refused: all.filter(({ error }) => error !== ""), others: all.filter(({ error }) => error === "") };
}

function countBelow(all: readonly SidecarInfo[], revision: number): number {
  let low = 0;
  let high = all.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((all[middle]?.appliedRevision ?? 0) < revision) low = middle + 1;
    else high = middle;
  }
  return low;
}
