// Which decisions differ between two tables. Not "what was edited": a sandbox under another name with the same key is a change,
// the same endpoints written in another way are none.
//
// Guarantees:
// - Empty exactly when every request of every key gets the same answer from both: `diff-tables.property.test.ts`.
// - Every answer comes from `decide`. What is left out is only asking the same twice: keys that override a service in neither
//   table get the same answer there, so one of them is asked for all. Costs as much as there are endpoints, not services times keys.

import { compile, serviceNames } from "./compile.ts";
import { CompiledTable } from "./compiled-table.ts";
import { decide, NO_KEY, NO_SERVICE, UNKNOWN_KEY } from "./decide.ts";
import type { RoutePolicy } from "./decide.ts";
import { entry, hostsOf, portsOf } from "./document.ts";
import type { TableDocument } from "./document.ts";
import { strictlyOwned } from "./expectation.ts";

/** Where requests go, as far as it makes a difference to them. */
export interface Outcome {
  /** "baseline", the name of a sandbox, or "passthrough" for what the table does not have. */
  readonly destination: string;
  /** Empty: the authority itself, inbound the listener's target. */
  readonly endpoints: readonly string[];
  /** The sandbox that has the service is strict: where it cannot answer, nobody does. */
  readonly strict: boolean;
  readonly inTable: boolean;
}

/** Whose requests changed. At most `keysMax` keys are listed. */
export interface ChangedKeys {
  /** Requests without a key. */
  readonly none: boolean;
  /** Keys that neither table has. */
  readonly unknown: boolean;
  /** Keys that at least one table has. */
  readonly count: number;
  readonly keys: readonly string[];
}

/** Requests to one port of a service that go somewhere else. */
export interface DecisionChange {
  readonly service: string;
  /** Name of the port, "" for the only one; `:9090` where a number stands for another port now, `*` all numbers of no port. */
  readonly port: string;
  /** Only inbound: for listeners that name this port. */
  readonly inboundOnly: boolean;
  readonly before: Outcome;
  readonly after: Outcome;
  readonly for: ChangedKeys;
}

/** A key that only one of the tables has. Where the other decides, `onUnknownKey` says what happens. */
export interface KeyChange {
  readonly key: string;
  /** `sandbox pr-7`, `group g`; null: nothing has this key. */
  readonly before: string | null;
  readonly after: string | null;
}

/** A host that stands for another service, or for none. */
export interface HostChange {
  readonly host: string;
  readonly before: string | null;
  readonly after: string | null;
}

/** All of it is bounded; the counts are not. */
export interface TableDiff {
  readonly same: boolean;
  readonly keys: { readonly count: number; readonly listed: readonly KeyChange[] };
  readonly hosts: { readonly count: number; readonly listed: readonly HostChange[] };
  /** Sorted by service and port; baseline first. `count` counts groups of keys with one change. */
  readonly decisions: { readonly count: number; readonly listed: readonly DecisionChange[] };
}

/** How much is listed. */
export interface DiffBounds {
  readonly changesMax: number;
  readonly keysMax: number;
}

const bounds: DiffBounds = { changesMax: 1000, keysMax: 20 };
const seed = { low: 1, high: 2 };

const outbound: RoutePolicy = { direction: "outbound", self: false, onUnknownKey: "baseline" };

/** Compares two documents that `validate` found nothing wrong with. */
export function diffTables(
  before: TableDocument,
  after: TableDocument,
  { changesMax, keysMax }: DiffBounds = bounds,
): TableDiff {
  const a = sideOf(before);
  const b = sideOf(after);
  const listed = <T>(all: readonly T[]) => ({ count: all.length, listed: all.slice(0, changesMax) });
  const keys = [...keyChanges(a, b)];
  const hosts = [...hostChanges(a, b)];
  const classes = classify(a, b);
  const decisions = union(serviceNames(before), serviceNames(after))
    .toSorted()
    .flatMap((service) => serviceChanges(service, a, b, classes, keysMax));
  return {
    same: keys.length + hosts.length + decisions.length === 0,
    keys: listed(keys),
    hosts: listed(hosts),
    decisions: listed(decisions),
  };
}

interface Side {
  readonly document: TableDocument;
  readonly table: CompiledTable;
  /** Target ids by key. */
  readonly targets: ReadonlyMap<string, number>;
  /** Keys that override each service. */
  readonly overriding: ReadonlyMap<string, readonly string[]>;
}

