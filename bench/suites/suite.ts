// A suite: one kind of traffic, with its backends, its peers and its loads.

import type { Backends } from "../backends.ts";
import type { LoadResult } from "../load/load-result.ts";
import type { Options } from "../options.ts";
import type { Traffic } from "../peers/peer.ts";
import type { PeerName } from "../peers/registry.ts";
import type { Workspace } from "../processes.ts";
import type { Tool } from "../tools.ts";

/** What is counted, and what CPU is divided by. */
export type Unit = "request" | "call" | "MiB" | "message";

/** Where a load runs and what it loads. */
export interface Target {
  readonly workspace: Workspace;
  readonly core: number;
  readonly port: number;
  readonly seconds: number;
}

/** One load. */
export interface Scenario {
  /** Unique within the suite; short, for `--only`. */
  readonly name: string;
  readonly title: string;
  readonly unit: Unit;
  /** Part of `--quick`. */
  readonly isQuick: boolean;
  /** Below saturation, to see latency: CPU depends on how often the proxy wakes up. */
  readonly isSteady: boolean;
  /** Operations that may be under way when the load ends. */
  readonly inFlight: number;
  /** Where its requests have to go: all to one of the two, or half of them to each. */
  readonly destination: "sandbox" | "baseline" | "half";
  /** Bytes of one answer as `LoadResult.bytes` counts them; `undefined`: those that `verify` found. */
  readonly answerBytes: number | undefined;
  run(target: Target): Promise<LoadResult>;
}

export interface Suite {
  readonly traffic: Traffic;
  /** In the order of the tables. */
  readonly peers: readonly PeerName[];
  /** What load and backends need. */
  readonly needs: readonly Tool[];
  /** Load and backends in a few words, for the result. */
  readonly method: string;
  /** Programs beside the peers. */
  versions(): readonly string[];
  startBackends(workspace: Workspace, core: number): Promise<Backends>;
  /**
   * Proves that a proxy does what all have to do.
   *
   * @param hasRule a proxy without the routing rule sends everything to the sandbox.
   * @returns the bytes of one answer.
   * @throws Error that names what went wrong.
   */
  verify(name: string, port: number, hasRule: boolean): Promise<number>;
  scenarios(options: Pick<Options, "connections" | "rate">): readonly Scenario[];
  /** Runs once when a proxy has been started, for two seconds: enough for just-in-time compilers before the first round. */
  readonly firstWarmUp: Scenario;
}
