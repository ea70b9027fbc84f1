import { Worker } from "node:worker_threads";
import type { LoadAnswer, LoadJob } from "./load-bytes.ts";

/** Generous: 100,000 sandboxes take some seconds. Whoever is not done by then hangs. */
export const LOAD_MS_MAX = 120_000;

/** What only tests change. */
export interface OffLoopOptions {
  readonly timeoutMs?: number;
  readonly workerUrl?: URL;
  readonly heapMibMax?: number;
}

/** Runs as source (.ts, by type stripping) and as compiled (.js). */
const tableWorkerUrl = new URL(
  import.meta.url.endsWith(".ts") ? "./load-worker.ts" : "./load-worker.js",
  import.meta.url,
);

/**
 * `loadBytes` in a worker thread of its own, so that the event loop goes on serving. Bytes go there and the image comes
 * back by transfer; `job.bytes` is unusable afterwards. The thread lives for one job: its heap, many times the size of
 * the file, goes with it. Never rejects: a thread that cannot start, crashes, runs out of memory or out of time is an
 * answer like any other.
 */
export function loadOffLoop(job: LoadJob, signal: AbortSignal, options: OffLoopOptions = {}): Promise<LoadAnswer> {
  const { timeoutMs = LOAD_MS_MAX, workerUrl = tableWorkerUrl, heapMibMax } = options;
  return new Promise((resolve) => {
    let worker: Worker;
    try {
      const resourceLimits = heapMibMax === undefined ? {} : { maxOldGenerationSizeMb: heapMibMax };
      worker = new Worker(workerUrl, {
        name: "table",
        workerData: job,
        transferList: [job.bytes.buffer],
        resourceLimits,
      });
    } catch (error) {
      resolve(failed(`cannot start a worker thread: ${String(error)}`));
      return;
    }
    let answer: LoadAnswer | undefined;
    const giveUp = (what: string): void => {
      answer ??= failed(what);
      void worker.terminate();
    };
    const onAbort = (): void => giveUp("stopped");
    const timer = setTimeout(() => giveUp(`no answer within ${timeoutMs} ms`), timeoutMs);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();

    worker.on("message", (message: LoadAnswer) => {
      answer ??= message;
    });
    worker.on("error", (error) => {
      answer ??= failed(error instanceof Error ? error.message : String(error));
    });
    // Always the last event, so that no thread outlives its answer.
    worker.on("exit", (code) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      resolve(answer ?? failed(`the worker thread ended without an answer (exit code ${code})`));
    });
  });
}

function failed(message: string): LoadAnswer {
  return { result: "failed", message };
}
