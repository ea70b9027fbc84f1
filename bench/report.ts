// The result as markdown, made to be pasted: it says by itself when, on what, with which versions and how.

import { cpus, release, totalmem } from "node:os";
import type { Verdict } from "./budgets.ts";
import type { Row, Sample } from "./summary.ts";
import { loadHeads } from "./load/requests.ts";
import { digits, formatSpread, type Spread } from "./statistics.ts";

/** Who and what took part. */
export interface Setting {
  readonly date: string;
  readonly machine: string;
  readonly versions: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
}

/** The machine in one line. */
export function describeMachine(): string {
  const all = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${all.length} x ${all[0]?.model.trim() ?? "unknown CPU"}, ${memory} GiB, Linux ${release()}`;
}

export function markdown(setting: Setting, rows: readonly Row[]): string {
  const parts = [
    `Measured ${setting.date} on ${setting.machine}; ${setting.versions.join("; ")}.`,
    `Median of ${setting.rounds} rounds of ${setting.seconds} s (lowest–highest in brackets). The peers took turns within each ` +
      `round; ratios were taken within a round. Proxy alone on core 0, load (wrk, keep-alive, heads of ${loadHeads.sandbox.length} bytes, half of ` +
      `them with the key) and two backends (nginx, static answer) on core 1. All proxies: one thread, the same exact baggage rule, ` +
      `keep-alive on both sides, deadlines on, no access log. CPU is utime + stime of all processes of the proxy per request.`,
  ];
  const saturated = Map.groupBy(
    rows.filter((row) => row.load === "saturated"),
    (row) => row.connections,
  );
  for (const [connections, group] of saturated) {
    parts.push(`**${connections} connection${connections === 1 ? "" : "s"}, as fast as the proxy answers**`);
    parts.push(saturatedTable(group));
  }
  const steady = rows.filter((row) => row.load === "steady");
  const first = steady[0];
  if (first !== undefined) {
    parts.push(`**${first.connections} connections at a steady rate below saturation**`);
    parts.push(steadyTable(steady));
  }
  return parts.join("\n\n");
}

/** Pass or fail, one line per budget. */
export function verdictLines(verdicts: readonly Verdict[]): string {
  return verdicts
    .map(({ budget, measured, met }) =>
      measured === undefined ? `  ?   ${budget}: not measured` : `${met ? "pass" : "FAIL"}  ${budget}: ${measured}`,
    )
    .join("\n");
}

/** One line per measurement, while the bench runs. */
export function sampleLine(sample: Sample): string {
  const name = `${sample.peer} ${sample.load} x${sample.connections}`.padEnd(28);
  if (sample.voidReasons.length > 0) return `${name} VOID: ${sample.voidReasons.join("; ")}`;
  const others = sample.othersShare > 0.05 ? `, others used ${Math.round(sample.othersShare * 100)} % of the core` : "";
  return (
    `${name} ${digits(sample.cpuUs)} us/request (user ${digits(sample.cpuUserUs)}), ` +
    `${digits(sample.requestsPerSecond)} requests/s, p99 ${milliseconds(sample.p99Us)} ms, ` +
    `${megabytes(sample.residentPeakBytes)} MB${others}`
  );
}

function saturatedTable(rows: readonly Row[]): string {
  return table(
    [
      "",
      "CPU us/request",
      "user",
      "sys",
      "x HAProxy",
      "requests/s",
      "p50 ms",
      "p99 ms",
      "p99.9 ms",
      "RSS MB (peak)",
      "sleeps/1000",
    ],
    rows.map((row) => [
      row.peer,
      formatSpread(row.cpuUs),
      digits(row.cpuUserUs.median),
      digits(row.cpuSystemUs.median),
      ratio(row.cpuRatio),
      formatSpread(row.requestsPerSecond),
      milliseconds(row.p50Us.median),
      milliseconds(row.p99Us.median),
      milliseconds(row.p999Us.median),
      `${megabytes(row.residentBytes.median)} (${megabytes(row.residentPeakBytes.max)})`,
      digits(row.switchesPerThousand.median),
    ]),
  );
}

function steadyTable(rows: readonly Row[]): string {
  return table(
    ["", "requests/s", "p50 ms", "p99 ms", "p99 x HAProxy", "p99.9 ms", "CPU us/request", "x HAProxy"],
    rows.map((row) => [
      row.peer,
      digits(row.requestsPerSecond.median),
      milliseconds(row.p50Us.median),
      milliseconds(row.p99Us.median),
      ratio(row.p99Ratio),
      milliseconds(row.p999Us.median),
      formatSpread(row.cpuUs),
      ratio(row.cpuRatio),
    ]),
  );
}

function ratio(value: Spread | undefined): string {
  return value === undefined ? "-" : `**${value.median.toFixed(2)}** (${value.min.toFixed(2)}–${value.max.toFixed(2)})`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n");
}

function milliseconds(us: number): string {
  return digits(us / 1000);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
