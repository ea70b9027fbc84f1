// `npm run bench`: Sidelane and its peers side by side. How to read the result: bench/README.md.

import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { judge } from "./budgets.ts";
import { measure, type Subject } from "./measure.ts";
import { parseOptions, usage, type Options, type Selection } from "./options.ts";
import { peer, type PeerName } from "./peers/registry.ts";
import { sidelaneCommand } from "./peers/sidelane.ts";
import { prioritise } from "./priority.ts";
import { freePorts, runToEnd, Workspace } from "./processes.ts";
import { describeMachine, markdown, settingLine, sampleLine, verdictLines, type Setting } from "./report.ts";
import { suites } from "./suites/registry.ts";
import { summarise, type Sample } from "./summary.ts";
import { replaceTenancy, tenancyMarkdown, tenancyVoids } from "./tenancy/report-tenancy.ts";
import { runTenancy, tenancyTools, type TenancySample } from "./tenancy/run-tenancy.ts";
import { missingTools, tools, toolPath } from "./tools.ts";

const cores = { proxy: 0, load: 1 } as const;
const firstWarmUpSeconds = 2;

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  let options: Options | "help";
  try {
    options = parseOptions(argv);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return 2;
  }
  if (options === "help") {
    console.log(usage);
    return 0;
  }
  const problem = cannotRun(options);
  if (problem !== undefined) {
    console.error(`bench: ${problem}`);
    return 1;
  }
  const stop = (): void => process.exit(130); // Each workspace kills and removes what is its own.
  process.once("SIGINT", stop).once("SIGTERM", stop);
  let restorePriority = (): void => undefined;
  try {
    restorePriority = prioritise(options.nice);
    process.once("exit", restorePriority);
    return await bench(options);
  } catch (error) {
    // What went wrong is in the message: a proxy that does not start, or one that routes wrongly.
    console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  } finally {
    restorePriority();
    process.off("exit", restorePriority).off("SIGINT", stop).off("SIGTERM", stop);
  }
}

async function bench(options: Options): Promise<number> {
  // This process sleeps while a measurement runs; it must not wake up on the proxy's core.
  await runToEnd([toolPath(tools.taskset), "-pc", String(cores.load), String(process.pid)]);
  const names = new Set(options.selections.flatMap((selection) => peersOf(options, selection)));
  if (options.tenancy.length > 0) names.add("sidelane");
  for (const name of names) await peer(name, options.sidelaneCommand).prepare?.();
  const samples: Sample[] = [];
  const versions = new Set<string>();
  for (const selection of options.selections) {
    const workspace = new Workspace();
    try {
      await runSuite(workspace, options, selection, samples, versions);
    } finally {
      await workspace.close();
    }
  }
  const tenancySamples: TenancySample[] = [];
  for (const protocol of options.tenancy) {
    const workspace = new Workspace();
    try {
      tenancySamples.push(
        ...(await runTenancy(workspace, protocol, {
          cores,
          rounds: options.isQuick ? 1 : options.rounds,
          seconds: options.seconds,
          warmUpSeconds: options.isQuick ? 0 : 1,
          command: sidelaneCommand(options.sidelaneCommand),
        })),
      );
    } finally {
      await workspace.close();
    }
    versions.add(peer("sidelane", options.sidelaneCommand).version());
  }
  return conclude(options, samples, tenancySamples, [...versions]);
}

/** Its backends and proxies run from its beginning to its end, and nothing else does. */
async function runSuite(
  workspace: Workspace,
  options: Options,
  selection: Selection,
  samples: Sample[],
  versions: Set<string>,
): Promise<void> {
  const suite = suites[selection.suite];
  const peers = peersOf(options, selection);
  const backends = await suite.startBackends(workspace, cores.load);
  const subjects = new Map<PeerName, Subject>();
  for (const name of peers) {
    const party = peer(name, options.sidelaneCommand);
    const [port = 0, adminPort = 0] = await freePorts(2);
    const setup = { workspace, port, adminPort, backends: backends.ports, traffic: suite.traffic };
    const process = await workspace.start(name, party.command(setup), cores.proxy, port);
    const answerBytes = await suite.verify(name, port, party.hasRule);
    await suite.firstWarmUp.run({ workspace, core: cores.load, port, seconds: firstWarmUpSeconds });
    subjects.set(name, { process, port, answerBytes });
    versions.add(party.version());
    console.error(`${selection.suite}: ${name} does as it should (${party.version()})`);
  }
  for (const version of suite.versions()) versions.add(version);
  for (let round = 1; round <= options.rounds; round++) {
    console.error(`${selection.suite}: round ${round} of ${options.rounds}`);
    for (const scenario of selection.scenarios) {
      for (const [name, subject] of subjects) {
        const measured = await measure(workspace, cores, backends, subject, scenario, options.seconds);
        const sample: Sample = { peer: name, suite: selection.suite, scenario: scenario.name, round, ...measured };
        samples.push(sample);
        console.error(sampleLine(sample, scenario.unit));
      }
    }
  }
}

function conclude(
  options: Options,
  samples: readonly Sample[],
  tenancySamples: readonly TenancySample[],
  versions: readonly string[],
): number {
  const setting: Setting = {
    date: new Date().toISOString().slice(0, 10),
    machine: describeMachine(),
    versions,
    rounds: options.rounds,
    seconds: options.seconds,
  };
  const rows = summarise(samples);
  const verdicts = judge(samples);
  const parts = [markdown(setting, options.selections, rows), tenancyMarkdown(tenancySamples), verdictLines(verdicts)];
  console.log(`\n${parts.filter((part) => part !== "").join("\n\n")}`);
  if (options.json !== undefined) {
    writeFileSync(
      options.json,
      `${JSON.stringify({ setting, rows, verdicts, samples, tenancy: tenancySamples }, null, 2)}\n`,
    );
  }
  const voided = samples.filter((sample) => sample.voidReasons.length > 0);
  for (const sample of voided) console.error(`void: ${sampleLine(sample, "request")}`);
  if (options.write !== undefined) {
    replaceTenancy(options.write, `${settingLine(setting)}\n\n${tenancyMarkdown(tenancySamples)}`);
  }
  const tenancyVoided = tenancyVoids(tenancySamples);
  for (const line of tenancyVoided) console.error(line);
  const voidCount = voided.length + tenancyVoided.length;
  if (voidCount > 0) {
    const all = samples.length + tenancySamples.length;
    console.error(`bench: ${voidCount} of ${all} measurements are void and in none of the figures above`);
    return 1;
  }
  return options.assert && verdicts.some((verdict) => !verdict.met) ? 1 : 0;
}

function cannotRun(options: Options): string | undefined {
  if (process.platform !== "linux") return "needs Linux: it reads /proc and pins processes to cores";
  if (availableParallelism() < 2) return "needs two cores: one for the proxy, one for load and backends";
  for (const selection of options.selections) {
    if (peersOf(options, selection).length === 0) return `--peers names none of ${selection.suite}`;
  }
  const needed = options.selections.flatMap((selection) => [
    ...suites[selection.suite].needs,
    ...peersOf(options, selection).flatMap((name) => peer(name, options.sidelaneCommand).needs),
  ]);
  if (options.selections.length === 0 && options.tenancy.length === 0) return "--only and --peers leave nothing to do";
  return missingTools([tools.taskset, ...needed, ...(options.tenancy.length > 0 ? tenancyTools : [])]);
}

/** The peers of a suite that take part. */
function peersOf(options: Options, { suite }: Selection): PeerName[] {
  return suites[suite].peers.filter((name) => options.peers.includes(name));
}
