// The latest changes of the table, for whoever has an older one. Bounded by revisions and by bytes, so that it does not grow
// with time; what has fallen out of it can only be told by a whole table.

import type { PartsByName } from "../../feed/scope.ts";
import { samePart, type Touched } from "../../feed/delta.ts";
import type { FeedGroup, FeedSandbox } from "../../feed/messages.ts";
import type { Changed, FeedChange, FeedTable } from "../state.ts";

/** How much of the past is kept. */
export interface HistoryLimits {
  readonly revisionsMax: number;
  /** Of the parts as they were before, about. */
  readonly bytesMax: number;
}

/** At five changes a second, what a sidecar may miss in almost an hour. */
const historyLimits: HistoryLimits = { revisionsMax: 16_384, bytesMax: 32 * 1024 * 1024 };

/** How the table went from an older one to the present. */
export interface Past {
  readonly from: number;
  readonly touched: Touched;
  /** The older table, as far as it differs; the same as the present one elsewhere. */
  readonly before: PartsByName;
}

type Parts = "services" | "sandboxes" | "groups";
type Before = { readonly [kind in Parts]: ReadonlyMap<string, unknown> };

interface Entry extends Before {
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
}

export class History {
  readonly #limits: HistoryLimits;
  #table: FeedTable;
  /** In order; the first is the oldest. Where it begins is `#begin`: shifting an array of thousands costs. */
  #entries: Entry[] = [];
  #begin = 0;
  #bytes = 0;
  /** By `from`, for the present table. */
  readonly #pasts = new Map<number, Past>();

  constructor(table: FeedTable, limits: HistoryLimits = historyLimits) {
    this.#table = table;
    this.#limits = limits;
  }

  /** The present. */
  get table(): FeedTable {
    return this.#table;
  }

  /** The oldest revision from which can be told what changed. */
  get floor(): number {
    return this.#entries[this.#begin]?.from ?? this.#table.revision;
  }

  /** Of the parts as they were, about. */
  get bytes(): number {
    return this.#bytes;
  }

  get revisions(): number {
    return this.#entries.length - this.#begin;
  }

  /** The table has become another one by this change. Returns what it touched. */
  add(change: FeedChange, table: FeedTable): Past {
    const groups = new Map<string, FeedGroup | undefined>(befores(change.groups));
    for (const name of regrouped(change.sandboxes, this.#table.groups)) {
      if (!groups.has(name)) groups.set(name, this.#table.groups.get(name));
    }
    const before = { services: befores(change.services), sandboxes: befores(change.sandboxes), groups };
    const entry = { ...before, from: change.from, to: change.to, bytes: bytesOf(before) };
    this.#table = table;
    this.#pasts.clear();
    this.#entries.push(entry);
    this.#bytes += entry.bytes;
    this.#forget();
    return pastOf(change.from, before, table);
  }

  /** Forgets all changes: the table is another one, and nobody can tell how it came to be. */
  restart(table: FeedTable): void {
    this.#table = table;
    this.#pasts.clear();
    this.#entries = [];
    this.#begin = 0;
    this.#bytes = 0;
  }

  /** What changed since a revision; undefined when that is not known any more, or was never. */
  since(from: number): Past | undefined {
    if (from < this.floor || from > this.#table.revision) return undefined;
    const known = this.#pasts.get(from);
    if (known !== undefined) return known;
    const before = {
      services: new Map<string, unknown>(),
      sandboxes: new Map<string, unknown>(),
      groups: new Map<string, unknown>(),
    };
    // From the newest back: what an older entry says of a part is nearer to what it was.
    for (let at = this.#entries.length - 1; at >= this.#begin; at--) {
      const entry = this.#entries[at];
      if (entry === undefined || entry.to <= from) break;
      // Several revisions were missed at once, and this is one of them: what it was like is not known.
      if (entry.from < from) return undefined;
      for (const kind of ["services", "sandboxes", "groups"] as const) {
        for (const [name, part] of entry[kind]) before[kind].set(name, part);
      }
    }
    const past = pastOf(from, before, this.#table);
    this.#pasts.set(from, past);
    return past;
  }

  #forget(): void {
    while (this.revisions > this.#limits.revisionsMax || (this.#bytes > this.#limits.bytesMax && this.revisions > 0)) {
      this.#bytes -= this.#entries[this.#begin]?.bytes ?? 0;
      this.#begin++;
    }
    if (this.#begin < 1024 || this.#begin < this.#entries.length / 2) return;
    this.#entries = this.#entries.slice(this.#begin);
    this.#begin = 0;
  }
}

/** The change from one table to another that nobody told part by part. */
export function changeBetween(before: FeedTable, after: FeedTable): FeedChange {
  return {
    from: before.revision,
    to: after.revision,
    reset: false,
    services: differing(before.services, after.services),
    sandboxes: differing(before.sandboxes, after.sandboxes),
    groups: differing(before.groups, after.groups),
  };
}

function differing<Part>(
  before: ReadonlyMap<string, Part>,
  after: ReadonlyMap<string, Part>,
): Map<string, Changed<Part>> {
  const found = new Map<string, Changed<Part>>();
  for (const [name, part] of after) {
    const old = before.get(name);
    if (!samePart(old, part)) found.set(name, { before: old, after: part });
  }
  for (const [name, part] of before) if (!after.has(name)) found.set(name, { before: part, after: undefined });
  return found;
}

function befores<Part>(changes: ReadonlyMap<string, Changed<Part>>): ReadonlyMap<string, Part | undefined> {
  return new Map(Array.from(changes, ([name, { before }]) => [name, before]));
}

/** Groups with a member that changes other services than it did: scopes may see another group, though it is the same. */
function regrouped(
  sandboxes: ReadonlyMap<string, Changed<FeedSandbox>>,
  groups: ReadonlyMap<string, FeedGroup>,
): string[] {
  const names = new Set<string>();
  for (const [name, { before, after }] of sandboxes) if (servicesOf(before) !== servicesOf(after)) names.add(name);
  if (names.size === 0) return [];
  return [...groups.values()].filter(({ sandboxes: members }) => members.some((name) => names.has(name))).map(nameOf);
}

function nameOf({ name }: FeedGroup): string {
  return name;
}

function servicesOf(sandbox: FeedSandbox | undefined): string {
  return JSON.stringify(sandbox?.services.map(({ service }) => service).toSorted());
}

function pastOf(from: number, before: Before, table: FeedTable): Past {
  return {
    from,
    touched: {
      services: [...before.services.keys()],
      sandboxes: [...before.sandboxes.keys()],
      groups: [...before.groups.keys()],
    },
    before: {
      services: overlay(before.services, table.services),
      sandboxes: overlay(before.sandboxes, table.sandboxes),
      groups: overlay(before.groups, table.groups),
    },
  };
}

function overlay<Part>(before: ReadonlyMap<string, unknown>, present: ReadonlyMap<string, Part>) {
  // What `before` holds came out of a table's map of the same kind.
  return { get: (name: string) => (before.has(name) ? (before.get(name) as Part | undefined) : present.get(name)) };
}

/** About: strings in memory, and what holds them. */
function bytesOf(before: Before): number {
  let bytes = 200;
  for (const parts of Object.values(before)) {
    for (const [name, part] of parts) bytes += 100 + name.length + (JSON.stringify(part) ?? "").length;
  }
  return bytes;
}
