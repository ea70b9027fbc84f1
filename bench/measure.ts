// One measurement: a load on one proxy, what the proxy consumed for it, and whether the result may be believed.

import { setTimeout as delay } from "node:timers/promises";
import type { BackendCounts, Backends } from "./backends.ts";
import type { LoadResult } from "./load/load-result.ts";
import type { RunningProcess, Workspace } from "./processes.ts";
import { coreBusyUs, processMemory, processUsage, resetPeakMemory } from "./procfs.ts";
import type { Scenario } from "./suites/suite.ts";

/** The figures of one measurement. Names end in their unit; "operation" is what the scenario counts. */
export interface Measurement {
  readonly operationsPerSecond: number;
  /** CPU of all processes of the proxy per completed operation, microseconds. */
  readonly cpuUs: number;
  readonly cpuUserUs: number;
  readonly cpuSystemUs: number;
  /** `undefined`, as the other percentiles: the load generator does not tell. */
  readonly p50Us: number | undefined;
  readonly p99Us: number | undefined;
  readonly p999Us: number | undefined;
  readonly residentBytes: number;
  /** The highest during this measurement. */
  readonly residentPeakBytes: number;
  /** Voluntary context switches per 1000 operations. */
  readonly switchesPerThousand: number;
  /** Share of its core that the proxy used, 0 to 1. Far below 1 at saturation: load or backend are the bottleneck. */
  readonly busyShare: number;
  /** Share of the proxy's core that others used meanwhile, 0 to 1. */
  readonly othersShare: number;
  /** Why this measurement counts for nothing; empty: it counts. */
  readonly voidReasons: readonly string[];
}

/** A proxy that runs and has been verified. */
export interface Subject {
  readonly process: RunningProcess;
  readonly port: number;
  /** Bytes of one answer, as found by the verification of its suite. */
  readonly answerBytes: number;
}

/** Requests that a load abandons when it ends may reach a backend a little later: until its count stands still so long. */
const settleMs = 100;
const settleRoundsMax = 20;

/** Warms up, measures once. */
export async function measure(
  workspace: Workspace,
  cores: { readonly proxy: number; readonly load: number },
  backends: Backends,
  subject: Subject,
  scenario: Scenario,
  seconds: number,
  warmUpSeconds: number = 1,
): Promise<Measurement> {
  const { pid } = subject.process;
  const target = { workspace, core: cores.load, port: subject.port, seconds };
  if (warmUpSeconds > 0) await scenario.run({ ...target, seconds: warmUpSeconds });
  const countsBefore = await settledCounts(backends);
  if (subject.process.hasEnded()) {
    throw new Error(`${subject.process.name} ended while it was warmed up:\n${subject.process.output()}`);
  }
  resetPeakMemory(pid);
  const busyBefore = coreBusyUs(cores.proxy);
  const before = processUsage(pid);
  const startMs = performance.now();
  const result = await scenario.run(target);
  const elapsedUs = (performance.now() - startMs) * 1000;
  const after = processUsage(pid);
  const busyUs = coreBusyUs(cores.proxy) - busyBefore;
  const memory = processMemory(pid);
  const countsAfter = await settledCounts(backends);

  const cpuUserUs = after.userUs - before.userUs;
  const cpuSystemUs = after.systemUs - before.systemUs;
  const seen: BackendCounts = {
    baseline: countsAfter.baseline - countsBefore.baseline,
    sandbox: countsAfter.sandbox - countsBefore.sandbox,
  };
  return {
    operationsPerSecond: result.operations / (result.durationUs / 1_000_000),
    cpuUs: (cpuUserUs + cpuSystemUs) / result.operations,
    cpuUserUs: cpuUserUs / result.operations,
    cpuSystemUs: cpuSystemUs / result.operations,
    p50Us: result.p50Us,
    p99Us: result.p99Us,
    p999Us: result.p999Us,
    residentBytes: memory.residentBytes,
    residentPeakBytes: memory.residentPeakBytes,
    switchesPerThousand: ((after.voluntarySwitches - before.voluntarySwitches) / result.operations) * 1000,
    busyShare: (cpuUserUs + cpuSystemUs) / result.durationUs,
    othersShare: Math.max(0, (busyUs - cpuUserUs - cpuSystemUs) / elapsedUs),
    voidReasons: voidReasons(subject, scenario, result, seen),
  };
}

async function settledCounts(backends: Backends): Promise<BackendCounts> {
  let counts = await backends.counts();
  for (let i = 0; i < settleRoundsMax; i++) {
    await delay(settleMs);
    const before = counts;
    counts = await backends.counts();
    if (counts.baseline === before.baseline && counts.sandbox === before.sandbox) break;
  }
  return counts;
}

/** See bench/README.md, "What makes a run void". */
function voidReasons(subject: Subject, scenario: Scenario, result: LoadResult, seen: BackendCounts): string[] {
  const reasons: string[] = [];
  const { inFlight } = scenario;
  const { operations } = result;
  const total = seen.baseline + seen.sandbox;
  if (subject.process.hasEnded()) reasons.push(`the proxy ended: ${subject.process.output()}`);
  if (operations === 0) reasons.push("nothing was answered");
  if (result.errors > 0) reasons.push(`${result.errors} errors, time-outs or error answers. ${result.firstError}`);
  if (total < operations) reasons.push(`the backends saw ${total} requests, the client got ${operations} answers`);
  if (total > operations + inFlight) {
    reasons.push(`the backends saw ${total} requests for ${operations} answers: requests were sent twice`);
  }
  if (scenario.destination === "sandbox") {
    if (seen.baseline > 0) reasons.push(`${seen.baseline} requests went to the baseline: all have the key`);
  } else if (scenario.destination === "baseline") {
    if (seen.sandbox > 0) reasons.push(`${seen.sandbox} requests went to the sandbox: none has a key that counts`);
  } else if (Math.abs(seen.sandbox - seen.baseline) > inFlight + 1) {
    // The load takes turns: what is in flight at the end is the only difference.
    reasons.push(`${seen.sandbox} requests went to the sandbox, ${seen.baseline} to the baseline: half each is right`);
  }
  const answerBytes = scenario.answerBytes ?? subject.answerBytes;
  const expectedBytes = operations * answerBytes;
  if (result.bytes < expectedBytes || result.bytes > expectedBytes + inFlight * answerBytes) {
    reasons.push(`${result.bytes} bytes for ${operations} answers of ${answerBytes} bytes`);
  }
  return reasons;
}
