// `npm run bench:control`: how fast a change reaches thousands of sidecars, what that costs the control plane, and what happens when
// all of them come back at once. Everything on one machine: the control plane's state and feed server in a process of their own, the
// sidecars in others, each with a connection of its own.

import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { prioritise } from "../priority.ts";
import { type Clients, type Control, startClients, startControl } from "./processes.ts";
import type { Plan } from "./plan.ts";
import { type Line, phase, print } from "./phases.ts";

const usage = `npm run bench:control -- [--quick] [--streams N] [--sandboxes N] [--seconds N] [--only narrow|everything] [--nice=N]

  --quick      300 streams and short phases, for CI: less than 40 s
  --streams    sidecars; default 5000
  --sandboxes  default 10000
  --seconds    of changes, for each scenario; default 20
  --only       narrow: sidecars ask for five services each; everything: for all. Default: both
  --nice=N     priority of the run, as nice(1) counts; below 0 on a machine shared with others, where that is allowed`;

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    streams: { type: "string" },
    sandboxes: { type: "string" },
    seconds: { type: "string" },
    only: { type: "string" },
    nice: { type: "string", default: "0" },
    help: { type: "boolean", default: false },
  },
});

const services = 200;
const slowReaders = 20;
const changesPerSecond = 5;
const p99TargetMs = 1000;
const quick = values.quick;
const streams = Number(values.streams ?? (quick ? 300 : 5000));
const sandboxes = Number(values.sandboxes ?? (quick ? 1000 : 10_000));
const seconds = Number(values.seconds ?? (quick ? 3 : 20));

process.exitCode = values.help ? help() : await main();

function help(): number {
  console.log(usage);
  return 0;
}

async function main(): Promise<number> {
  const problem = filesProblem();
  if (problem !== undefined) {
    console.error(`bench:control: ${problem}`);
    return 1;
  }
  process.once("exit", prioritise(Number(values.nice)));
  const lines: Line[] = [];
  if (values.only !== "everything") lines.push(...(await narrow()));
  if (values.only !== "narrow") lines.push(...(await everything()));
  print(lines, { streams, services, sandboxes });
  const late = lines.filter(({ p99Ms = 0 }) => p99Ms > p99TargetMs);
  for (const { name, p99Ms } of late) {
    console.error(
      `bench:control: ${name}: p99 ${p99Ms?.toFixed(0)} ms, more than the ${p99TargetMs} ms that are promised`,
    );
  }
  return late.length === 0 ? 0 : 1;
}

/** Sidecars that ask for a few services each. */
async function narrow(): Promise<Line[]> {
  const plan: Plan = { streams, services, sandboxes, scope: "narrow" };
  const lines: Line[] = [];
  let control = await startControl(plan, { slowMs: quick ? 2000 : 10_000 });
  const clients = startClients();
  try {
    clients.start(plan, control.address, streams, 0);
    lines.push(await phase("narrow: all come, with nothing", clients, () => control.untilCurrent(streams)));
    lines.push(await phase("narrow: idle", clients, () => control.idle(quick ? 1000 : 10_000)));
    const changing = () => control.changeFor(seconds, changesPerSecond);
    lines.push(await phase(`narrow: ${changesPerSecond} changes/s`, clients, changing));

    clients.slow({ ...plan, scope: "everything" }, control.address, slowReaders, streams);
    const beside = `narrow: ${changesPerSecond} changes/s beside ${slowReaders} that do not read`;
    lines.push(await phase(beside, clients, changing));

    control = await restart(control, 0);
    const resumed = () => control.untilCurrent(streams);
    lines.push(await phase("narrow: killed, all come back and go on", clients, resumed));
    control = await restart(control, 1000);
    lines.push(await phase("narrow: killed, all come back, whole tables", clients, resumed));
    await verify(control, clients);
    return lines;
  } finally {
    await control.kill();
    clients.kill();
  }
}

/** Sidecars that ask for the whole table; they have it already. */
async function everything(): Promise<Line[]> {
  const plan: Plan = { streams, services, sandboxes, scope: "everything" };
  const lines: Line[] = [];
  let control = await startControl(plan, { slowMs: 30_000 });
  const clients = startClients();
  try {
    clients.start(plan, control.address, streams, control.revision);
    lines.push(await phase("everything: all come", clients, () => control.untilCurrent(streams)));
    const changing = () => control.changeFor(seconds, changesPerSecond);
    lines.push(await phase(`everything: ${changesPerSecond} changes/s`, clients, changing));
    control = await restart(control, 0);
    const resumed = () => control.untilCurrent(streams);
    lines.push(await phase("everything: killed, all come back and go on", clients, resumed));
    return lines;
  } finally {
    await control.kill();
    clients.kill();
  }
}

/** Kills the control plane, and starts it again at the same address. `revisionsLater`: what it has seen in between. */
async function restart(control: Control, revisionsLater: number): Promise<Control> {
  await control.kill();
  return control.again(revisionsLater);
}

/** Whether a sample of the sidecars has what it should have. */
async function verify(control: Control, clients: Clients): Promise<void> {
  const sample = Array.from({ length: 40 }, (_, at) => Math.floor((at * streams) / 40));
  const [expected, actual] = await Promise.all([control.digests(sample), clients.digests(sample)]);
  const wrong = sample.filter((_, at) => expected[at] !== actual[at]);
  if (wrong.length > 0)
    throw new Error(`bench:control: sidecars ${wrong.join(", ")} have another table than they should`);
}

/** Each process needs a file per connection. */
function filesProblem(): string | undefined {
  const limit = execFileSync("/bin/sh", ["-c", "ulimit -n"], { encoding: "utf8" }).trim();
  const needed = streams + 200;
  if (limit === "unlimited" || Number(limit) >= needed) return undefined;
  return `${streams} streams need ${needed} open files and ulimit -n allows ${limit}; raise it (ulimit -n ${needed}) or take fewer: --streams`;
}
