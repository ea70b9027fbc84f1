import { RefusedError } from "../base/refused-error.ts";
import { AssertionError } from "../base/assert.ts";
import { ProcessLog } from "../telemetry/process-log.ts";
import type { ExitCode } from "./command.ts";
import { readFile } from "./read-file.ts";
import { runUntilSignal } from "./run-until-signal.ts";
import { startSingle } from "./single.ts";
import { readStartUp } from "./start-up.ts";

/** `sidelane proxy --config FILE`: runs until it is told to end; a `RefusedError` when it cannot start. */
export async function proxy(file: string): Promise<ExitCode> {
  const { config, warnings, preloaded } = readStartUp(file, readFile(file));
  const log = new ProcessLog({ level: config.log.level, fields: { service: config.service } });
  for (const warning of warnings) log.warn(warning);

  process.on("uncaughtException", (error) => {
    log.error("uncaught exception, ending", { error: error.stack ?? String(error) });
    process.exit(1);
  });
  // Several workers are rare, and their supervisor is only loaded when they are wanted.
  const start = config.workers === 1 ? startSingle : (await import("./supervise.ts")).startSupervisor;
  try {
    return await runUntilSignal((stop, signal) => start(config, log, stop, signal, preloaded), log);
  } catch (error) {
    if (!(error instanceof Error) || isBug(error)) throw error;
    throw new RefusedError(error.message);
  }
}

/** A bug shows its stack; a bad table or an address that is taken does not. */
export function isBug(error: Error): boolean {
  return [TypeError, RangeError, ReferenceError, AssertionError].some((kind) => error instanceof kind);
}
