// `node bench/micro/run.ts [--filter TEXT] [--rounds N] [--json FILE]`: every `benches` that a module of this folder exports.
//
// The benches take turns, round after round, so that a disturbance hits all of them; the median counts. A difference
// below 5 % or within the spread is noise.

import { spawnSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { digits, formatSpread, spread } from "../statistics.ts";
import { projectFile } from "../project.ts";
import type { Bench } from "./measure.ts";

const roundMs = 50;
const young = "--min-semi-space-size=64";

const { values } = parseArgs({
  options: {
    filter: { type: "string", default: "" },
    rounds: { type: "string", default: "7" },
    json: { type: "string" },
  },
});

process.exitCode = process.execArgv.includes(young) ? await main() : again();

/** Once more in a process that can collect on demand and whose young generation is large enough not to need it. */
function again(): number {
  const flags = ["--expose-gc", young, "--max-semi-space-size=64", "--no-minor-gc-task"];
  const argv = [...flags, projectFile("bench/micro/run.ts"), ...process.argv.slice(2)];
  return spawnSync(process.execPath, argv, { stdio: "inherit" }).status ?? 1;
}

async function main(): Promise<number> {
  const { allocatedBytes, calibrate, nanoseconds } = await import("./measure.ts");
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    console.error(`--rounds: ${values.rounds} is no whole number from 1`);
    return 2;
  }
  const benches = (await load()).filter((bench) => bench.name.includes(values.filter));
  if (benches.length === 0) {
    console.error(`no bench has ${JSON.stringify(values.filter)} in its name`);
    return 2;
  }
  const runs = benches.map((bench) => ({ bench, iterations: calibrate(bench, roundMs), ns: [] as number[] }));
  for (let round = 0; round < rounds; round++) {
    for (const { bench, iterations, ns } of runs) ns.push(nanoseconds(bench, iterations));
  }
  const results = runs.map(({ bench, iterations, ns }) => ({
    name: bench.name,
    nanoseconds: spread(ns),
    bytes: allocatedBytes(bench, iterations),
  }));
  const width = Math.max(...results.map(({ name }) => name.length));
  console.log(`${"".padEnd(width)}  ns/op, median (lowest–highest)    bytes/op`);
  for (const result of results) {
    const allocated = result.bytes < 0.1 ? "0" : digits(result.bytes);
    console.log(
      `${result.name.padEnd(width)}  ${formatSpread(result.nanoseconds).padEnd(30)}  ${allocated.padStart(8)}`,
    );
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
  return 0;
}

async function load(): Promise<Bench[]> {
  const own = ["run.ts", "measure.ts"];
  const files = readdirSync(import.meta.dirname).filter((file) => file.endsWith(".ts") && !own.includes(file));
  const modules = await Promise.all(
    files.toSorted().map((file) => import(`./${file}`) as Promise<{ benches?: readonly Bench[] }>),
  );
  return modules.flatMap((module, index) => {
    if (module.benches === undefined) throw new Error(`bench/micro/${files[index]} exports no benches`);
    return module.benches;
  });
}
