// Entry of the short-lived worker thread that loads one large table; see load-off-loop.ts.

import { constants, setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { loadBytes } from "./load-bytes.ts";
import type { LoadJob } from "./load-bytes.ts";

// Beside one busy core there may be no second one: the thread that serves requests goes first. On Linux the niceness
// belongs to the thread that asks; elsewhere it is the whole process's, so there it stays as it is.
if (process.platform === "linux") {
  try {
    setPriority(constants.priority.PRIORITY_LOW);
  } catch {
    // A sandbox that forbids even that: loading matters more.
  }
}

const answer = loadBytes(workerData as LoadJob);
// The image changes hands instead of being copied: the receiving loop pays the same for any size.
parentPort?.postMessage(answer, answer.result === "loaded" ? [answer.image.buffer] : []);
