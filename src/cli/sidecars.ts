// `sidelane sidecars`: who follows the table, and how far they are.

import { printable } from "../base/printable.ts";
import type { ExitCode, FlagValues } from "./command.ts";
import { controlAccess } from "./control-access.ts";
import { ControlClient, listIn } from "../client/client.ts";
import { shortDuration } from "./duration.ts";
import { isMap } from "../base/is-map.ts";
import { dataText, readOutput } from "./resources/output.ts";
import { tableText } from "./resources/table-text.ts";

type Sidecar = Readonly<Record<string, unknown>>;

/** Prints those of all replicas; 1 when a replica did not answer, because then some may be missing. */
export async function sidecarsCommand(flags: FlagValues): Promise<ExitCode> {
  const output = readOutput(flags) ?? "table";
  const client = new ControlClient(controlAccess(flags));
  const answer = await client.read("/v1/sidecars");
  const all = listIn(answer, "sidecars").filter(isMap);
  const { service, sandbox } = flags;
  const sidecars = all.filter(
    (one) =>
      (service === undefined || one["service"] === service) && (sandbox === undefined || one["sandbox"] === sandbox),
  );
  const missing = (isMap(answer) ? listIn(answer["missing"], "") : []).filter(isMap);
  for (const { replica, why } of missing) {
    process.stderr.write(printable(`not asked: control replica ${String(replica)}: ${String(why)}`) + "\n");
  }
  if (output === "json" || output === "yaml") process.stdout.write(dataText(sidecars, output, false));
  else if (sidecars.length === 0) process.stderr.write(`${emptyText(all.length > 0)}\n`);
  else {
    const sorted = sidecars.toSorted((a, b) => place(a).localeCompare(place(b)));
    const headings = ["SERVICE", "SANDBOX", "HOST", "VERSION", "REVISION", "SINCE", "STATE"];
    process.stdout.write(tableText(headings, sorted.map(row)));
  }
  return missing.length === 0 ? 0 : 1;
}

function emptyText(others: boolean): string {
  return others
    ? "no sidecar of this service and sandbox follows the table"
    : "no sidecar follows the table; sidecars do when their config has 'table: { control: HOST:PORT }', with the address of the table feed";
}

function place(one: Sidecar): string {
  return [text(one, "service"), text(one, "sandbox"), text(one, "host"), text(one, "instance")].join(" ");
}

function row(one: Sidecar): readonly string[] {
  const since = shortDuration(Date.now() - Date.parse(text(one, "since")));
  return [
    text(one, "service"),
    text(one, "sandbox") || "-",
    text(one, "host"),
    text(one, "version"),
    text(one, "appliedRevision"),
    since,
    stateText(one),
  ];
}

function stateText(one: Sidecar): string {
  if (one["connected"] !== true) return "not connected";
  const error = text(one, "error");
  if (error !== "") return `refused the newest table: ${error}`;
  const wanted = Number(one["wantedRevision"] ?? 0);
  const busy = listIn(one["busy"], "").filter(isMap);
  const running = busy.map((what) => `, ${text(what, "exchanges")} running for ${text(what, "sandbox")}`).join("");
  return `${Number(one["appliedRevision"] ?? 0) < wanted ? `behind, revision ${wanted} is due` : "current"}${running}`;
}

function text(fields: Readonly<Record<string, unknown>>, name: string): string {
  const value = fields[name];
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}
