// One measurement: a load on one proxy, what the proxy consumed for it, and whether the result may be believed.

import { setTimeout as delay } from "node:timers/promises";
import type { BackendCounts, Backends } from "./backends.ts";
import { runLoad, type Load, type LoadResult } from "./load/wrk.ts";
import type { RunningProcess, Workspace } from "./processes.ts";
import { coreBusyUs, processMemory, processUsage, resetPeakMemory } from "./procfs.ts";

/** The figures of one measurement. Names end in their unit. */
export interface Measurement {
  readonly requestsPerSecond: number;
  /** CPU of all processes of the proxy per completed request, microseconds. */
  readonly cpuUs: number;
  readonly cpuUserUs: number;
  readonly cpuSystemUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly residentBytes: number;
  /** The highest during this measurement. */
  readonly residentPeakBytes: number;
  /** Voluntary context switches per 1000 requests. */
  readonly switchesPerThousand: number;
  /** Share of the proxy's core that others used meanwhile, 0 to 1. */
  readonly othersShare: number;
  /** Why this measurement counts for nothing; empty: it counts. */
  readonly voidReasons: readonly string[];
}

/** A proxy that runs and has been verified. */
export interface Subject {
  readonly process: RunningProcess;
  readonly port: number;
  /** Bytes of one answer, as found by `verifyRouting`. */
  readonly answerBytes: number;
}

const warmUpSeconds = 1;
/** Requests that a load abandons when it ends may reach a backend a little later. */
const settleMs = 100;

/** Warms up, measures once. */
export async function measure(
  workspace: Workspace,
  cores: { readonly proxy: number; readonly load: number },
  backends: Backends,
  subject: Subject,
  load: Load,
): Promise<Measurement> {
  const { pid } = subject.process;
  await runLoad(workspace, cores.load, { ...load, seconds: warmUpSeconds });
  await delay(settleMs);
  if (subject.process.hasEnded()) {
    throw new Error(`${subject.process.name} ended while it was warmed up:\n${subject.process.output()}`);
  }
  resetPeakMemory(pid);
  const countsBefore = await backends.counts();
  const busyBefore = coreBusyUs(cores.proxy);
  const before = processUsage(pid);
  const startMs = performance.now();
  const result = await runLoad(workspace, cores.load, load);
  const elapsedUs = (performance.now() - startMs) * 1000;
  const after = processUsage(pid);
  const busyUs = coreBusyUs(cores.proxy) - busyBefore;
  const memory = processMemory(pid);
  await delay(settleMs);
  const countsAfter = await backends.counts();

  const cpuUserUs = after.userUs - before.userUs;
  const cpuSystemUs = after.systemUs - before.systemUs;
  const seen: BackendCounts = {
    baseline: countsAfter.baseline - countsBefore.baseline,
    sandbox: countsAfter.sandbox - countsBefore.sandbox,
  };
  return {
    requestsPerSecond: result.requests / (result.durationUs / 1_000_000),
    cpuUs: (cpuUserUs + cpuSystemUs) / result.requests,
    cpuUserUs: cpuUserUs / result.requests,
    cpuSystemUs: cpuSystemUs / result.requests,
    p50Us: result.p50Us,
    p99Us: result.p99Us,
    p999Us: result.p999Us,
    residentBytes: memory.residentBytes,
    residentPeakBytes: memory.residentPeakBytes,
    switchesPerThousand: ((after.voluntarySwitches - before.voluntarySwitches) / result.requests) * 1000,
    othersShare: Math.max(0, (busyUs - cpuUserUs - cpuSystemUs) / elapsedUs),
    voidReasons: voidReasons(subject, load, result, seen),
  };
}

/** See bench/README.md, "What makes a run void". */
function voidReasons(subject: Subject, load: Load, result: LoadResult, seen: BackendCounts): string[] {
  const reasons: string[] = [];
  const inFlight = load.connections;
  const total = seen.baseline + seen.sandbox;
  if (subject.process.hasEnded()) reasons.push(`the proxy ended: ${subject.process.output()}`);
  if (result.requests === 0) reasons.push("no request was answered");
  if (result.errors > 0) reasons.push(`${result.errors} socket errors, time-outs or error answers`);
  if (total < result.requests) {
    reasons.push(`the backends saw ${total} requests, the client got ${result.requests} answers`);
  }
  // One per connection is in flight when the load ends.
  if (total > result.requests + inFlight) {
    reasons.push(`the backends saw ${total} requests for ${result.requests} answers: requests were sent twice`);
  }
  // The load takes turns: what is in flight at the end is the only difference.
  if (Math.abs(seen.sandbox - seen.baseline) > inFlight + 1) {
    reasons.push(`${seen.sandbox} requests went to the sandbox, ${seen.baseline} to the baseline: half each is right`);
  }
  const expectedBytes = result.requests * subject.answerBytes;
  if (result.bytes < expectedBytes || result.bytes > expectedBytes + inFlight * subject.answerBytes) {
    reasons.push(`${result.bytes} bytes for ${result.requests} answers of ${subject.answerBytes} bytes`);
  }
  return reasons;
}
