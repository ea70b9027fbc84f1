// `npm run bench`: Sidelane and its peers side by side. How to read the result: bench/README.md.

import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { startBackends } from "./backends.ts";
import { judge } from "./budgets.ts";
import { measure, type Subject } from "./measure.ts";
import { parseOptions, usage, type Options } from "./options.ts";
import { peer, type PeerName } from "./peers/registry.ts";
import { prioritise } from "./priority.ts";
import { freePorts, runToEnd, Workspace } from "./processes.ts";
import { describeMachine, markdown, sampleLine, verdictLines, type Setting } from "./report.ts";
import { summarise, type Sample } from "./summary.ts";
import { firstLine, missingTools, tools, toolPath } from "./tools.ts";
import { verifyRouting } from "./verify.ts";
import { runLoad } from "./load/wrk.ts";

const cores = { proxy: 0, load: 1 } as const;
const steadyConnections = 64;
/** Enough for the just-in-time compilers before the first round. */
const firstWarmUp = { connections: 64, seconds: 2 } as const;

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
  const workspace = new Workspace();
  const stop = (): void => process.exit(130); // The workspace kills and removes what is its own.
  process.once("SIGINT", stop).once("SIGTERM", stop);
  let restorePriority = (): void => undefined;
  try {
    restorePriority = prioritise(options.nice);
    process.once("exit", restorePriority);
    return await bench(workspace, options);
  } catch (error) {
    // What went wrong is in the message: a proxy that does not start, or one that routes wrongly.
    console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  } finally {
    await workspace.close();
    restorePriority();
    process.off("exit", restorePriority).off("SIGINT", stop).off("SIGTERM", stop);
  }
}

async function bench(workspace: Workspace, options: Options): Promise<number> {
  // This process sleeps while a measurement runs; it must not wake up on the proxy's core.
  await runToEnd([toolPath(tools.taskset), "-pc", String(cores.load), String(process.pid)]);
  const backends = await startBackends(workspace, cores.load);
  const subjects = new Map<PeerName, Subject>();
  const versions: string[] = [];
  for (const name of options.peers) {
    const party = peer(name, options.sidelaneCommand);
    await party.prepare?.();
    const [port = 0, adminPort = 0] = await freePorts(2);
    const command = party.command({ workspace, port, adminPort, backends: backends.ports });
    const process = await workspace.start(name, command, cores.proxy, port);
    const answerBytes = await verifyRouting(name, port);
    await runLoad(workspace, cores.load, { port, ...firstWarmUp });
    subjects.set(name, { process, port, answerBytes });
    versions.push(party.version());
    console.error(`${name}: routes as it should (${party.version()})`);
  }

  const samples: Sample[] = [];
  const take = async (name: PeerName, round: number, connections: number, ratePerSecond?: number): Promise<void> => {
    const subject = subjects.get(name);
    if (subject === undefined) return;
    const load = { port: subject.port, connections, seconds: options.seconds };
    const measured = await measure(
      workspace,
      cores,
      backends,
      subject,
      ratePerSecond === undefined ? load : { ...load, ratePerSecond },
    );
    const kind = ratePerSecond === undefined ? "saturated" : "steady";
    const sample: Sample = { peer: name, round, connections, load: kind, ...measured };
    samples.push(sample);
    console.error(sampleLine(sample));
  };
  for (let round = 1; round <= options.rounds; round++) {
    console.error(`round ${round} of ${options.rounds}`);
    for (const connections of options.connections) {
      for (const name of options.peers) await take(name, round, connections);
    }
    if (options.rate > 0) {
      for (const name of options.peers) await take(name, round, steadyConnections, options.rate);
    }
  }
  return conclude(options, samples, [...versions, `wrk ${wrkVersion()}`]);
}

function conclude(options: Options, samples: readonly Sample[], versions: readonly string[]): number {
  const setting: Setting = {
    date: new Date().toISOString().slice(0, 10),
    machine: describeMachine(),
    versions,
    rounds: options.rounds,
    seconds: options.seconds,
  };
  const rows = summarise(samples);
  const verdicts = judge(samples);
  console.log(`\n${markdown(setting, rows)}\n\n${verdictLines(verdicts)}`);
  if (options.json !== undefined) {
    writeFileSync(options.json, `${JSON.stringify({ setting, rows, verdicts, samples }, null, 2)}\n`);
  }
  const voided = samples.filter((sample) => sample.voidReasons.length > 0);
  for (const sample of voided) console.error(`void: ${sampleLine(sample)}`);
  if (voided.length > 0) {
    console.error(
      `bench: ${voided.length} of ${samples.length} measurements are void and in none of the figures above`,
    );
    return 1;
  }
  return options.assert && verdicts.some((verdict) => !verdict.met) ? 1 : 0;
}

function cannotRun(options: Options): string | undefined {
  if (process.platform !== "linux") return "needs Linux: it reads /proc and pins processes to cores";
  if (availableParallelism() < 2) return "needs two cores: one for the proxy, one for load and backends";
  const needed = options.peers.flatMap((name) => peer(name, options.sidelaneCommand).needs);
  return missingTools([tools.taskset, tools.wrk, tools.nginx, ...needed]);
}

function wrkVersion(): string {
  return firstLine(toolPath(tools.wrk), "-v").replace(/^wrk /, "").replace(/ .*$/, "");
}