function sideOf(document: TableDocument): Side {
  const table = new CompiledTable(compile(document, seed), 0, "");
  const targets = new Map(Array.from({ length: table.targetCount }, (_, id) => [table.targetKey(id), id]));
  const overriding = new Map<string, string[]>();
  const add = (key: string, services: Iterable<string>): void => {
    for (const service of services) {
      const keys = overriding.get(service);
      if (keys === undefined) overriding.set(service, [key]);
      else keys.push(key);
    }
  };
  for (const [name, { key, services }] of Object.entries(document.sandboxes)) add(key ?? name, Object.keys(services));
  for (const [name, { key, sandboxes }] of Object.entries(document.groups)) {
    const services = sandboxes.flatMap((one) => Object.keys(entry(document.sandboxes, one)?.services ?? {}));
    add(key ?? name, new Set(services));
  }
  return { document, table, targets, overriding };
}

/** Keys by which of the tables has them: where they override nothing, those of one class are all answered alike. */
type Classes = readonly { readonly keys: readonly string[]; readonly has: (key: string) => boolean }[];

function classify(a: Side, b: Side): Classes {
  const all = union(a.targets.keys(), b.targets.keys());
  return [
    (key: string) => a.targets.has(key) && b.targets.has(key),
    (key: string) => a.targets.has(key) && !b.targets.has(key),
    (key: string) => !a.targets.has(key) && b.targets.has(key),
  ].map((has) => ({ has, keys: all.filter(has) }));
}

function* keyChanges(a: Side, b: Side): Generator<KeyChange> {
  for (const key of union(a.targets.keys(), b.targets.keys())) {
    const [before, after] = [targetName(a, key), targetName(b, key)];
    if ((before === null) !== (after === null)) yield { key, before, after };
  }
}

function targetName({ table, targets }: Side, key: string): string | null {
  const target = targets.get(key);
  if (target === undefined) return null;
  return `${table.groupMembers(target) === undefined ? "sandbox" : "group"} ${table.targetName(target)}`;
}

function* hostChanges(a: Side, b: Side): Generator<HostChange> {
  const hosts = ({ document }: Side): ReadonlyMap<string, string> =>
    new Map(
      serviceNames(document).flatMap((name) =>
        hostsOf(name, entry(document.services, name)).map((host) => [host, name]),
      ),
    );
  const [before, after] = [hosts(a), hosts(b)];
  for (const host of union(before.keys(), after.keys())) {
    const [was, is] = [before.get(host) ?? null, after.get(host) ?? null];
    if (was !== is) yield { host, before: was, after: is };
  }
}

/** A way to ask for a port, and what each table finds; -1: no such port. */
interface Asked {
  readonly port: string;
  readonly before: number;
  readonly after: number;
  readonly policy: RoutePolicy;
}

/**
 * By number as callers do, then by name as inbound listeners do. Which ports are found tells everything else, and inbound
 * nothing differs that does not differ outbound.
 */
function waysToAsk(service: string, a: Side, b: Side): readonly Asked[] {
  const [idA, idB] = [a.table.serviceByName(service), b.table.serviceByName(service)];
  const [portsA, portsB] = [a, b].map(({ document }) => portsOf(entry(document.services, service))) as [Ports, Ports];
  const ways = new Map<string, Asked>();
  const add = (before: number, after: number, port: string, policy: RoutePolicy): void => {
    const pair = `${before} ${after}`;
    if (!ways.has(pair)) ways.set(pair, { port, before, after, policy });
  };
  const found = (table: CompiledTable, id: number, port: number): number =>
    id === NO_SERVICE ? -1 : table.servicePort(id, port);
  const numbers = union(Object.values(portsA), Object.values(portsB)).filter((number) => number !== 0);
  const unused = unusedNumber(numbers);
  const inBoth = idA !== NO_SERVICE && idB !== NO_SERVICE;
  for (const number of [...numbers, unused]) {
    const before = found(a.table, idA, number);
    const after = found(b.table, idB, number);
    const names = union(before === -1 ? [] : [a.table.portName(before)], after === -1 ? [] : [b.table.portName(after)]);
    // Of a service that only one table has, or with one port in both, it is no other port than the only one.
    const isOther = names.length === 0 || (number === unused && (before === -1) !== (after === -1) && inBoth);
    add(before, after, isOther ? "*" : names.length > 1 ? `:${number}` : (names[0] ?? ""), outbound);
  }
  const inbound: RoutePolicy = { ...outbound, direction: "inbound", service };
  const names = union(Object.keys(portsA), Object.keys(portsB), [""]);
  const unusedName = `${names.join("")}*`; // no name has a star
  for (const name of [...names, unusedName]) {
    const before = idA === NO_SERVICE ? -1 : a.table.servicePortByName(idA, name);
    const after = idB === NO_SERVICE ? -1 : b.table.servicePortByName(idB, name);
    add(before, after, name === unusedName ? "*" : name, inbound);
  }
  return [...ways.values()];
}

