// `sidelane audit`: who changed what.

import { MisuseError } from "./command.ts";
import type { ExitCode, FlagValues } from "./command.ts";
import { controlAccess } from "./control-access.ts";
import { ControlClient, listIn } from "../client/client.ts";
import { shortDuration } from "./duration.ts";
import { dataText, readOutput } from "./resources/output.ts";
import { tableText } from "./resources/table-text.ts";

type Entry = Readonly<Record<string, unknown>>;

/** Prints the newest entries, newest first. */
export async function auditCommand(flags: FlagValues): Promise<ExitCode> {
  const { kind, name, limit = "20" } = flags;
  if (!/^[0-9]{1,5}$/u.test(String(limit)) || Number(limit) < 1) {
    throw new MisuseError(`error: --limit '${String(limit)}' is no number of entries, write it as in 20`);
  }
  const query = new URLSearchParams({ limit: String(limit) });
  if (typeof kind === "string") query.set("kind", kind);
  if (typeof name === "string") query.set("name", name);
  const output = readOutput(flags) ?? "table";
  const client = new ControlClient(controlAccess(flags));
  const entries = listIn(await client.read(`/v1/audit?${query.toString()}`), "entries") as readonly Entry[];
  if (output === "json" || output === "yaml") process.stdout.write(dataText(entries, output, false));
  else if (entries.length === 0) process.stderr.write("nothing was changed yet, as far as the audit log goes back\n");
  else process.stdout.write(tableText(["WHEN", "WHO", "DID", "REVISION", "WHAT"], entries.map(row)));
  return 0;
}

function row(entry: Entry): readonly string[] {
  const text = (field: string): string => String(entry[field] ?? "");
  const when = `${shortDuration(Date.now() - Date.parse(text("at")))} ago`;
  return [when, text("actor"), `${text("action")} ${text("kind")} ${text("name")}`, text("revision"), text("detail")];
}
