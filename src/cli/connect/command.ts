// `sidelane connect`: the requests of a sandbox come to this machine.

import type { ControlAccess } from "../../client/access.ts";
import { hostname } from "node:os";
import { NAME_LENGTH_MAX, checkTargetName } from "../../routing/names.ts";
import type { ExitCode, FlagValues } from "../command.ts";
import { MisuseError } from "../command.ts";
import { controlAccess } from "../control-access.ts";
import { parseLocalTargets } from "./local-target.ts";
import { connectMachine } from "./machine.ts";
import { jsonReport, textReport } from "./report.ts";

/** Runs until Ctrl-C: 0; a `RefusedError` when the control plane says no. */
export async function connectCommand(flags: FlagValues): Promise<ExitCode> {
  const sandbox = String(flags["sandbox"]);
  const malformed = checkTargetName(sandbox);
  if (malformed !== undefined && sandbox.length <= NAME_LENGTH_MAX) {
    throw new MisuseError(`error: --sandbox '${sandbox}': ${malformed.problem}, ${malformed.hint}`);
  }
  const targets = parseLocalTargets(flags["service"] as readonly string[]);
  const output = { write: (text: string) => void process.stdout.write(text), isTerminal: process.stdout.isTTY };
  const leave = new AbortController();
  const onSignal = (): void => {
    if (leave.signal.aborted) process.exit(1);
    leave.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  try {
    await connectMachine({
      accesses: controlAccesses(flags),
      sandbox,
      targets,
      create: flags["create"] === true,
      takeOver: flags["takeOver"] === true,
      machine: hostname(),
      report: flags["output"] === "json" ? jsonReport(output) : textReport(output),
      leave: leave.signal,
    });
    return 0;
  } catch (error) {
    // The line of counts makes room for the reason.
    if (output.isTerminal) output.write("\r\u001b[K");
    throw error;
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}

/** One for each replica: the URL may be several. */
function controlAccesses(flags: FlagValues): readonly ControlAccess[] {
  const accesses: ControlAccess[] = [];
  for (let one: ControlAccess | undefined = controlAccess(flags); one !== undefined; one = one.next) accesses.push(one);
  return accesses;
}
