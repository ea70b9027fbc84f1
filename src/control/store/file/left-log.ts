// Whether the log is as this store has left it. A backup that is put over a directory has the same `source` and older revisions,
// which are then given anew to other commits: sidecars that were away would be told that they have what they do not have. Whoever
// copies files can set all of their times but that of their last change (ctime), so it tells. After a crash nothing is noted and
// the history is taken for another one: that costs a whole table for each sidecar, and no mistake.

import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { logName, logNumbers } from "./load-log.ts";

const NOTE = "left";

/** Notes the log as it is; it is closed, and nobody else writes. A note that cannot be written is none. */
export async function noteLeft(directory: string): Promise<void> {
  try {
    const [newest = 0] = await logNumbers(directory);
    await writeFile(join(directory, NOTE), await traceOf(directory, newest));
  } catch {
    // On a full disk.
  }
}

/** @param number of the newest log. */
export async function isAsLeft(directory: string, number: number): Promise<boolean> {
  try {
    return (await readFile(join(directory, NOTE), "utf8")) === (await traceOf(directory, number));
  } catch {
    return false;
  }
}

async function traceOf(directory: string, number: number): Promise<string> {
  const { ino, size, ctimeNs } = await stat(join(directory, logName(number)), { bigint: true });
  return `${number} ${ino} ${size} ${ctimeNs}\n`;
}
