// For tests of what must not happen: waiting until nothing moves any more, and measuring what was kept meanwhile.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { coarse } from "../../src/base/clock.ts";

/** Milliseconds without a change that count as quiet. */
const QUIET_MS = 300;
const LOOK_MS = 20;

/** Resolves to the value once it has not changed for a while: there is no event for something that does not go on. */
export function untilQuiet(read: () => number): Promise<number> {
  return new Promise((resolve) => {
    let last = read();
    let quietMs = 0;
    const timer = setInterval(() => {
      const now = read();
      quietMs = now === last ? quietMs + LOOK_MS : 0;
      last = now;
      if (quietMs < QUIET_MS) return;
      clearInterval(timer);
      resolve(now);
    }, LOOK_MS);
  });
}

/** Resolves once the condition holds; for numbers that change without telling anybody, as metrics do. */
export function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = async (): Promise<void> => {
      if (await condition()) resolve();
      else setTimeout(() => void look().catch(reject), LOOK_MS);
    };
    void look().catch(reject);
  });
}

/** Resolves when the data plane's deadlines have been swept with a clock that is later by so much. */
export function swept(laterMs: number): Promise<void> {
  const dueMs = coarse.nowMs + laterMs;
  return eventually(() => coarse.nowMs > dueMs);
}

/** Starts measuring; the returned function says by how many bytes the process has grown since, buffers and heap. */
export function memoryGrowth(): () => number {
  const before = liveBytes();
  return () => liveBytes() - before;
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** What is still in use, on the heap and outside of it; garbage of the test's own clients does not count. */
function liveBytes(): number {
  collect();
  collect();
  const { external, heapUsed } = process.memoryUsage();
  return external + heapUsed;
}
