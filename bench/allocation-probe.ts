// Loaded into a proxy with `--import` by bench/allocation.ts: answers on the IPC channel how much its JavaScript heap holds
// and whether the collector ran since the last question. Not part of the proxy.

import { PerformanceObserver } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** What the probe answers. */
export interface HeapReport {
  readonly heapUsedBytes: number;
  readonly arrayBufferBytes: number;
  /** Collections since the last answer, the one that `collect` asked for not among them. */
  readonly collections: number;
}

/** What it is asked: `collect` empties the young generation first, so that the next requests fit into it. */
export type ProbeQuestion = "collect" | "report";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as (options: { type: "minor" }) => void;

let collections = 0;
new PerformanceObserver((list) => (collections += list.getEntries().length)).observe({ entryTypes: ["gc"] });

process.on("message", (question: ProbeQuestion) => {
  if (question === "collect") collect({ type: "minor" });
  // The observer hears of collections a turn of the event loop later.
  setImmediate(() => setImmediate(() => answer(question)));
});
process.channel?.unref();

function answer(question: ProbeQuestion): void {
  const seen = collections;
  collections = 0;
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  const report: HeapReport = {
    heapUsedBytes: heapUsed,
    arrayBufferBytes: arrayBuffers,
    collections: question === "collect" ? 0 : seen,
  };
  process.send?.(report);
}
