import { RefusedError } from "../base/refused-error.ts";
import { loadOperatorConfig } from "../config/operator-config.ts";
import { formatProblem } from "../config/problem.ts";
import { connectKube } from "../kube/client.ts";
import { cleanUp } from "../operator/cleanup.ts";
import { startOperator } from "../operator/start-operator.ts";
import { ProcessLog } from "../telemetry/process-log.ts";
import { MisuseError } from "./command.ts";
import type { ExitCode, FlagValues } from "./command.ts";
import { parseDuration } from "./duration.ts";
import { isBug } from "./proxy.ts";
import { readFile } from "./read-file.ts";
import { runUntilSignal } from "./run-until-signal.ts";

/** `sidelane operator`: runs until it is told to end; a `RefusedError` when it cannot start. */
export async function operator(flags: FlagValues): Promise<ExitCode> {
  if (flags["cleanup"] === true) return cleanup(flags);
  if (typeof flags["config"] !== "string") {
    throw new MisuseError(
      "error: which operator config? Write --config FILE, or --cleanup to take away what Sidelane has made",
    );
  }
  const file = flags["config"];
  const loaded = loadOperatorConfig(readFile(file).toString("utf8"), file);
  if (!loaded.ok) throw new RefusedError(loaded.problems.map(formatProblem).join("\n"));
  const { config } = loaded;
  const log = new ProcessLog({ level: config.log.level });
  process.on("uncaughtException", (error) => {
    log.error("uncaught exception, ending", { error: error.stack ?? String(error) });
    process.exit(1);
  });
  const kubeconfig = flags["kubeconfig"];
  try {
    const kube = await connectKube({ kubeconfig: typeof kubeconfig === "string" ? kubeconfig : undefined });
    return await runUntilSignal(async () => {
      const running = await startOperator(config, kube, log);
      return { listeners: {}, admin: running.admin, ownership: undefined, drain: () => running.close() };
    }, log);
  } catch (error) {
    if (!(error instanceof Error) || isBug(error)) throw error;
    throw new RefusedError(error.message);
  }
}

/** `sidelane operator --cleanup`: 1 when something is left. */
async function cleanup(flags: FlagValues): Promise<ExitCode> {
  const { kubeconfig, within } = flags;
  const withinMs = parseDuration(typeof within === "string" ? within : "120s", "--within", "120s") * 1000;
  const client = await connectKube({ kubeconfig: typeof kubeconfig === "string" ? kubeconfig : undefined });
  try {
    const log = new ProcessLog({ level: "info" });
    return (await cleanUp({ client, namespace: client.namespace ?? "sidelane", log, withinMs })) ? 0 : 1;
  } finally {
    client.close();
  }
}
