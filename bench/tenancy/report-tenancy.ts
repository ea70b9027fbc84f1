// The tables of the group `tenancy`, as markdown.

import { readFileSync, writeFileSync } from "node:fs";
import { digits, formatSpread, spread, type Spread } from "../statistics.ts";
import type { TenancyProtocol, TenancySample } from "./run-tenancy.ts";

const titles: { readonly [protocol in TenancyProtocol]: string } = {
  http1: "Tenancy, HTTP/1.1, 64 connections",
  http2: "Tenancy, HTTP/2, 8 x 16 (connections x streams)",
};

/** A table for each protocol that took part. Void samples are left out. */
export function tenancyMarkdown(samples: readonly TenancySample[]): string {
  const valid = samples.filter(({ voidReasons }) => voidReasons.length === 0);
  return [...Map.groupBy(valid, ({ protocol }) => protocol)]
    .map(([protocol, ofProtocol]) => `**${titles[protocol]}**\n\n${table(ofProtocol)}`)
    .join("\n\n");
}

const begin = "<!-- bench:tenancy -->";
const end = "<!-- /bench:tenancy -->";

/** Puts a text in place of what stands between the two marks of a page. @throws Error without them. */
export function replaceTenancy(page: string, text: string): void {
  const before = readFileSync(page, "utf8");
  const from = before.indexOf(begin);
  const to = before.indexOf(end);
  if (from === -1 || to < from) throw new Error(`${page} has no ${begin} with ${end} behind it`);
  writeFileSync(page, `${before.slice(0, from + begin.length)}\n\n${text}\n\n${before.slice(to)}`);
}

/** One line per measurement that counts for nothing. */
export function tenancyVoids(samples: readonly TenancySample[]): string[] {
  return samples
    .filter(({ voidReasons }) => voidReasons.length > 0)
    .map((sample) => `void: tenancy, ${sample.protocol}, ${sample.case.title}: ${sample.voidReasons.join("; ")}`);
}

function table(samples: readonly TenancySample[]): string {
  const rows = [...Map.groupBy(samples, (sample) => sample.case.name).values()].map((group) => row(group, samples));
  return [
    "|  | CPU us/request | user | sys | more, us | x | against | RSS MB (peak) |",
    "| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: |",
    ...rows,
  ].join("\n");
}

function row(group: readonly TenancySample[], all: readonly TenancySample[]): string {
  const first = group[0] as TenancySample; // Groups are never empty.
  const { title, against } = first.case;
  const of = (figure: "cpuUs" | "cpuUserUs" | "cpuSystemUs" | "residentBytes"): Spread =>
    spread(group.map((sample) => sample[figure]));
  const pairs = group.flatMap((sample) => {
    const base = all.find((other) => other.case.name === against && other.round === sample.round);
    return base === undefined ? [] : [{ sample, base }];
  });
  const ratio = pairs.length === 0 ? undefined : spread(pairs.map(({ sample, base }) => sample.cpuUs / base.cpuUs));
  const more = pairs.length === 0 ? undefined : spread(pairs.map(({ sample, base }) => sample.cpuUs - base.cpuUs));
  const peak = Math.max(...group.map((sample) => sample.residentPeakBytes));
  const cells = [
    title,
    formatSpread(of("cpuUs")),
    digits(of("cpuUserUs").median),
    digits(of("cpuSystemUs").median),
    more === undefined ? "" : more.median.toFixed(2),
    ratio === undefined ? "" : `**${ratio.median.toFixed(2)}** (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`,
    all.find((other) => other.case.name === against)?.case.title ?? "",
    `${(of("residentBytes").median / 1e6).toFixed(0)} (${(peak / 1e6).toFixed(0)})`,
  ];
  return `| ${cells.join(" | ")} |`;
}
