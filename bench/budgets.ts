// What Sidelane promises, judged on the medians of one run.

import type { PeerName } from "./peers/registry.ts";
import { digits, spread, type Spread } from "./statistics.ts";
import { suiteNames, type SuiteName } from "./suites/registry.ts";
import { ratios, type Sample } from "./summary.ts";

export interface Verdict {
  readonly budget: string;
  /** `undefined`: not measured in this run. */
  readonly measured: string | undefined;
  readonly met: boolean;
}

const http1CpuTimesHaproxyMax = 1.05;
const http1CpuTimesLessThanUndiciMin = 3.5;
const http1P99TimesHaproxyMax = 1.5;
const http1ResidentMegabytesMax = 75;

/** Few connections with many streams: where a relay in front of a native proxy's own parsing can win. */
const http2CpuTimesHaproxyMax = 1.0;
const http2CpuTimesHaproxyGoal = 0.8;
/** As many reads and writes as requests: the kernel's cost is most of it. */
const http2ManyConnectionsCpuTimesHaproxyMax = 1.15;
const http2ManyConnectionsCpuTimesHaproxyGoal = 0.95;
const http2CpuTimesLessThanNodeMin = 10;
const bodiesRateTimesHaproxyMin = 0.6;
const http2ResidentMegabytesMax = 110;

/** The samples of one run, void ones left out. */
class Evidence {
  readonly #valid: readonly Sample[];

  constructor(samples: readonly Sample[]) {
    this.#valid = samples.filter((sample) => sample.voidReasons.length === 0);
  }

  of(peer: PeerName, suite: SuiteName, scenario?: string): Sample[] {
    return this.#valid.filter(
      (sample) =>
        sample.peer === peer && sample.suite === suite && (scenario === undefined || sample.scenario === scenario),
    );
  }

  ratio(
    suite: SuiteName,
    scenario: string,
    peers: { readonly of: PeerName; readonly to: PeerName },
    figure: "cpuUs" | "p99Us" | "operationsPerSecond",
  ): Spread | undefined {
    return ratios(this.of(peers.of, suite, scenario), this.#valid, peers.to, figure);
  }

  /** Peak RSS of Sidelane under HTTP/2, the highest of all rounds. */
  http2Resident(): Spread | undefined {
    const samples = [...this.of("sidelane", "http2"), ...this.of("sidelane", "grpc"), ...this.of("sidelane", "bodies")];
    return samples.length === 0 ? undefined : always(Math.max(...samples.map(megabytes)));
  }

  scenarios(suite: SuiteName): string[] {
    return [...new Set(this.#valid.filter((sample) => sample.suite === suite).map(({ scenario }) => scenario))];
  }
}

const toHaproxy = { of: "sidelane", to: "haproxy" } as const;

const judges: { readonly [suite in SuiteName]?: (evidence: Evidence) => Verdict[] } = {
  http1(evidence) {
    // Under this load: in the first round, before the same process has served more connections. The table shows what stays.
    const first = evidence.of("sidelane", "http1", "64")[0];
    const toUndici = { of: "node-undici", to: "sidelane" } as const;
    return [
      atMost(
        "HTTP/1.1, 64 connections: CPU per request, x HAProxy",
        evidence.ratio("http1", "64", toHaproxy, "cpuUs"),
        http1CpuTimesHaproxyMax,
      ),
      atLeast(
        "HTTP/1.1, 64 connections: CPU per request of node:http + undici, x Sidelane",
        evidence.ratio("http1", "64", toUndici, "cpuUs"),
        http1CpuTimesLessThanUndiciMin,
      ),
      atMost(
        "HTTP/1.1, 64 connections: p99 saturated, x HAProxy",
        evidence.ratio("http1", "64", toHaproxy, "p99Us"),
        http1P99TimesHaproxyMax,
      ),
      atMost(
        "HTTP/1.1, 64 connections: p99 at a steady rate, x HAProxy",
        evidence.ratio("http1", "steady", toHaproxy, "p99Us"),
        http1P99TimesHaproxyMax,
      ),
      atMost(
        "HTTP/1.1, 64 connections: peak RSS, MB",
        first === undefined ? undefined : always(megabytes(first)),
        http1ResidentMegabytesMax,
      ),
    ];
  },
  http2(evidence) {
    return [
      atMost(
        "HTTP/2, 8x16: CPU per request, x HAProxy",
        evidence.ratio("http2", "8x16", toHaproxy, "cpuUs"),
        http2CpuTimesHaproxyMax,
        http2CpuTimesHaproxyGoal,
      ),
      atMost(
        "HTTP/2, 64x1: CPU per request, x HAProxy",
        evidence.ratio("http2", "64x1", toHaproxy, "cpuUs"),
        http2ManyConnectionsCpuTimesHaproxyMax,
        http2ManyConnectionsCpuTimesHaproxyGoal,
      ),
      atLeast(
        "HTTP/2, 8x16: CPU per request of node:http2, x Sidelane",
        evidence.ratio("http2", "8x16", { of: "node-http2", to: "sidelane" }, "cpuUs"),
        http2CpuTimesLessThanNodeMin,
      ),
      atMost("HTTP/2, all suites of this run: peak RSS, MB", evidence.http2Resident(), http2ResidentMegabytesMax),
    ];
  },
  bodies(evidence) {
    return evidence
      .scenarios("bodies")
      .map((scenario) =>
        atLeast(
          `HTTP/2, 1 MiB, ${scenario}: bytes/s, x HAProxy`,
          evidence.ratio("bodies", scenario, toHaproxy, "operationsPerSecond"),
          bodiesRateTimesHaproxyMin,
        ),
      );
  },
};

/** The budgets of those suites that took part. */
export function judge(samples: readonly Sample[]): Verdict[] {
  const evidence = new Evidence(samples);
  const took = suiteNames.filter((name) => samples.some((sample) => sample.suite === name));
  return took.flatMap((name) => judges[name]?.(evidence) ?? []);
}

function atMost(what: string, value: Spread | undefined, max: number, goal?: number): Verdict {
  const measured = value === undefined ? undefined : digits(value.median);
  const aim = goal === undefined ? "" : ` (goal ${goal})`;
  return { budget: `${what} <= ${max}${aim}`, measured, met: value !== undefined && value.median <= max };
}

function atLeast(what: string, value: Spread | undefined, min: number): Verdict {
  const measured = value === undefined ? undefined : digits(value.median);
  return { budget: `${what} >= ${min}`, measured, met: value !== undefined && value.median >= min };
}

function always(value: number): Spread {
  return spread([value]);
}

function megabytes(sample: Sample): number {
  return sample.residentPeakBytes / 1e6;
}
