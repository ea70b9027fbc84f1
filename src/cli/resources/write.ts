// `create`, `update` and `delete`.

import { printable } from "../../base/printable.ts";
import { RefusedError } from "../../base/refused-error.ts";
import type { Kind } from "../../control/resource.ts";
import { mergePatch } from "../../control/resources/merge-patch.ts";
import { MisuseError } from "../command.ts";
import type { ExitCode, FlagValues } from "../command.ts";
import { controlAccess } from "../control-access.ts";
import { ControlClient } from "../../client/client.ts";
import { ControlRefusal } from "../../client/failure.ts";
import type { ResourceView, Spec } from "../../client/resource-view.ts";
import { parseDuration } from "../duration.ts";
import { readOutput, resourcesText } from "./output.ts";
import { readResourceFiles } from "./resource-file.ts";
import type { FileResource } from "./resource-file.ts";
import { listOf, patchFromFlags } from "./spec-flags.ts";
import { stderrOutput, waitFor } from "./waiting.ts";

/** `sidelane sandbox create NAME ...`, or the resources of files. */
export async function createCommand(kind: Kind, operands: readonly string[], flags: FlagValues): Promise<ExitCode> {
  const name = oneName(kind, operands);
  const withinMs = waitMs(flags);
  const output = readOutput(flags);
  const patch = patchFromFlags(kind, flags, false);
  const files = listOf(flags, "file");
  const wanted = files.length === 0 ? [fromFlags(kind, name, patch)] : await fromFiles(kind, name, files, patch);
  const client = new ControlClient(controlAccess(flags));
  const done: ResourceView[] = [];
  const failed: string[] = [];
  for (const resource of wanted) {
    try {
      const made = await client.create(resource.kind, resource.name, resource.spec, allowsUnknown(flags, resource));
      done.push(made);
      if (output === undefined) process.stdout.write(`${madeText(made, "created")}\n`);
      tellWarnings(made);
    } catch (error) {
      failed.push(located(resource, error));
    }
  }
  if (output !== undefined) printResources(done, output, wanted.length === 1);
  if (failed.length > 0) process.stderr.write(`${failed.join("\n")}\n`);
  const ready = withinMs === undefined ? true : await waitForAll(client, done, withinMs);
  return failed.length === 0 && ready ? 0 : 1;
}

/** `sidelane sandbox update NAME ...`: only what is given changes. */
export async function updateCommand(kind: Kind, operands: readonly string[], flags: FlagValues): Promise<ExitCode> {
  const name = oneName(kind, operands);
  const withinMs = waitMs(flags);
  const output = readOutput(flags);
  const fromFlagsAlone = patchFromFlags(kind, flags, true);
  const files = listOf(flags, "file");
  if (files.length > 1) throw new MisuseError("error: update takes one file; sidelane apply takes any number");
  const resources = files.length === 0 ? [] : await readResourceFiles(files, { kind, name });
  const [resource, second] = resources;
  if (second !== undefined)
    throw new RefusedError(`${second.at}: update takes one resource; sidelane apply takes any number`);
  if (resource !== undefined && resource.kind !== kind) {
    throw new RefusedError(`${resource.at}: this is a ${resource.kind}, write sidelane ${resource.kind} update`);
  }
  const patch = mergeKeepingNulls(resource?.spec ?? {}, fromFlagsAlone);
  const target = name ?? resource?.name;
  if (target === undefined) throw new MisuseError(`error: name the ${kind}: sidelane ${kind} update NAME`);
  if (Object.keys(patch).length === 0) {
    throw new MisuseError(`error: say what changes, see sidelane ${kind} update --help`);
  }
  const client = new ControlClient(controlAccess(flags));
  const options = { ifVersion: ifVersion(flags), allowUnknownServices: flags["allowUnknownServices"] === true };
  const made = await client.merge(kind, target, patch, options).catch((error: unknown) => {
    throw resource === undefined ? error : new RefusedError(located(resource, error));
  });
  tellWarnings(made);
  if (output === undefined) process.stdout.write(`${madeText(made, "updated")}\n`);
  else printResources([made], output, true);
  return withinMs === undefined || (await waitForAll(client, [made], withinMs)) ? 0 : 1;
}

