// The command line of `npm run bench`.

import { parseArgs } from "node:util";
import { peerNames, type PeerName } from "./peers/registry.ts";
import { suiteNames, suites, type SuiteName } from "./suites/registry.ts";
import type { Scenario } from "./suites/suite.ts";
import { tenancyProtocols, type TenancyProtocol } from "./tenancy/run-tenancy.ts";

/** A suite, and which of its scenarios. */
export interface Selection {
  readonly suite: SuiteName;
  readonly scenarios: readonly Scenario[];
}

export interface Options {
  /** What to run, in the order of `suiteNames`. */
  readonly selections: readonly Selection[];
  /** In which protocols the features of tenancy are compared with a sidecar without them. */
  readonly tenancy: readonly TenancyProtocol[];
  /** It is enough to see that everything works. */
  readonly isQuick: boolean;
  readonly peers: readonly PeerName[];
  readonly connections: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  /** Requests per second of the measurement below saturation; 0: leave it out. */
  readonly rate: number;
  /** Priority of proxies, load and backends: as nice(1) counts. */
  readonly nice: number;
  readonly json: string | undefined;
  /** The page that gets the tables of tenancy. */
  readonly write: string | undefined;
  readonly assert: boolean;
  readonly sidelaneCommand: readonly string[] | undefined;
}

export const usage = `npm run bench -- [flags]

  --only LIST              of ${suiteNames.join(",")},tenancy (default: all),
                           or of their scenarios, such as http2:8x16 or tenancy:http1
  --peers LIST             of ${peerNames.join(",")}
                           (default: all; each suite has peers of its own)
  --connections LIST       of http1; default 1,64,512
  --rounds N               default 5; the peers take turns in each
  --seconds S              of one measurement, after a second of warming up; default 4
  --rate N                 requests/s of http1's measurement below saturation, at 64 connections; default 5000, 0: none
  --quick                  some scenarios, 2 rounds of 1 second: for trying something out, not for publishing
  --nice=N                 as root on a shared machine: -10 keeps the neighbours out of the way; default 0
  --json FILE              every measurement and the summary
  --write PAGE             puts the tables of tenancy into PAGE, in place of those there
  --assert                 exit 1 when a budget is exceeded or cannot be judged
  --sidelane-command CMD   instead of the build output, such as "node src/main.ts proxy"; --config FILE is appended
`;

/** @throws Error with what is wrong and what to write instead. */
export function parseOptions(argv: readonly string[]): Options | "help" {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: "string", default: [...suiteNames, "tenancy"].join(",") },
      peers: { type: "string", default: peerNames.join(",") },
      connections: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      rate: { type: "string", default: "5000" },
      nice: { type: "string", default: "0" },
      json: { type: "string" },
      write: { type: "string" },
      quick: { type: "boolean", default: false },
      assert: { type: "boolean", default: false },
      "sidelane-command": { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  const command = values["sidelane-command"]?.trim();
  const connections = (values.connections ?? (values.quick ? "64" : "1,64,512"))
    .split(",")
    .map((text) => wholeNumber("--connections", text, 1));
  const rate = wholeNumber("--rate", values.rate, 0);
  const only = values.only.split(",").map((text) => text.trim());
  const peers = values.peers.split(",").map(peerName);
  return {
    selections: select(
      only.filter((text) => !isTenancy(text)),
      { connections, rate },
      values.quick,
    ),
    tenancy: peers.includes("sidelane") ? tenancyOf(only.filter(isTenancy)) : [],
    isQuick: values.quick,
    peers,
    connections,
    rounds: wholeNumber("--rounds", values.rounds ?? (values.quick ? "2" : "5"), 1),
    seconds: wholeNumber("--seconds", values.seconds ?? (values.quick ? "1" : "4"), 1),
    rate,
    nice: wholeNumber("--nice", values.nice, -20),
    json: values.json,
    write: values.write,
    assert: values.assert,
    sidelaneCommand: command === undefined || command === "" ? undefined : command.split(/\s+/),
  };
}

function isTenancy(text: string): boolean {
  return text.split(":")[0] === "tenancy";
}

function tenancyOf(wanted: readonly string[]): TenancyProtocol[] {
  const names = wanted.map((text) => text.split(":")[1]);
  const unknown = names.find((name) => name !== undefined && !tenancyProtocols.some((one) => one === name));
  if (unknown !== undefined) throw new Error(`--only: tenancy has ${tenancyProtocols.join(" and ")}, no ${unknown}`);
  return tenancyProtocols.filter((one) => names.some((name) => name === undefined || name === one));
}

function select(
  wanted: readonly string[],
  options: Pick<Options, "connections" | "rate">,
  isQuick: boolean,
): Selection[] {
  const pairs = wanted.map((text) => {
    const [suite = "", scenario] = text.split(":");
    if (!suiteNames.some((name) => name === suite)) {
      throw new Error(`--only: ${text} is none of ${suiteNames.join(", ")}, tenancy, and no scenario of one`);
    }
    return { text, suite, scenario };
  });
  return suiteNames.flatMap((suite) => {
    const ofSuite = pairs.filter((pair) => pair.suite === suite);
    if (ofSuite.length === 0) return [];
    const all = suites[suite].scenarios(options);
    for (const { text, scenario } of ofSuite) {
      if (scenario === undefined || all.some(({ name }) => name === scenario)) continue;
      throw new Error(`--only: ${text} is none of ${all.map(({ name }) => `${suite}:${name}`).join(", ")}`);
    }
    // Whoever names a scenario gets it.
    const scenarios = all.filter(({ name, isQuick: isForQuick }) =>
      ofSuite.some(({ scenario }) => (scenario === undefined ? isForQuick || !isQuick : scenario === name)),
    );
    return [{ suite, scenarios }];
  });
}

function peerName(text: string): PeerName {
  const name = peerNames.find((candidate) => candidate === text.trim());
  if (name === undefined) throw new Error(`--peers: ${text} is none of ${peerNames.join(", ")}`);
  return name;
}

function wholeNumber(flag: string, text: string, min: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > 100_000) {
    throw new Error(`${flag}: ${text} is no whole number from ${min} to 100000`);
  }
  return value;
}
