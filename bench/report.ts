// The result as markdown, made to be pasted: it says by itself when, on what, with which versions and how.

import { cpus, release, totalmem } from "node:os";
import type { Verdict } from "./budgets.ts";
import type { Selection } from "./options.ts";
import { digits, formatSpread, type Spread } from "./statistics.ts";
import { suites } from "./suites/registry.ts";
import type { Scenario, Unit } from "./suites/suite.ts";
import type { Row, Sample } from "./summary.ts";

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

/** When and on what, how many rounds of how long. */
export function settingLine({ date, machine, versions, rounds, seconds }: Setting): string {
  return `Measured ${date} on ${machine}; ${versions.join("; ")}. Median of ${rounds} rounds of ${seconds} s (lowest–highest in brackets).`;
}

export function markdown(setting: Setting, selections: readonly Selection[], rows: readonly Row[]): string {
  const parts = [
    settingLine(setting),
    `The peers took turns within each round; ratios were taken within a round. Proxy alone on core 0, load and two backends on core 1. All proxies: one thread, ` +
      `the same exact baggage rule (nghttpx: none), connections kept on both sides, deadlines on, no access log. CPU is utime + ` +
      `stime of all processes of the proxy.`,
  ];
  for (const { suite, scenarios } of selections) {
    const { method } = suites[suite];
    parts.push(`${method[0]?.toUpperCase()}${method.slice(1)}.`);
    for (const scenario of scenarios) {
      const group = rows.filter((row) => row.suite === suite && row.scenario === scenario.name);
      if (group.length === 0) continue;
      parts.push(`**${scenario.title}**`);
      parts.push(scenario.isSteady ? steadyTable(group, scenario.unit) : saturatedTable(group, scenario));
    }
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
export function sampleLine(sample: Sample, unit: Unit): string {
  const name = `${sample.suite}:${sample.scenario} ${sample.peer}`.padEnd(34);
  if (sample.voidReasons.length > 0) return `${name} VOID: ${sample.voidReasons.join("; ")}`;
  const others = sample.othersShare > 0.05 ? `, others used ${percent(sample.othersShare)} of the core` : "";
  const p99 = sample.p99Us === undefined ? "" : ` p99 ${milliseconds(sample.p99Us)} ms,`;
  return (
    `${name} ${digits(sample.cpuUs)} us/${unit} (user ${digits(sample.cpuUserUs)}), ` +
    `${digits(sample.operationsPerSecond)} ${plural(unit)}/s,${p99} ${megabytes(sample.residentPeakBytes)} MB, ` +
    `busy ${percent(sample.busyShare)}${others}`
  );
}

/** One column of a table: what stands above it, and in each row. */
type Column = readonly [title: string, cell: (row: Row) => string];

function saturatedTable(rows: readonly Row[], { unit }: Scenario): string {
  const hasLatency = rows.some((row) => row.p50Us !== undefined);
  const latency: readonly Column[] = [
    ["p50 ms", (row) => latencyOf(row.p50Us)],
    ["p99 ms", (row) => latencyOf(row.p99Us)],
    ["p99.9 ms", (row) => latencyOf(row.p999Us)],
  ];
  const rate: readonly Column[] = [["x HAProxy", (row) => ratio(row.operationsPerSecondRatio)]];
  return table(rows, [
    ["", (row) => row.peer],
    [`CPU us/${unit}`, (row) => formatSpread(row.cpuUs)],
    ["user", (row) => digits(row.cpuUserUs.median)],
    ["sys", (row) => digits(row.cpuSystemUs.median)],
    ["x HAProxy", (row) => ratio(row.cpuRatio)],
    [`${plural(unit)}/s`, (row) => formatSpread(row.operationsPerSecond)],
    // Of small requests the rate follows from CPU; of bytes it is a promise of its own.
    ...(unit === "MiB" ? rate : []),
    ...(hasLatency ? latency : []),
    ["RSS MB (peak)", (row) => `${megabytes(row.residentBytes.median)} (${megabytes(row.residentPeakBytes.max)})`],
    ["busy", (row) => percent(row.busyShare.median)],
    ["sleeps/1000", (row) => digits(row.switchesPerThousand.median)],
  ]);
}

function steadyTable(rows: readonly Row[], unit: Unit): string {
  return table(rows, [
    ["", (row) => row.peer],
    [`${plural(unit)}/s`, (row) => digits(row.operationsPerSecond.median)],
    ["p50 ms", (row) => latencyOf(row.p50Us)],
    ["p99 ms", (row) => latencyOf(row.p99Us)],
    ["p99 x HAProxy", (row) => ratio(row.p99Ratio)],
    ["p99.9 ms", (row) => latencyOf(row.p999Us)],
    [`CPU us/${unit}`, (row) => formatSpread(row.cpuUs)],
    ["x HAProxy", (row) => ratio(row.cpuRatio)],
  ]);
}

function ratio(value: Spread | undefined): string {
  return value === undefined ? "-" : `**${value.median.toFixed(2)}** (${value.min.toFixed(2)}–${value.max.toFixed(2)})`;
}

function table(rows: readonly Row[], columns: readonly Column[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    line(columns.map(([title]) => title)),
    line(columns.map((_, i) => (i === 0 ? "---" : "---:"))),
    ...rows.map((row) => line(columns.map(([, cell]) => cell(row)))),
  ].join("\n");
}

function plural(unit: Unit): string {
  return unit === "MiB" ? unit : `${unit}s`;
}

function latencyOf(us: Spread | undefined): string {
  return us === undefined ? "-" : milliseconds(us.median);
}

function milliseconds(us: number): string {
  return digits(us / 1000);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
