// The command line of `npm run bench`.

import { parseArgs } from "node:util";
import { peerNames, type PeerName } from "./peers/registry.ts";

export interface Options {
  readonly peers: readonly PeerName[];
  readonly connections: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  /** Requests per second of the measurement below saturation; 0: leave it out. */
  readonly rate: number;
  /** Priority of proxies, load and backends: as nice(1) counts. */
  readonly nice: number;
  readonly json: string | undefined;
  readonly assert: boolean;
  readonly sidelaneCommand: readonly string[] | undefined;
}

export const usage = `npm run bench -- [flags]

  --peers LIST             of ${peerNames.join(",")} (default: all)
  --connections LIST       default 1,64,512
  --rounds N               default 5; the peers take turns in each
  --seconds S              of one measurement, after a second of warming up; default 4
  --rate N                 requests/s of the latency measurement below saturation, at 64 connections; default 5000, 0: none
  --quick                  64 connections, 2 rounds of 1 second: for trying something out, not for publishing
  --nice=N                 as root on a shared machine: -10 keeps the neighbours out of the way; default 0
  --json FILE              every measurement and the summary
  --assert                 exit 1 when a budget is exceeded or cannot be judged
  --sidelane-command CMD   instead of the build output, such as "node src/main.ts proxy"; --config FILE is appended
`;

/** @throws Error with what is wrong and what to write instead. */
export function parseOptions(argv: readonly string[]): Options | "help" {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      peers: { type: "string", default: peerNames.join(",") },
      connections: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      rate: { type: "string", default: "5000" },
      nice: { type: "string", default: "0" },
      json: { type: "string" },
      quick: { type: "boolean", default: false },
      assert: { type: "boolean", default: false },
      "sidelane-command": { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  const command = values["sidelane-command"]?.trim();
  return {
    peers: values.peers.split(",").map(peerName),
    connections: (values.connections ?? (values.quick ? "64" : "1,64,512"))
      .split(",")
      .map((text) => wholeNumber("--connections", text, 1)),
    rounds: wholeNumber("--rounds", values.rounds ?? (values.quick ? "2" : "5"), 1),
    seconds: wholeNumber("--seconds", values.seconds ?? (values.quick ? "1" : "4"), 1),
    rate: wholeNumber("--rate", values.rate, 0),
    nice: wholeNumber("--nice", values.nice, -20),
    json: values.json,
    assert: values.assert,
    sidelaneCommand: command === undefined || command === "" ? undefined : command.split(/\s+/),
  };
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
