import { RefusedError } from "../base/refused-error.ts";
import { loadWebhookConfig } from "../config/load-webhook-config.ts";
import { formatProblem } from "../config/problem.ts";
import { connectKube } from "../kube/client.ts";
import { ProcessLog } from "../telemetry/process-log.ts";
import { startWebhook } from "../webhook/start-webhook.ts";
import type { ExitCode } from "./command.ts";
import { packageVersion } from "./package-version.ts";
import { readFile } from "./read-file.ts";
import { runProcess } from "./run-process.ts";

/** `sidelane webhook`: runs until it is told to end; a `RefusedError` when it cannot start. */
export async function webhook(file: string): Promise<ExitCode> {
  const loaded = loadWebhookConfig(readFile(file).toString("utf8"), file, process.env);
  if (!loaded.ok) throw new RefusedError(loaded.problems.map(formatProblem).join("\n"));
  const { config } = loaded;
  const log = new ProcessLog({ level: config.log.level });
  const client = await connectKube({ kubeconfig: config.kubeconfig });
  try {
    return await runProcess(async (_, signal) => {
      const running = await startWebhook(config, { client, log, version: packageVersion(), signal });
      if (running === undefined) return undefined;
      const { reviews, admin } = running;
      return { listeners: { reviews }, admin, ownership: undefined, drain: () => running.close() };
    }, log);
  } finally {
    client.close();
  }
}
