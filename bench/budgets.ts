// What Sidelane promises, judged on the medians of one run. All at 64 connections.

import { ratios, type Sample } from "./summary.ts";
import { digits, spread, type Spread } from "./statistics.ts";

export interface Verdict {
  readonly budget: string;
  /** `undefined`: not measured in this run. */
  readonly measured: string | undefined;
  readonly met: boolean;
}

const connections = 64;
const cpuTimesHaproxyMax = 1.05;
const cpuTimesLessThanUndiciMin = 3.5;
const p99TimesHaproxyMax = 1.5;
const residentMegabytesMax = 75;

export function judge(samples: readonly Sample[]): Verdict[] {
  const valid = samples.filter((sample) => sample.voidReasons.length === 0 && sample.connections === connections);
  const of = (peer: Sample["peer"], load: Sample["load"]): Sample[] =>
    valid.filter((sample) => sample.peer === peer && sample.load === load);
  const sidelane = of("sidelane", "saturated");
  // Under this load: in the first round, before the same process has served more connections. The table shows what stays.
  const resident = sidelane.slice(0, 1).map((sample) => sample.residentPeakBytes / 1e6);
  return [
    atMost("CPU per request, x HAProxy", ratios(sidelane, valid, "haproxy", "cpuUs"), cpuTimesHaproxyMax),
    atLeast(
      "CPU per request of node:http + undici, x Sidelane",
      ratios(of("node-undici", "saturated"), valid, "sidelane", "cpuUs"),
      cpuTimesLessThanUndiciMin,
    ),
    atMost("p99 saturated, x HAProxy", ratios(sidelane, valid, "haproxy", "p99Us"), p99TimesHaproxyMax),
    atMost(
      "p99 at a steady rate, x HAProxy",
      ratios(of("sidelane", "steady"), valid, "haproxy", "p99Us"),
      p99TimesHaproxyMax,
    ),
    atMost("peak RSS, MB", resident.length === 0 ? undefined : spread(resident), residentMegabytesMax),
  ];
}

function atMost(what: string, value: Spread | undefined, max: number): Verdict {
  const measured = value === undefined ? undefined : digits(value.median);
  return { budget: `${what} <= ${max}`, measured, met: value !== undefined && value.median <= max };
}

function atLeast(what: string, value: Spread | undefined, min: number): Verdict {
  const measured = value === undefined ? undefined : digits(value.median);
  return { budget: `${what} >= ${min}`, measured, met: value !== undefined && value.median >= min };
}
