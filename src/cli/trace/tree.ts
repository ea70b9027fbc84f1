// How the exchanges that several sidecars remember of one trace make a tree. Pure: entries in, tree out.
//
// An exchange leaves up to three entries: at the outbound listener beside the caller, at the inbound listener beside the
// service, and, where that one passes it on to a sandbox's copy, at the inbound listener there. Which belongs to which:
//
// 1. An inbound entry belongs under the outbound entry with the same parent span id that calls its service, or under the
//    inbound entry that passed it on. Services that only copy their trace headers give all their calls the same id, so time
//    decides among several.
// 2. Without such a one, as where no outbound sidecar is or where spans change the id on the way, it belongs under the
//    innermost exchange that contains it in time and can have led to it.
// 3. An outbound entry belongs under the inbound entry of its own sidecar that contains its beginning, or, where that has
//    none, under the innermost exchange that called its service.
// 4. What nothing contains is a root.
//
// Each entry looks at each other one: time grows with the square of their number, which is below a second for some thousand.
import { clockOffsets } from "./clock-offsets.ts";
import { entryStartMs, sameSpan } from "./traced-entry.ts";
import type { TracedEntry } from "./traced-entry.ts";

/** An entry in its place. */
export interface TraceNode extends TracedEntry {
  /** Milliseconds since the epoch, by the clock of one of the sidecars. */
  readonly startMs: number;
  /** Infinity while it runs. */
  readonly endMs: number;
  /** In the order of their beginnings. */
  readonly children: TraceNode[];
}

/** What a sidecar's clock may be beside another's, where nothing tells how much it is. */
const TOLERANCE_MS = 50;
/** Clocks of workers of one sidecar, and what entries are rounded by. */
const SAME_CLOCK_MS = 3;

/** The roots, in the order of their beginnings; usually one. */
export function traceTree(entries: readonly TracedEntry[]): TraceNode[] {
  const offsetsMs = clockOffsets(entries);
  const nodes = entries
    .map(({ sidecar, entry }): TraceNode => {
      const startMs = entryStartMs(entry) + (offsetsMs.get(sidecar.address) ?? 0);
      const endMs = startMs + (entry.durationMs ?? Number.POSITIVE_INFINITY);
      return { sidecar, entry, startMs, endMs, children: [] };
    })
    .toSorted(byStart);
  const leading = nodes.filter(couldLeadOn);
  const roots: TraceNode[] = [];
  for (const node of nodes) {
    const below = new Set(withDescendants(node));
    const possible = leading.filter((other) => !below.has(other));
    const parent =
      node.entry.direction === "inbound" ? parentOfInbound(node, possible) : parentOfOutbound(node, possible);
    (parent?.children ?? roots).push(node);
  }
  return roots;
}

function parentOfInbound(node: TraceNode, nodes: readonly TraceNode[]): TraceNode | undefined {
  const known = nodes.filter(
    (other) => sameSpan(other.entry, node.entry) && (calls(other, node.entry.service) || passesOn(other, node)),
  );
  if (known.length > 0) return innermost(node, known);
  const containing = nodes.filter(
    (other) =>
      canContain(other, node) &&
      (other.entry.direction === "outbound"
        ? calls(other, node.entry.service) || other.entry.destination === "passthrough"
        : other.entry.service !== node.entry.service || passesOn(other, node)),
  );
  return innermost(node, containing);
}

function parentOfOutbound(node: TraceNode, nodes: readonly TraceNode[]): TraceNode | undefined {
  const inbound = nodes.filter(({ entry }) => entry.direction === "inbound");
  const own = inbound.filter(({ sidecar }) => sidecar.address === node.sidecar.address);
  const { service, sandbox } = node.sidecar;
  const alike =
    own.length > 0 ? own : inbound.filter(({ sidecar }) => sidecar.service === service && sidecar.sandbox === sandbox);
  if (alike.length > 0) {
    const around = alike.filter((other) => startsWithin(other, node));
    const spanning = around.filter((other) => sameSpan(other.entry, node.entry));
    if (around.length > 0) return innermost(node, spanning.length > 0 ? spanning : around);
    // It began after the answer: what a service does later, it does for the request that came last.
    return alike.findLast((other) => other.startMs <= node.startMs);
  }
  return innermost(
    node,
    nodes.filter((other) => calls(other, service) && canContain(other, node)),
  );
}

