import { RefusedError } from "../base/refused-error.ts";
import { resolve } from "node:path";
import { checkControlFiles } from "../config/check-control-files.ts";
import type { ControlConfig } from "../config/control-config.ts";
import { loadControlConfig } from "../config/load-control-config.ts";
import { formatProblem } from "../config/problem.ts";
import { startControl } from "../control/start-control.ts";
import { ProcessLog } from "../telemetry/process-log.ts";
import type { ExitCode, FlagValues } from "./command.ts";
import { packageVersion } from "./package-version.ts";
import { readFile } from "./read-file.ts";
import { runProcess } from "./run-process.ts";

/** `sidelane control`: runs until it is told to end; a `RefusedError` when it cannot start. */
export async function control(flags: FlagValues): Promise<ExitCode> {
  const { config, warnings } = configOf(flags["config"] as string | undefined, flags["store"] as string | undefined);
  const log = new ProcessLog({ level: config.log.level });
  for (const warning of warnings) log.warn(warning);
  return runProcess(async () => {
    const replica = await startControl(config, log, packageVersion());
    const { api, feed } = replica;
    return { listeners: { api, feed }, admin: undefined, ownership: undefined, drain: () => replica.close() };
  }, log);
}

/** Without a file everything comes from the environment and the defaults. */
function configOf(
  file: string | undefined,
  store: string | undefined,
): { readonly config: ControlConfig; readonly warnings: readonly string[] } {
  const text = file === undefined ? "{}" : readFile(file).toString("utf8");
  const loaded = loadControlConfig(text, file ?? resolve("control.yaml"), process.env, store);
  if (!loaded.ok) throw new RefusedError(loaded.problems.map(formatProblem).join("\n"));
  const files = checkControlFiles(loaded.config, loaded.source);
  if (files.problems.length > 0) throw new RefusedError(files.problems.map(formatProblem).join("\n"));
  return { config: loaded.config, warnings: [...loaded.warnings, ...files.byTime].map(formatProblem) };
}
