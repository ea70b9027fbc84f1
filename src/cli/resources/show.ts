// `get` and `list`.

import type { Kind } from "../../control/resource.ts";
import type { ExitCode, FlagValues } from "../command.ts";
import { controlAccess } from "../control-access.ts";
import { ControlClient } from "../../client/client.ts";
import { plurals } from "../../client/resource-view.ts";
import type { ResourceView } from "../../client/resource-view.ts";
import { parseDuration } from "../duration.ts";
import { listText, resourceText } from "./columns.ts";
import { readOutput, resourcesText } from "./output.ts";
import { listOf, readLabelFilters } from "./spec-flags.ts";

/** `sidelane sandbox get NAME...` */
export async function getCommand(kind: Kind, names: readonly string[], flags: FlagValues): Promise<ExitCode> {
  const client = new ControlClient(controlAccess(flags));
  const resources: ResourceView[] = [];
  for (const name of names) resources.push(await client.get(kind, name));
  const output = readOutput(flags) ?? "table";
  process.stdout.write(
    output === "table"
      ? resources.map((resource) => resourceText(resource, Date.now())).join("\n")
      : resourcesText(resources, output, names.length === 1),
  );
  return 0;
}

/** `sidelane sandbox list` */
export async function listCommand(kind: Kind, flags: FlagValues): Promise<ExitCode> {
  const labels = readLabelFilters(listOf(flags, "label"));
  const owner = typeof flags["owner"] === "string" ? flags["owner"] : undefined;
  const { within } = flags;
  const withinMs = typeof within === "string" ? parseDuration(within, "--within", "10s") * 1000 : undefined;
  const output = readOutput(flags) ?? "table";
  const client = new ControlClient(controlAccess(flags));
  const resources = await client.list(kind, {
    labels,
    ...(owner === undefined ? {} : { owner }),
    ...(withinMs === undefined ? {} : { withinMs }),
  });
  if (output !== "table") process.stdout.write(resourcesText(resources, output, false));
  else if (resources.length > 0) process.stdout.write(listText(kind, resources, Date.now()));
  else process.stderr.write(`${emptyText(kind, client.access.url, labels.length > 0 || owner !== undefined)}\n`);
  return 0;
}

function emptyText(kind: Kind, url: string, filtered: boolean): string {
  const all = plurals[kind];
  if (filtered) return `no ${all} of ${url} fit; without --label and --owner all are listed`;
  return `${url} has no ${all} yet; ${next[kind]}`;
}

const next: Readonly<Record<Kind, string>> = {
  sandbox: "make one: sidelane sandbox create pr-7 --service checkout=10.0.0.7:8080",
  group: "make one: sidelane group create release-42 --sandbox pr-7 --sandbox pr-9",
  service:
    "make one: sidelane service create checkout --baseline checkout:8080, or import a table: sidelane apply -f routes.yaml",
};
