// One call of a service as a reader thinks of it: the entries that outbound and inbound sidecars have of it, taken together
// where they tell the same, so that each service is one line.
import type { JournalEntry } from "../../telemetry/journal-entry.ts";
import type { TraceNode } from "./tree.ts";

/** One line of the tree. */
export interface Hop {
  readonly service: string;
  /** Where it went, and why: as the sidecar says that chose it. */
  readonly destination: string;
  readonly reason: string;
  /** What the caller was sent; 0 while it runs and where nothing could be sent. */
  readonly status: number;
  readonly grpcStatus?: number;
  /** As the caller's side measured it; null while it runs. */
  readonly durationMs: number | null;
  readonly method: string;
  readonly path: string;
  /** Nobody was asked: Sidelane answered. */
  readonly refused: boolean;
  /** What a reader should not overlook. */
  readonly notes: readonly string[];
  /** From the caller inwards. */
  readonly entries: readonly JournalEntry[];
  readonly children: readonly Hop[];
}

/** The tree with one node per call. `key`: that of the whole; others are noted where they are. */
export function hopsOf(roots: readonly TraceNode[], key: string): Hop[] {
  return roots.map((node) => {
    const hop = hopOf(node, key);
    // Without an entry of its own the caller would be nowhere.
    const { entry, sidecar } = node;
    return entry.direction === "inbound" ? hop : { ...hop, notes: [`called by ${sidecar.service}`, ...hop.notes] };
  });
}

function hopOf(node: TraceNode, key: string): Hop {
  const chain = [node];
  let last = node;
  for (let next = continued(last); next !== undefined; next = continued(last)) {
    chain.push(next);
    last = next;
  }
  const entries = chain.map(({ entry }) => entry);
  const { status, grpcStatus, durationMs, method, path } = node.entry;
  const decided = deciding(entries) ?? node.entry;
  return {
    service: last.entry.service,
    destination: decided.destination,
    reason: decided.reason,
    status,
    ...(grpcStatus === undefined ? {} : { grpcStatus }),
    durationMs,
    method,
    path,
    refused: isRefused(last.entry),
    notes: [...new Set(entries.flatMap((entry) => notesOf(entry, key)))],
    entries,
    children: last.children.map((child) => hopOf(child, key)),
  };
}

/** The entry of the same call at the next sidecar, if that is all that came of it and tells nothing else. */
function continued({ entry, children }: TraceNode): TraceNode | undefined {
  const [next] = children;
  if (next === undefined || children.length !== 1 || next.entry.direction !== "inbound") return undefined;
  const arrived = next.entry;
  const passed = entry.destination === "passthrough";
  if (!passed && arrived.service !== entry.service) return undefined;
  // A call out that is no child of an inbound entry of its service would be a call of its own.
  if (entry.direction === "inbound" && arrived.service !== entry.service) return undefined;
  const running = entry.durationMs === null || arrived.durationMs === null;
  if (!running && (entry.status !== arrived.status || entry.grpcStatus !== arrived.grpcStatus)) return undefined;
  const agrees =
    arrived.reason === "self" || arrived.destination === entry.destination || entry.destination === "baseline";
  return passed || agrees ? next : undefined;
}

/** Nobody was asked, and it is over. */
function isRefused({ destination, durationMs, endpoint }: JournalEntry): boolean {
  return destination === "none" || (durationMs !== null && endpoint === "");
}

/** Who sent it to a sandbox; else the last that had a choice. */
function deciding(entries: readonly JournalEntry[]): JournalEntry | undefined {
  const open = entries.filter(({ reason, destination }) => reason !== "self" && destination !== "passthrough");
  return open.find(({ destination }) => destination !== "baseline") ?? open.at(-1);
}

function notesOf(entry: JournalEntry, key: string): string[] {
  const notes: string[] = [];
  if (entry.keyFrom === "lost") notes.push(`left without the key ${entry.key}`);
  if (entry.keyFrom === "restored") notes.push(`had lost the key ${entry.key}, restored`);
  if (entry.keyFrom === "stamp") notes.push("key stamped");
  if (entry.key !== "" && entry.key !== key && entry.keyFrom !== "lost") notes.push(`key ${entry.key}`);
  return notes;
}