/** `sidelane sandbox delete NAME...`, or the resources of files; those that others need go last. */
export async function deleteCommand(kind: Kind, names: readonly string[], flags: FlagValues): Promise<ExitCode> {
  const withinMs = waitMs(flags);
  const files = listOf(flags, "file");
  if (names.length + files.length === 0) {
    throw new MisuseError(`error: name what is to go: sidelane ${kind} delete NAME, or -f FILE`);
  }
  const version = ifVersion(flags);
  if (version !== undefined && names.length !== 1)
    throw new MisuseError("error: --if-version is of one resource, name one");
  const ofFiles = files.length === 0 ? [] : await readResourceFiles(files, { kind });
  const gone = [...names.map((name) => ({ kind, name })), ...ofFiles.toReversed()];
  const client = new ControlClient(controlAccess(flags));
  let code: ExitCode = 0;
  const deleted: { readonly kind: Kind; readonly name: string }[] = [];
  for (const one of gone) {
    try {
      await client.remove(one.kind, one.name, version);
      deleted.push(one);
      process.stdout.write(`${one.kind} ${printable(one.name)} deleted\n`);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      if (flags["ignoreMissing"] === true && error instanceof ControlRefusal && error.status === 404) {
        process.stdout.write(`${one.kind} ${printable(one.name)} is not there\n`);
        continue;
      }
      process.stderr.write(`${error.message}\n`);
      code = 1;
    }
  }
  if (withinMs === undefined) return code;
  for (const { kind: of, name } of deleted) {
    if (of === "sandbox" && !(await waitAndTell(client, name, "deleted", withinMs))) code = 1;
  }
  return code;
}

/** `sidelane sandbox wait NAME...` */
export async function waitCommand(names: readonly string[], flags: FlagValues): Promise<ExitCode> {
  const what = flags["for"] === "deleted" ? "deleted" : "ready";
  const withinMs = timeoutMs(flags);
  const client = new ControlClient(controlAccess(flags));
  let code: ExitCode = 0;
  for (const name of names) if (!(await waitAndTell(client, name, what, withinMs))) code = 1;
  return code;
}

/** Waits for the sandboxes among the resources. */
export async function waitForAll(
  client: ControlClient,
  resources: readonly ResourceView[],
  withinMs: number,
): Promise<boolean> {
  let all = true;
  for (const { kind, name } of resources) {
    if (kind === "sandbox" && !(await waitAndTell(client, name, "ready", withinMs))) all = false;
  }
  return all;
}

async function waitAndTell(
  client: ControlClient,
  name: string,
  what: "ready" | "deleted",
  withinMs: number,
): Promise<boolean> {
  const { result, message, status } = await waitFor(client, name, what, withinMs);
  const shown = printable(name);
  const state = what === "ready" ? "ready" : "gone";
  if (result === "reached") {
    stderrOutput.write(`${sentence(`sandbox ${shown} is ${state}`, message)}\n`);
    return true;
  }
  if (result === "interrupted") {
    const now = what === "ready" ? `sandbox ${shown} stays` : `sandbox ${shown} is deleted, sidecars may still have it`;
    const more =
      what === "ready"
        ? `, and 'sidelane sandbox wait ${shown}' goes on waiting; delete it with 'sidelane sandbox delete ${shown}'`
        : "";
    stderrOutput.write(`interrupted: ${now}${more}\n`);
    return false;
  }
  const lines = [sentence(`sandbox ${shown} is not ${state}`, message)];
  for (const condition of status?.conditions ?? []) {
    if (condition.type === "Expiring" || condition.status === "true" || message.includes(condition.message)) continue;
    lines.push(`  ${printable(condition.type)}: ${printable(condition.message)}`);
  }
  if (what === "ready")
    lines.push(
      `It stays as it is; 'sidelane sandbox get ${shown}' says how it stands, 'sidelane sandbox wait ${shown}' waits on.`,
    );
  stderrOutput.write(`${lines.join("\n")}\n`);
  return false;
}

/** The control plane's sentence, which may say by itself whose it is. */
function sentence(what: string, message: string): string {
  return message === "" || message.startsWith("the sandbox ") ? message || what : `${what}: ${message}`;
}

function fromFlags(kind: Kind, name: string | undefined, spec: Spec): FileResource {
  if (name === undefined)
    throw new MisuseError(`error: name the ${kind}: sidelane ${kind} create NAME, or give -f FILE`);
  if (kind === "sandbox" && spec["services"] === undefined) {
    throw new MisuseError(
      `error: say which services the sandbox has: sidelane sandbox create ${name} --service checkout=10.0.0.7:8080`,
    );
  }
  if (kind === "group" && (spec["sandboxes"] ?? spec["match"]) === undefined) {
    throw new MisuseError(
      `error: say which sandboxes the group has: sidelane group create ${name} --sandbox pr-7, or --match-all team=a`,
    );
  }
  return { kind, name, spec, at: "", locate: () => "", ofTable: false };
}

