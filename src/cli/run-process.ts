import { AssertionError } from "../base/assert.ts";
import { RefusedError } from "../base/refused-error.ts";
import type { Log } from "../base/log.ts";
import type { ExitCode } from "./command.ts";
import { runUntilSignal } from "./run-until-signal.ts";

/**
 * A command that serves until it is told to end (`runUntilSignal`). What nobody has caught is told in the log and ends the process;
 * what keeps it from starting is a `RefusedError`, unless it is a bug.
 */
export async function runProcess(start: Parameters<typeof runUntilSignal>[0], log: Log): Promise<ExitCode> {
  process.on("uncaughtException", (error) => {
    log.error("uncaught exception, ending", { error: error.stack ?? String(error) });
    process.exit(1);
  });
  try {
    return await runUntilSignal(start, log);
  } catch (error) {
    if (!(error instanceof Error) || isBug(error)) throw error;
    throw new RefusedError(error.message);
  }
}

/** A bug shows its stack; a bad table or an address that is taken does not. */
function isBug(error: Error): boolean {
  return [TypeError, RangeError, ReferenceError, AssertionError].some((kind) => error instanceof kind);
}
