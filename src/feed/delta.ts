// What changed for a scope between two tables, and how it is cut into messages. State-based: an update says what each part is
// now, so that applying one twice, or one that covers more than was needed, does no harm.

import type { FeedParts } from "./convert.ts";
import type { Update } from "./messages.ts";
import type { PartsByName, ScopeView } from "./scope.ts";

/** The parts of an update, without its head. */
export type Delta = Pick<
  Update,
  "services" | "sandboxes" | "groups" | "removedServices" | "removedSandboxes" | "removedGroups"
>;

/** Names of parts that may differ between two tables. A group belongs to them when the services of a member do. */
export interface Touched {
  readonly services: Iterable<string>;
  readonly sandboxes: Iterable<string>;
  readonly groups: Iterable<string>;
}

/** What a scope sees change from one table to another, when nothing but `touched` differs. */
export function deltaOf(view: ScopeView, before: PartsByName, after: PartsByName, touched: Touched): Delta {
  const [services, removedServices] = differences(
    touched.services,
    (name) => view.service(before.services.get(name)),
    (name) => view.service(after.services.get(name)),
  );
  const [sandboxes, removedSandboxes] = differences(
    touched.sandboxes,
    (name) => view.sandbox(before.sandboxes.get(name)),
    (name) => view.sandbox(after.sandboxes.get(name)),
  );
  const [groups, removedGroups] = differences(
    touched.groups,
    (name) => view.group(before.groups.get(name), before.sandboxes),
    (name) => view.group(after.groups.get(name), after.sandboxes),
  );
  return { services, sandboxes, groups, removedServices, removedSandboxes, removedGroups };
}

/** Everything that is in the table, as the parts of an update. */
export function wholeOf({ services, sandboxes, groups }: FeedParts): Delta {
  return {
    services: [...services.values()],
    sandboxes: [...sandboxes.values()],
    groups: [...groups.values()],
    removedServices: [],
    removedSandboxes: [],
    removedGroups: [],
  };
}

/** Whether there is nothing in it. */
export function isEmpty(delta: Delta): boolean {
  const { services, sandboxes, groups, removedServices, removedSandboxes, removedGroups } = delta;
  const parts = services.length + sandboxes.length + groups.length;
  return parts + removedServices.length + removedSandboxes.length + removedGroups.length === 0;
}

/** Whether two parts are the same: plain data in a fixed order of fields. */
export function samePart<Part>(a: Part | undefined, b: Part | undefined): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/**
 * The updates of one revision, each with at most `bytesMax` bytes on the wire, unless a single part has more. At least one, and the
 * last says so.
 */
export function updatesOf(
  head: Pick<Update, "source" | "revision" | "whole">,
  delta: Delta,
  bytesMax: number,
): readonly Update[] {
  const cut = new Cutter(bytesMax - HEAD_BYTES_MAX - bytesOf(head.source));
  for (const part of delta.services) cut.room(bytesOf(part)).services.push(part);
  for (const part of delta.sandboxes) cut.room(bytesOf(part)).sandboxes.push(part);
  for (const part of delta.groups) cut.room(bytesOf(part)).groups.push(part);
  for (const name of delta.removedServices) cut.room(bytesOf(name)).removedServices.push(name);
  for (const name of delta.removedSandboxes) cut.room(bytesOf(name)).removedSandboxes.push(name);
  for (const name of delta.removedGroups) cut.room(bytesOf(name)).removedGroups.push(name);
  return cut.pieces.map((piece, index) => ({ ...head, last: index === cut.pieces.length - 1, ...piece }));
}

/** Message, update, revision, flags: tags, lengths and values. */
const HEAD_BYTES_MAX = 32;
/** Tag and length of one field. */
const FIELD_BYTES_MAX = 6;

interface Piece extends Delta {
  readonly services: Delta["services"][number][];
  readonly sandboxes: Delta["sandboxes"][number][];
  readonly groups: Delta["groups"][number][];
  readonly removedServices: string[];
  readonly removedSandboxes: string[];
  readonly removedGroups: string[];
}

class Cutter {
  readonly pieces: Piece[] = [];
  readonly #bytesMax: number;
  #piece: Piece = this.#next();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The piece that takes something of that size. */
  room(bytes: number): Piece {
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) {
      this.#piece = this.#next();
      this.#bytes = 0;
    }
    this.#bytes += bytes;
    return this.#piece;
  }

  #next(): Piece {
    const piece: Piece = {
      services: [],
      sandboxes: [],
      groups: [],
      removedServices: [],
      removedSandboxes: [],
      removedGroups: [],
    };
    this.pieces.push(piece);
    return piece;
  }
}

/** Upper bound of a field's bytes on the wire. */
function bytesOf(value: unknown): number {
  if (typeof value === "string") return FIELD_BYTES_MAX + Buffer.byteLength(value);
  if (typeof value !== "object" || value === null) return FIELD_BYTES_MAX;
  let bytes = FIELD_BYTES_MAX;
  for (const one of Object.values(value)) bytes += bytesOf(one);
  return bytes;
}

function differences<Part>(
  names: Iterable<string>,
  before: (name: string) => Part | undefined,
  after: (name: string) => Part | undefined,
): [changed: Part[], removed: string[]] {
  const changed: Part[] = [];
  const removed: string[] = [];
  for (const name of names) {
    const old = before(name);
    const now = after(name);
    if (samePart(old, now)) continue;
    if (now === undefined) removed.push(name);
    else changed.push(now);
  }
  return [changed, removed];
}
