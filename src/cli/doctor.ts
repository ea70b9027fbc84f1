// `sidelane doctor`: looks at a set-up and says what is wrong with it.

import { existsSync } from "node:fs";
import { ControlClient } from "../client/client.ts";
import { Findings } from "../doctor/finding.ts";
import { reportText } from "../doctor/report.ts";
import { MisuseError } from "./command.ts";
import type { ExitCode, FlagValues } from "./command.ts";
import { controlAccess } from "./control-access.ts";
import { packageVersion } from "./package-version.ts";
import { dataText, readOutput } from "./resources/output.ts";

/** Where a compose file is looked for when nothing was named, as Compose itself does. */
const usualFiles = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/** Looks at what the flags name; 1 when something is wrong. */
export async function doctor(flags: FlagValues): Promise<ExitCode> {
  const output = readOutput(flags) ?? "table";
  const files = composeFiles(flags);
  const hasControl = flags["control"] !== undefined;
  const hasCluster = flags["kubernetes"] === true;
  if (files.length === 0 && !hasControl && !hasCluster) {
    throw new MisuseError(
      "error: there is nothing to look at: name --kubernetes, --compose FILE or --control URL, or go where a compose.yaml is",
    );
  }
  const findings = new Findings();
  if (files.length > 0) {
    const { readComposeFiles } = await import("../doctor/compose/compose-file.ts");
    const { examineCompose } = await import("../doctor/compose/examine-compose.ts");
    examineCompose(files.at(-1) ?? "", readComposeFiles(files, process.env), findings);
  }
  if (hasCluster) {
    const { examineCluster } = await import("../doctor/kubernetes/examine-cluster.ts");
    const word = (flag: string): string | undefined => (typeof flags[flag] === "string" ? flags[flag] : undefined);
    await examineCluster(
      {
        kubeconfig: word("kubeconfig"),
        context: word("context"),
        namespace: word("installNamespace") ?? "sidelane",
        version: packageVersion(),
      },
      findings,
    );
  }
  if (hasControl) {
    const { examineControl } = await import("../doctor/examine-control.ts");
    await examineControl(new ControlClient(controlAccess(flags)), packageVersion(), findings);
  }
  const { all } = findings;
  process.stdout.write(output === "json" || output === "yaml" ? dataText(all, output, false) : reportText(all));
  return all.some(({ level }) => level === "error") ? 1 : 0;
}

function composeFiles(flags: FlagValues): readonly string[] {
  const { compose, control, kubernetes } = flags;
  if (Array.isArray(compose)) return compose as readonly string[];
  if (typeof compose === "string") return [compose];
  if (control !== undefined || kubernetes === true) return [];
  const found = usualFiles.find((file) => existsSync(file));
  return found === undefined ? [] : [found];
}
