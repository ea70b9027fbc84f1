// How long one operation takes and how many bytes it allocates, for functions of nanoseconds.

import { GCProfiler } from "node:v8";
import { runInNewContext } from "node:vm";

/** One hot function with one input; `run` does the work so many times and throws when the answer is wrong. */
export interface Bench {
  readonly name: string;
  run(iterations: number): void;
}

const collectYoung = runInNewContext("gc") as (options: { type: "minor" }) => void;

/** How many iterations take so long; the calibration is the warm-up, too. */
export function calibrate(bench: Bench, targetMs: number): number {
  let iterations = 1000;
  for (;;) {
    const tookMs = timeMs(bench, iterations);
    if (tookMs >= targetMs / 2) return Math.max(1, Math.round((iterations * targetMs) / tookMs));
    iterations *= tookMs < targetMs / 20 ? 10 : 2;
  }
}

/** Nanoseconds of one iteration. */
export function nanoseconds(bench: Bench, iterations: number): number {
  return (timeMs(bench, iterations) * 1e6) / iterations;
}

/**
 * Bytes of JavaScript heap that one iteration allocates: what the heap grew by while nothing was collected. Fewer
 * iterations are taken until they fit into the young generation.
 */
export function allocatedBytes(bench: Bench, iterations: number): number {
  for (let count = iterations; count >= 1; count = Math.floor(count / 4)) {
    collectYoung({ type: "minor" });
    const profiler = new GCProfiler();
    profiler.start();
    const before = process.memoryUsage().heapUsed;
    bench.run(count);
    const after = process.memoryUsage().heapUsed;
    // What the questions themselves allocate is far below a tenth of a byte per iteration.
    if (profiler.stop()?.statistics.length === 0) return Math.max(0, (after - before) / count);
  }
  throw new Error(`${bench.name}: one iteration allocates more than the young generation holds`);
}

function timeMs(bench: Bench, iterations: number): number {
  const start = process.hrtime.bigint();
  bench.run(iterations);
  return Number(process.hrtime.bigint() - start) / 1e6;
}
