// For tests: entries written as short as can be, and trees as they can be read.
import type { JournalEntry } from "../../telemetry/journal-entry.ts";
import type { TracedEntry, TracedSidecar } from "./traced-entry.ts";
import type { TraceNode } from "./tree.ts";

/** 2026-01-02T03:04:05Z */
const BASE_MS = Date.UTC(2026, 0, 2, 3, 4, 5);

let seq = 0;

/** An entry that began `startMs` after the base; `endMs` null: it runs. */
export function traced(
  sidecar: string | TracedSidecar,
  direction: "in" | "out",
  service: string,
  [startMs, endMs]: readonly [startMs: number, endMs: number | null],
  more: Partial<JournalEntry> = {},
): TracedEntry {
  const at = typeof sidecar === "string" ? { address: `${sidecar}:15000`, service: sidecar } : sidecar;
  const entry: JournalEntry = {
    seq: ++seq,
    time: isoTime(BASE_MS + startMs),
    trace: "4bf92f3577b34da6a3ce929d0e0e4736",
    span: "",
    service,
    listener: direction === "in" ? "inbound" : "outbound",
    direction: direction === "in" ? "inbound" : "outbound",
    protocol: "http1",
    method: "GET",
    path: "/",
    key: "pr-7",
    keyFrom: "carrier",
    destination: "baseline",
    reason: "not-in-sandbox",
    status: endMs === null ? 0 : 200,
    durationMs: endMs === null ? null : endMs - startMs,
    endpoint: endMs === null ? "" : "10.0.0.1:8080",
    ...more,
  };
  return { sidecar: at, entry };
}

/** `front in (checkout out (checkout in), pricing out)`: the service and the direction of each, children in brackets. */
export function sketch(nodes: readonly TraceNode[]): string {
  return nodes
    .map(({ entry, children }) => {
      const name = `${entry.service} ${entry.direction === "inbound" ? "in" : "out"}`;
      return children.length === 0 ? name : `${name} (${sketch(children)})`;
    })
    .join(", ");
}

function isoTime(ms: number): string {
  const micros = Math.round((ms - Math.floor(ms)) * 1000);
  return new Date(Math.floor(ms)).toISOString().replace("Z", `${String(micros).padStart(3, "0")}Z`);
}