type Ports = Readonly<Record<string, number>>;

/** Of no port: what a service with several does not have, and one with a single port takes. The same is so of names. */
function unusedNumber(numbers: readonly number[]): number {
  let number = 1;
  while (numbers.includes(number)) number++;
  return number;
}

function serviceChanges(service: string, a: Side, b: Side, classes: Classes, keysMax: number): DecisionChange[] {
  const own = union(a.overriding.get(service) ?? [], b.overriding.get(service) ?? []);
  const overriding = new Set(own);
  const [idA, idB] = [a.table.serviceByName(service), b.table.serviceByName(service)];
  return waysToAsk(service, a, b).flatMap(({ port, before, after, policy }) => {
    const groups = new Map<string, Group>();
    const compare = (targetA: number, targetB: number): Group | undefined => {
      const was = outcomeOf(a.table, policy, idA, before, targetA);
      const is = outcomeOf(b.table, policy, idB, after, targetB);
      const [textA, textB] = [JSON.stringify(was), JSON.stringify(is)];
      if (textA === textB) return undefined;
      const name = `${textA} ${textB}`;
      const group = groups.get(name) ?? { before: was, after: is, none: false, unknown: false, count: 0, keys: [] };
      groups.set(name, group);
      return group;
    };
    const compareKey = (key: string): Group | undefined =>
      compare(a.targets.get(key) ?? UNKNOWN_KEY, b.targets.get(key) ?? UNKNOWN_KEY);
    const without = compare(NO_KEY, NO_KEY);
    if (without !== undefined) without.none = true;
    const others = compare(UNKNOWN_KEY, UNKNOWN_KEY);
    if (others !== undefined) others.unknown = true;
    for (const { keys, has } of classes) {
      const count = keys.length - own.filter(has).length;
      const some = firstWithout(keys, overriding, keysMax);
      const [one] = some;
      const group = one === undefined ? undefined : compareKey(one);
      if (group === undefined) continue;
      group.count += count;
      group.keys.push(...some);
    }
    for (const key of own) {
      const group = compareKey(key);
      if (group === undefined) continue;
      group.count++;
      group.keys.push(key);
    }
    const inboundOnly = policy.direction === "inbound";
    return [...groups.values()].map(({ before: was, after: is, none, unknown, count, keys }) => {
      const changed = { none, unknown, count, keys: keys.slice(0, keysMax) };
      return { service, port, inboundOnly, before: was, after: is, for: changed };
    });
  });
}

/** One change and whose it is, while it is counted. */
interface Group {
  readonly before: Outcome;
  readonly after: Outcome;
  none: boolean;
  unknown: boolean;
  count: number;
  readonly keys: string[];
}

function firstWithout(keys: readonly string[], left: ReadonlySet<string>, most: number): string[] {
  const found: string[] = [];
  for (const key of keys) {
    if (left.has(key)) continue;
    found.push(key);
    if (found.length >= Math.max(1, most)) break;
  }
  return found;
}

function outcomeOf(table: CompiledTable, policy: RoutePolicy, service: number, port: number, target: number): Outcome {
  const decision = decide(table, policy, service, port, target);
  return {
    destination: decision.destination,
    endpoints: decision.set === -1 ? [] : table.endpoints(decision.set),
    strict: strictlyOwned(table, decision, service, target),
    inTable: decision.reason !== "not-in-table",
  };
}

function union<T>(...lists: readonly Iterable<T>[]): T[] {
  const all = new Set<T>();
  for (const list of lists) for (const one of list) all.add(one);
  return [...all];
}
