// Rounds in, one row per peer and scenario out: medians, spreads, and ratios to HAProxy taken within each round.

import type { Measurement } from "./measure.ts";
import type { PeerName } from "./peers/registry.ts";
import type { SuiteName } from "./suites/registry.ts";
import { spread, type Spread } from "./statistics.ts";

/** One measurement and what it was of. */
export interface Sample extends Measurement {
  readonly peer: PeerName;
  readonly suite: SuiteName;
  /** The name of one of its scenarios. */
  readonly scenario: string;
  readonly round: number;
}

/** The figures of one peer in one scenario. */
export interface Row {
  readonly peer: PeerName;
  readonly suite: SuiteName;
  readonly scenario: string;
  readonly rounds: number;
  readonly operationsPerSecond: Spread;
  readonly cpuUs: Spread;
  readonly cpuUserUs: Spread;
  readonly cpuSystemUs: Spread;
  readonly p50Us: Spread | undefined;
  readonly p99Us: Spread | undefined;
  readonly p999Us: Spread | undefined;
  readonly residentBytes: Spread;
  readonly residentPeakBytes: Spread;
  readonly switchesPerThousand: Spread;
  readonly busyShare: Spread;
  readonly othersShare: Spread;
  /** Divided by HAProxy's of the same round; `undefined` without HAProxy. */
  readonly cpuRatio: Spread | undefined;
  readonly p99Ratio: Spread | undefined;
  readonly operationsPerSecondRatio: Spread | undefined;
}

type Figure = Exclude<keyof Measurement, "voidReasons">;
type SureFigure = Exclude<Figure, "p50Us" | "p99Us" | "p999Us">;

/** Rows in the order of the first samples. Void samples are left out, with the ratios they would have been part of. */
export function summarise(samples: readonly Sample[]): Row[] {
  const valid = samples.filter((sample) => sample.voidReasons.length === 0);
  const groups = Map.groupBy(valid, (sample) => `${sample.suite} ${sample.scenario} ${sample.peer}`);
  return [...groups.values()].flatMap((group) => {
    const first = group[0];
    if (first === undefined) return [];
    const of = (figure: SureFigure): Spread => spread(group.map((sample) => sample[figure]));
    const ifTold = (figure: Figure): Spread | undefined => {
      const told = group.flatMap((sample) => sample[figure] ?? []);
      return told.length === 0 ? undefined : spread(told);
    };
    return {
      peer: first.peer,
      suite: first.suite,
      scenario: first.scenario,
      rounds: group.length,
      operationsPerSecond: of("operationsPerSecond"),
      cpuUs: of("cpuUs"),
      cpuUserUs: of("cpuUserUs"),
      cpuSystemUs: of("cpuSystemUs"),
      p50Us: ifTold("p50Us"),
      p99Us: ifTold("p99Us"),
      p999Us: ifTold("p999Us"),
      residentBytes: of("residentBytes"),
      residentPeakBytes: of("residentPeakBytes"),
      switchesPerThousand: of("switchesPerThousand"),
      busyShare: of("busyShare"),
      othersShare: of("othersShare"),
      cpuRatio: ratios(group, valid, "haproxy", "cpuUs"),
      p99Ratio: ratios(group, valid, "haproxy", "p99Us"),
      operationsPerSecondRatio: ratios(group, valid, "haproxy", "operationsPerSecond"),
    };
  });
}

/** A figure of some samples divided by another peer's of the same round and scenario. */
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
        candidate.suite === sample.suite &&
        candidate.scenario === sample.scenario &&
        candidate.voidReasons.length === 0,
    );
    const [above, below] = [sample[figure], other?.[figure]];
    return above === undefined || below === undefined ? [] : [above / below];
  });
  return values.length === 0 ? undefined : spread(values);
}
