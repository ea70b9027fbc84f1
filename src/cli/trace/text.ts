import { printable } from "../../base/printable.ts";
import type { Hop } from "./hops.ts";

/** How emphasis is shown; without one the text is plain. */
export interface TracePaint {
  readonly strong: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly sandbox: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly warning: (text: string) => string;
}

const same = (text: string): string => text;
const plain: TracePaint = { strong: same, faint: same, sandbox: same, bad: same, warning: same };

/** What stands above the tree. */
export interface TraceTitle {
  readonly trace: string;
  /** Each key once, the one that came first before the others. */
  readonly keys: readonly string[];
  readonly services: number;
  /** Null while any of it runs. */
  readonly durationMs: number | null;
}

interface Row {
  readonly hop: Hop;
  /** Lines of the tree before the name. */
  readonly lead: string;
  readonly cells: readonly string[];
}

/** The path of one request for the terminal; ends with a newline. */
export function traceText(title: TraceTitle, hops: readonly Hop[], paint: TracePaint = plain): string {
  const rows = hops.flatMap((hop) => rowsOf(hop, "", ""));
  const widths = [0, 1, 2, 3, 4].map((column) =>
    Math.max(...rows.map(({ lead, cells }) => (cells[column] ?? "").length + (column === 0 ? lead.length : 0))),
  );
  return `${[titleText(title, paint), ...rows.map((row) => rowText(row, widths, paint))].join("\n")}\n`;
}

/** `12.3 ms` */
export function durationText(ms: number | null): string {
  if (ms === null) return "running";
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms.toFixed(1)} ms`;
}

function titleText({ trace, keys, services, durationMs }: TraceTitle, paint: TracePaint): string {
  const key = keys.length === 0 ? "no key" : `${keys.length === 1 ? "key" : "keys"} ${keys.map(printable).join(", ")}`;
  const count = services === 1 ? "1 service" : `${services} services`;
  return `trace ${paint.strong(printable(trace))}  ${key}  ${count}  ${durationText(durationMs)}`;
}

/** `lead` stands before the hop itself, `below` before what is under it. */
function rowsOf(hop: Hop, lead: string, below: string): Row[] {
  const { service, destination, reason, durationMs, children } = hop;
  const cells = [
    printable(service),
    printable(destination),
    printable(reason),
    statusText(hop),
    durationText(durationMs),
  ];
  const rows: Row[] = [{ hop, lead, cells }];
  for (const [index, child] of children.entries()) {
    const last = index === children.length - 1;
    rows.push(...rowsOf(child, `${below}${last ? "└─ " : "├─ "}`, `${below}${last ? "   " : "│  "}`));
  }
  return rows;
}

function statusText({ status, grpcStatus }: Hop): string {
  const http = status === 0 ? "-" : String(status);
  return grpcStatus === undefined ? http : `${http} grpc ${grpcStatus}`;
}

function rowText({ hop, lead, cells }: Row, widths: readonly number[], paint: TracePaint): string {
  const cell = (column: number, shift = 0): string => (cells[column] ?? "").padEnd((widths[column] ?? 0) - shift);
  const failed = hop.refused || hop.status >= 500 || (hop.grpcStatus ?? 0) !== 0;
  const toBaseline = hop.destination === "baseline" || hop.destination === "passthrough";
  const answer = failed ? paint.bad : same;
  const text = [
    `${paint.faint(lead)}${paint.strong(cell(0, lead.length))}`,
    hop.refused ? paint.bad(cell(1)) : toBaseline ? cell(1) : paint.sandbox(cell(1)),
    hop.refused ? paint.bad(cell(2)) : paint.faint(cell(2)),
    answer(cell(3)),
    (cells[4] ?? "").padStart(widths[4] ?? 0),
    paint.faint(printable(`${hop.method} ${hop.path}`.trim())),
  ].join("  ");
  return hop.notes.length === 0 ? text : `${text}  ${paint.warning(`! ${hop.notes.map(printable).join("; ")}`)}`;
}
