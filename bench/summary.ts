// Rounds in, one row per peer and load out: medians, spreads, and ratios to HAProxy taken within each round.

import type { Measurement } from "./measure.ts";
import type { PeerName } from "./peers/registry.ts";
import { spread, type Spread } from "./statistics.ts";

/** One measurement and what it was of. */
export interface Sample extends Measurement {
  readonly peer: PeerName;
  readonly round: number;
  readonly connections: number;
  /** `saturated`: as fast as the proxy answers. `steady`: a fixed rate below that, which is where latency means something. */
  readonly load: "saturated" | "steady";
}

/** The figures of one peer at one load. */
export interface Row {
  readonly peer: PeerName;
  readonly connections: number;
  readonly load: Sample["load"];
  readonly rounds: number;
  readonly requestsPerSecond: Spread;
  readonly cpuUs: Spread;
  readonly cpuUserUs: Spread;
  readonly cpuSystemUs: Spread;
  readonly p50Us: Spread;
  readonly p99Us: Spread;
  readonly p999Us: Spread;
  readonly residentBytes: Spread;
  readonly residentPeakBytes: Spread;
  readonly switchesPerThousand: Spread;
  readonly othersShare: Spread;
  /** Divided by HAProxy's of the same round; `undefined` without HAProxy. */
  readonly cpuRatio: Spread | undefined;
  readonly p99Ratio: Spread | undefined;
}

type Figure = Exclude<keyof Measurement, "voidReasons">;

/** Rows in the order of the first samples. Void samples are left out, with the ratios they would have been part of. */
export function summarise(samples: readonly Sample[]): Row[] {
  const valid = samples.filter((sample) => sample.voidReasons.length === 0);
  const groups = Map.groupBy(valid, (sample) => `${sample.load} ${sample.connections} ${sample.peer}`);
  return [...groups.values()].flatMap((group) => {
    const first = group[0];
    if (first === undefined) return [];
    const of = (figure: Figure): Spread => spread(group.map((sample) => sample[figure]));
    return {
      peer: first.peer,
      connections: first.connections,
      load: first.load,
      rounds: group.length,
      requestsPerSecond: of("requestsPerSecond"),
      cpuUs: of("cpuUs"),
      cpuUserUs: of("cpuUserUs"),
      cpuSystemUs: of("cpuSystemUs"),
      p50Us: of("p50Us"),
      p99Us: of("p99Us"),
      p999Us: of("p999Us"),
      residentBytes: of("residentBytes"),
      residentPeakBytes: of("residentPeakBytes"),
      switchesPerThousand: of("switchesPerThousand"),
      othersShare: of("othersShare"),
      cpuRatio: ratios(group, valid, "haproxy", "cpuUs"),
      p99Ratio: ratios(group, valid, "haproxy", "p99Us"),
    };
  });
}

/** A figure of some samples divided by another peer's of the same round and load. */
export function ratios(
  numerators: readonly Sample[],
  all: readonly Sample[],
  denominator: PeerName,
  figure: Figure,
): Spread | undefined {
  const values = numerators.flatMap((sample) => {
    const other = all.find(
      (candidate) =>
        candidate.peer === denominator &&
        candidate.round === sample.round &&
        candidate.load === sample.load &&
        candidate.connections === sample.connections &&
        candidate.voidReasons.length === 0,
    );
    return other === undefined ? [] : [sample[figure] / other[figure]];
  });
  return values.length === 0 ? undefined : spread(values);
}
