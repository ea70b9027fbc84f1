// Waiting for the first table: with a file there is one at once or never, with a control plane it takes as long as it takes.

import type { Log } from "../base/log.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";

/** Says that the listeners are not open yet, where that may last. */
export function sayWaiting({ table }: ProxyConfig, log: Log, admin: string): void {
  if (table.control === undefined) return;
  log.info("the listeners open with the first table", { control: table.control, keep: table.keep, admin });
}

/** What `opening` resolves with; undefined when the signal came first, after `close`, which ends the opening. */
export async function unlessAborted<T>(
  signal: AbortSignal,
  opening: Promise<T>,
  close: () => Promise<void>,
): Promise<T | undefined> {
  let closing: Promise<void> | undefined;
  const abandon = (): void => void (closing = close());
  if (signal.aborted) abandon();
  else signal.addEventListener("abort", abandon);
  try {
    const opened = await opening;
    // Opened all the same, in the last moment: it is closed by now, or about to be.
    return closing === undefined ? opened : undefined;
  } catch (error) {
    if (closing === undefined) throw error;
    return undefined;
  } finally {
    signal.removeEventListener("abort", abandon);
    await closing;
  }
}