async function fromFiles(
  kind: Kind,
  name: string | undefined,
  files: readonly string[],
  patch: Spec,
): Promise<readonly FileResource[]> {
  const resources = await readResourceFiles(files, { kind, ...(name === undefined ? {} : { name }) });
  const own = resources.filter((resource) => resource.kind === kind);
  if (name !== undefined && own.length !== 1) {
    throw new MisuseError(
      `error: ${name} is one ${kind}, and there are ${own.length} in ${files.join(", ")}; leave the name out`,
    );
  }
  return resources.map((resource) =>
    resource.kind === kind ? { ...resource, spec: mergePatch(resource.spec, patch) as Spec } : resource,
  );
}

/** The patch that has the effect of one and then the other. */
function mergeKeepingNulls(first: Spec, second: Spec): Spec {
  const result: Record<string, unknown> = { ...first };
  for (const [field, value] of Object.entries(second)) {
    const before = result[field];
    const both = [before, value].every((one) => typeof one === "object" && one !== null && !Array.isArray(one));
    result[field] = both ? mergeKeepingNulls(before as Spec, value as Spec) : value;
  }
  return result;
}

/** What went wrong with a resource, each problem where it is written. */
export function located({ at, locate }: FileResource, error: unknown): string {
  if (!(error instanceof RefusedError)) throw error;
  if (at === "") return error.message;
  if (!(error instanceof ControlRefusal) || error.problems.length === 0) return `${at}: ${error.message}`;
  const lines = error.problems.map(({ pointer, text }) => `${locate(pointer)}: ${text}`);
  return [...lines, ...(error.hint === "" ? [] : [error.hint])].join("\n");
}

/** Whether services that nobody declared are taken: a table may have them, and whoever says so. */
export function allowsUnknown(flags: FlagValues, { ofTable }: FileResource): boolean {
  return flags["allowUnknownServices"] === true || ofTable;
}

/** What is legal and odd. */
export function tellWarnings({ kind, name, whole }: ResourceView): void {
  const { warnings } = whole;
  if (!Array.isArray(warnings)) return;
  const who = `${kind} ${name}`;
  for (const warning of warnings.map(String)) {
    const text = warning.startsWith(who) ? warning : `${who}: ${warning}`;
    process.stderr.write(`warning: ${printable(text)}\n`);
  }
}

/** `sandbox pr-7 created: key pr-7, version 12` */
export function madeText({ kind, name, spec, version }: ResourceView, what: string): string {
  const key = kind === "service" ? "" : `key ${String(spec["key"] ?? name)}, `;
  return printable(`${kind} ${name} ${what}: ${key}version ${version}`);
}

function printResources(
  resources: readonly ResourceView[],
  output: "table" | "json" | "yaml" | "name",
  one: boolean,
): void {
  if (output === "table") for (const resource of resources) process.stdout.write(`${madeText(resource, "written")}\n`);
  else process.stdout.write(resourcesText(resources, output, one));
}

function oneName(kind: Kind, operands: readonly string[]): string | undefined {
  if (operands.length > 1)
    throw new MisuseError(`error: one ${kind} at a time: '${operands[1]}' is one too many; -f FILE takes several`);
  return operands[0];
}

function ifVersion(flags: FlagValues): number | undefined {
  const text = flags["ifVersion"];
  if (typeof text !== "string") return undefined;
  if (!/^[0-9]{1,15}$/u.test(text)) {
    throw new MisuseError(`error: --if-version '${text}' is no version, write the number that 'get' shows, as in 17`);
  }
  return Number(text);
}

/** How long `--wait` waits; undefined without it. */
export function waitMs(flags: FlagValues): number | undefined {
  if (flags["wait"] === true) return timeoutMs(flags);
  if (flags["timeout"] !== undefined) throw new MisuseError("error: --timeout is how long --wait waits, give both");
  return undefined;
}

function timeoutMs(flags: FlagValues): number {
  const { timeout } = flags;
  return parseDuration(typeof timeout === "string" ? timeout : "60s", "--timeout", "60s") * 1000;
}
