import { AssertionError } from "../base/assert.ts";
import { formatProblem } from "../config/problem.ts";
import { loadConfig } from "../config/load-config.ts";
import { ProcessLog } from "../telemetry/process-log.ts";
import { RefusedError } from "./command.ts";
import type { ExitCode } from "./command.ts";
import { readFile } from "./read-file.ts";
import { runUntilSignal } from "./run-until-signal.ts";
import { startSingle } from "./single.ts";

/** `sidelane proxy --config FILE`: runs until it is told to end; a `RefusedError` when it cannot start. */
export async function proxy(file: string): Promise<ExitCode> {
  const loaded = loadConfig(readFile(file).toString("utf8"), file, process.env);
  if (!loaded.ok) throw new RefusedError(loaded.problems.map(formatProblem).join("\n"));
  const { config } = loaded;
  const log = new ProcessLog({ level: config.log.level, fields: { service: config.service } });
  for (const warning of loaded.warnings) log.warn(formatProblem(warning));

  process.on("uncaughtException", (error) => {
    log.error("uncaught exception, ending", { error: error.stack ?? String(error) });
    process.exit(1);
  });
  // Several workers are rare, and their supervisor is only loaded when they are wanted.
  const start = config.workers === 1 ? startSingle : (await import("./supervise.ts")).startSupervisor;
  try {
    return await runUntilSignal((stop) => start(config, log, stop), log);
  } catch (error) {
    if (!(error instanceof Error) || isBug(error)) throw error;
    throw new RefusedError(error.message);
  }
}

/** A bug shows its stack; a bad table or an address that is taken does not. */
function isBug(error: Error): boolean {
  return [TypeError, RangeError, ReferenceError, AssertionError].some((kind) => error instanceof kind);
}
