// `sidelane apply`: makes what is not there, changes what differs, leaves the rest alone.

import type { ExitCode, FlagValues } from "../command.ts";
import { controlAccess } from "../control-access.ts";
import { ControlClient } from "../../client/client.ts";
import { ControlRefusal } from "../../client/failure.ts";
import type { ResourceView } from "../../client/resource-view.ts";
import { readOutput, resourcesText } from "./output.ts";
import { readResourceFiles } from "./resource-file.ts";
import type { FileResource } from "./resource-file.ts";
import { listOf } from "./spec-flags.ts";
import { allowsUnknown, located, madeText, tellWarnings, waitForAll, waitMs } from "./write.ts";

/** Somebody else may write between reading and writing; then it is compared anew. */
const ATTEMPTS_MAX = 5;

/** Does what the files say; the resources that cannot be are told, and the others made. 1 when there is one of them. */
export async function applyCommand(flags: FlagValues): Promise<ExitCode> {
  const resources = await readResourceFiles(listOf(flags, "file"));
  const withinMs = waitMs(flags);
  const output = readOutput(flags);
  const client = new ControlClient(controlAccess(flags));
  const done: ResourceView[] = [];
  const failed: string[] = [];
  for (const resource of resources) {
    try {
      const { what, view } = await apply(client, resource, flags);
      done.push(view);
      tellWarnings(view);
      if (output === undefined || output === "table") process.stdout.write(`${madeText(view, what)}\n`);
    } catch (error) {
      failed.push(located(resource, error));
    }
  }
  if (output !== undefined && output !== "table") process.stdout.write(resourcesText(done, output, false));
  if (failed.length > 0) process.stderr.write(`${failed.join("\n")}\n`);
  const ready = withinMs === undefined || (await waitForAll(client, done, withinMs));
  return failed.length === 0 && ready ? 0 : 1;
}

async function apply(client: ControlClient, resource: FileResource, flags: FlagValues): Promise<Applied> {
  const { kind, name, spec } = resource;
  const allowUnknownServices = allowsUnknown(flags, resource);
  for (let attempt = 1; ; attempt++) {
    const before = await client.find(kind, name);
    try {
      const view = await client.replace(kind, name, spec, { ifVersion: before?.version, allowUnknownServices });
      // What is the same already is not written again.
      const what = before === undefined ? "created" : view.version === before.version ? "unchanged" : "changed";
      return { what, view };
    } catch (error) {
      const raced = error instanceof ControlRefusal && error.status === 412;
      if (!raced || attempt >= ATTEMPTS_MAX) throw error;
    }
  }
}

interface Applied {
  readonly what: "created" | "changed" | "unchanged";
  readonly view: ResourceView;
}
