import { ProcessLog } from "../telemetry/process-log.ts";
import type { ExitCode } from "./command.ts";
import { readFile } from "./read-file.ts";
import { runProcess } from "./run-process.ts";
import { startSingle } from "./single.ts";
import { readStartUp } from "./start-up.ts";

/** `sidelane proxy --config FILE`: runs until it is told to end; a `RefusedError` when it cannot start. */
export async function proxy(file: string): Promise<ExitCode> {
  const { config, warnings, preloaded } = readStartUp(file, readFile(file));
  const log = new ProcessLog({ level: config.log.level, fields: { service: config.service } });
  for (const warning of warnings) log.warn(warning);
  // Several workers are rare, and their supervisor is only loaded when they are wanted.
  const start = config.workers === 1 ? startSingle : (await import("./supervise.ts")).startSupervisor;
  return runProcess((stop, signal) => start(config, log, stop, signal, preloaded), log);
}
