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
import { readFile } from "./read-file.ts";
import { runProcess } from "./run-process.ts";

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
  const kubeconfig = flags["kubeconfig"];
  return runProcess(async () => {
    const kube = await connectKube({ kubeconfig: typeof kubeconfig === "string" ? kubeconfig : undefined });
    const running = await startOperator(config, kube, log);
    return { listeners: {}, admin: running.admin, ownership: undefined, drain: () => running.close() };
  }, log);
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
