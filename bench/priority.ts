// On a machine shared with others: this run first.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";

/** Linux groups the processes of a session (CONFIG_SCHED_AUTOGROUP); their nice values then count only among themselves. */
const sessionGroup = "/proc/self/autogroup";

/**
 * Gives this process, all that it starts, and the session it belongs to another priority, as nice(1) counts.
 *
 * @returns what restores the session.
 * @throws Error without the right to do so.
 */
export function prioritise(nice: number): () => void {
  if (nice === 0) return () => undefined;
  setPriority(nice);
  if (!existsSync(sessionGroup)) return () => undefined;
  const before = / nice (-?\d+)/.exec(readFileSync(sessionGroup, "utf8"))?.[1] ?? "0";
  writeFileSync(sessionGroup, String(nice));
  return () => writeFileSync(sessionGroup, before);
}
