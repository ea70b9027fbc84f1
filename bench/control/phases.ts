// One phase of the simulation is one line of the table.

import type { ControlReport } from "./messages.ts";
import type { Clients } from "./processes.ts";

export interface Line {
  readonly name: string;
  readonly seconds: number;
  readonly changes: number;
  /** Acknowledgements that changes were waited for, each. */
  readonly concerned: number;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  readonly maxMs?: number;
  /** Share of one core. */
  readonly controlCpu: number;
  readonly clientsCpu: number;
  readonly rssMib: number;
  readonly peakRssMib: number;
  readonly loopDelayMaxMs: number;
  readonly updates: number;
  readonly mib: number;
  readonly wholeTables: number;
  readonly resumed: number;
  readonly slow: number;
}

/** Runs one. */
export async function phase(
  name: string,
  clients: Clients,
  run: () => Promise<readonly ControlReport[]>,
): Promise<Line> {
  await clients.cpuMs();
  const before = performance.now();
  const reports = await run();
  const wallMs = performance.now() - before;
  const clientsMs = await clients.cpuMs();
  const sum = (of: (report: ControlReport) => number): number => reports.reduce((total, one) => total + of(one), 0);
  const max = (of: (report: ControlReport) => number): number => Math.max(...reports.map(of));
  const latencies = reports.flatMap(({ latenciesMs }) => latenciesMs).toSorted((a, b) => a - b);
  const line: Line = {
    name,
    seconds: wallMs / 1000,
    changes: latencies.length,
    concerned: latencies.length === 0 ? 0 : sum(({ concerned }) => concerned) / latencies.length,
    ...(latencies.length === 0
      ? {}
      : { p50Ms: at(latencies, 0.5), p99Ms: at(latencies, 0.99), maxMs: latencies.at(-1) ?? 0 }),
    controlCpu: sum(({ cpuMs }) => cpuMs) / wallMs,
    clientsCpu: clientsMs / wallMs,
    rssMib: reports.at(-1)?.rssMib ?? 0,
    peakRssMib: max(({ peakRssMib }) => peakRssMib),
    loopDelayMaxMs: max(({ loopDelayMaxMs }) => loopDelayMaxMs),
    updates: sum(({ updates }) => updates),
    mib: sum(({ bytes }) => bytes) / 2 ** 20,
    wholeTables: sum(({ wholeTables }) => wholeTables),
    resumed: sum(({ resumed }) => resumed),
    slow: sum(({ slow }) => slow),
  };
  console.error(`${line.name}: ${line.seconds.toFixed(1)} s`);
  return line;
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

const columns: readonly (readonly [title: string, cell: (line: Line) => string])[] = [
  ["phase", ({ name }) => name],
  ["s", ({ seconds }) => seconds.toFixed(1)],
  ["changes", ({ changes }) => count(changes)],
  ["acks each", ({ concerned }) => count(concerned)],
  ["p50 ms", ({ p50Ms }) => p50Ms?.toFixed(0) ?? ""],
  ["p99 ms", ({ p99Ms }) => p99Ms?.toFixed(0) ?? ""],
  ["max ms", ({ maxMs }) => maxMs?.toFixed(0) ?? ""],
  ["CPU", ({ controlCpu }) => percent(controlCpu)],
  ["sidecars' CPU", ({ clientsCpu }) => percent(clientsCpu)],
  ["RSS MiB", ({ rssMib }) => rssMib.toFixed(0)],
  ["peak", ({ peakRssMib }) => peakRssMib.toFixed(0)],
  ["loop max ms", ({ loopDelayMaxMs }) => loopDelayMaxMs.toFixed(0)],
  ["updates", ({ updates }) => count(updates)],
  ["MiB sent", ({ mib }) => mib.toFixed(1)],
  ["whole", ({ wholeTables }) => count(wholeTables)],
  ["resumed", ({ resumed }) => count(resumed)],
  ["slow ended", ({ slow }) => count(slow)],
];

/** The table, as Markdown. */
export function print(
  lines: readonly Line[],
  size: { readonly streams: number; readonly services: number; readonly sandboxes: number },
): void {
  const { streams, services, sandboxes } = size;
  console.log(`\n${streams} sidecars, ${services} services, ${sandboxes} sandboxes; CPU in shares of one core\n`);
  const rows = [columns.map(([title]) => title), ...lines.map((line) => columns.map(([, cell]) => cell(line)))];
  const widths = columns.map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)));
  const text = (row: readonly string[]): string =>
    `| ${row.map((cell, index) => (index === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[index] ?? 0))).join(" | ")} |`;
  const rule = `| ${widths.map((width, index) => (index === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  const [head = [], ...body] = rows;
  console.log([text(head), rule, ...body.map(text)].join("\n"));
}

function count(value: number): string {
  return value === 0 ? "" : value.toFixed(0);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