/** Whether anything can have come of it: what was refused, or reached nobody, led to nothing. */
function couldLeadOn({ entry }: TraceNode): boolean {
  return entry.durationMs === null || entry.endpoint !== "";
}

function calls({ entry }: TraceNode, service: string): boolean {
  return entry.direction === "outbound" && entry.service === service;
}

/** Whether `other` is the inbound sidecar of a service that sent on to a sandbox's copy what arrived at `node`. */
function passesOn({ entry, sidecar }: TraceNode, node: TraceNode): boolean {
  if (entry.direction !== "inbound" || entry.service !== node.entry.service) return false;
  if (entry.reason !== "sandbox" || sidecar.address === node.sidecar.address) return false;
  return node.sidecar.sandbox === undefined || node.sidecar.sandbox === entry.destination;
}

/** By time, as far as it can be trusted: durations are measured by one clock each, so that what is longer is never inside. */
function canContain(other: TraceNode, node: TraceNode): boolean {
  const longer = difference(node.entry.durationMs ?? Infinity, other.entry.durationMs ?? Infinity);
  // Of two that run, or took equally long, the later one is the inner one. One that still runs may have been left behind.
  if (longer === 0 ? byStart(node, other) < 0 : longer > 0 && node.entry.durationMs !== null) return false;
  return excessMs(other, node) <= toleranceMs(other, node);
}

/** How far `node` sticks out of `other`, in milliseconds. */
function excessMs(other: TraceNode, node: TraceNode): number {
  const before = Math.max(0, other.startMs - node.startMs);
  const after = node.endMs <= other.endMs || node.entry.durationMs === null ? 0 : node.endMs - other.endMs;
  return node.startMs > other.endMs ? Number.POSITIVE_INFINITY : before + after;
}

function startsWithin(other: TraceNode, node: TraceNode): boolean {
  const toleratedMs = toleranceMs(other, node);
  return node.startMs >= other.startMs - toleratedMs && node.startMs <= other.endMs + toleratedMs;
}

function toleranceMs(a: TraceNode, b: TraceNode): number {
  return a.sidecar.address === b.sidecar.address ? SAME_CLOCK_MS : TOLERANCE_MS;
}

/** The one that sticks out least; of several, one that has led to nothing yet, and then the one that began last. */
function innermost(node: TraceNode, nodes: readonly TraceNode[]): TraceNode | undefined {
  let best: TraceNode | undefined;
  for (const other of nodes) if (best === undefined || isCloser(other, best, node)) best = other;
  return best;
}

function isCloser(a: TraceNode, b: TraceNode, node: TraceNode): boolean {
  const order =
    difference(excessMs(a, node), excessMs(b, node)) ||
    Number(taken(a, node)) - Number(taken(b, node)) ||
    // The shorter one: of two calls at once the other merely lasted longer.
    difference(a.endMs - a.startMs, b.endMs - b.startMs) ||
    b.startMs - a.startMs ||
    a.endMs - b.endMs;
  return order < 0;
}

/** Whether a call has arrived somewhere already. A service is called once per exchange, and again only by a retry. */
function taken({ entry, children }: TraceNode, node: TraceNode): boolean {
  if (entry.direction !== "outbound" || node.entry.direction !== "inbound") return false;
  return children.some((child) => child.entry.direction === "inbound" && sameSpan(child.entry, node.entry));
}

/** The node and all that is under it so far. */
function withDescendants(node: TraceNode): TraceNode[] {
  const found = [node];
  for (const one of found) found.push(...one.children);
  return found;
}

/** Containers before what they contain, callers before those that they call. */
function byStart(a: TraceNode, b: TraceNode): number {
  return (
    a.startMs - b.startMs ||
    difference(b.endMs, a.endMs) ||
    Number(a.entry.direction === "inbound") - Number(b.entry.direction === "inbound") ||
    a.entry.seq - b.entry.seq
  );
}

/** `a - b` that is 0 and not NaN for two infinite ones. */
function difference(a: number, b: number): number {
  return a === b ? 0 : a - b;
}
