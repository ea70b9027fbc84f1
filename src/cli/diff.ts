// `sidelane diff`: which decisions change between two tables, each a file or a control plane's.

import { printable } from "../base/printable.ts";
import { RefusedError } from "../base/refused-error.ts";
import { styleText } from "node:util";
import { readTable } from "../config/load-table.ts";
import { formatProblem } from "../config/problem.ts";
import { diffTables } from "../routing/diff-tables.ts";
import type { ChangedKeys, DecisionChange, Outcome, TableDiff } from "../routing/diff-tables.ts";
import type { TableDocument } from "../routing/document.ts";
import { MisuseError } from "./command.ts";
import type { ExitCode, FlagValues } from "./command.ts";
import { controlAccess } from "./control-access.ts";
import { ControlClient } from "../client/client.ts";
import { controlTable } from "../client/control-table.ts";
import { readFile } from "./read-file.ts";
import { dataText, readOutput } from "./resources/output.ts";

/** Lines of each kind of change that are printed; `-o json` has more. */
const LINES_MAX = 100;
const KEYS_MAX = 6;
const JSON_CHANGES_MAX = 10_000;
const JSON_KEYS_MAX = 100;

/** 0: every request goes where it went, 1: some do not. */
export async function diffCommand(operands: readonly string[], flags: FlagValues): Promise<ExitCode> {
  const [before, after, more] = operands;
  if (before === undefined || after === undefined || more !== undefined) {
    throw new MisuseError("error: diff compares two tables, as in: sidelane diff control routes.yaml");
  }
  const output = readOutput(flags) ?? "table";
  const [a, b] = await Promise.all([readSide(before, flags), readSide(after, flags)]);
  const isData = output === "json" || output === "yaml";
  const bounds = isData
    ? { changesMax: JSON_CHANGES_MAX, keysMax: JSON_KEYS_MAX }
    : { changesMax: LINES_MAX, keysMax: KEYS_MAX };
  const diff = diffTables(a.document, b.document, bounds);
  if (isData) process.stdout.write(dataText([{ before: a.name, after: b.name, ...diff }], output, true));
  else process.stdout.write(diffText(diff, a.name, b.name));
  return diff.same ? 0 : 1;
}

interface Side {
  readonly name: string;
  readonly document: TableDocument;
}

/** `control`: that of the flags; a URL: that one; else a file. */
async function readSide(text: string, flags: FlagValues): Promise<Side> {
  const isUrl = /^https?:\/\//iu.test(text);
  if (text !== "control" && !isUrl) {
    const read = readTable(readFile(text), text);
    if (!read.ok) throw new RefusedError(read.problems.map(formatProblem).join("\n"));
    return { name: text, document: read.document };
  }
  const access = controlAccess(isUrl ? { ...flags, control: text } : flags);
  const { document, revision } = await controlTable(new ControlClient(access));
  return { name: `${access.url} revision ${revision}`, document };
}

/** For the terminal; ends with a newline. */
export function diffText(diff: TableDiff, before: string, after: string): string {
  const title = `${printable(before)} -> ${printable(after)}`;
  if (diff.same) return `${title}: every request goes where it went\n`;
  const { keys, hosts, decisions } = diff;
  const lines = [paint("bold", title)];
  const section = (name: string, shown: readonly string[], count: number): void => {
    if (count === 0) return;
    lines.push("", paint("bold", name), ...shown.map((line) => `  ${line}`));
    if (count > shown.length) lines.push(`  and ${count - shown.length} more`);
  };
  const none = "none, the baseline answers (or nobody, where onUnknownKey is reject)";
  section(
    "keys",
    keys.listed.map(({ key, before: was, after: is }) => arrow(printable(key), was ?? none, is ?? none)),
    keys.count,
  );
  section(
    "hosts",
    hosts.listed.map(({ host, before: was, after: is }) =>
      arrow(host, was ?? "not in the table", is ?? "not in the table"),
    ),
    hosts.count,
  );
  const services = new Map<string, DecisionChange[]>();
  for (const change of decisions.listed) {
    const title_ = serviceTitle(change);
    const own = services.get(title_);
    if (own === undefined) services.set(title_, [change]);
    else own.push(change);
  }
  for (const [name, changes] of services) {
    const shown = changes.map((change) =>
      arrow(keysText(change.for), outcomeText(change.before), outcomeText(change.after)),
    );
    section(name, shown, shown.length);
  }
  if (decisions.count > decisions.listed.length) {
    lines.push(
      "",
      `and ${decisions.count - decisions.listed.length} more changes; -o json has up to ${JSON_CHANGES_MAX}`,
    );
  }
  return `${lines.join("\n")}\n`;
}

function serviceTitle({ service, port, inboundOnly }: DecisionChange): string {
  const which = port === "" ? "" : port === "*" ? ", any other port" : port.startsWith(":") ? port : `, port ${port}`;
  return printable(`${service}${which}${inboundOnly ? " (listeners of its sidecars that name it)" : ""}`);
}

function arrow(what: string, was: string, is: string): string {
  return `${what}: ${paint("red", printable(was))} -> ${paint("green", printable(is))}`;
}

function keysText({ none, unknown, count, keys }: ChangedKeys): string {
  const parts = [
    ...(none ? ["no key"] : []),
    ...(unknown ? ["any unknown key"] : []),
    ...(count === 0 ? [] : [`${count === 1 ? "key" : "keys"} ${keys.map(printable).join(", ")}`]),
  ];
  const text = parts.length > 2 ? `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}` : parts.join(" and ");
  return count > keys.length ? `${text} and ${count - keys.length} more` : text;
}

function outcomeText({ destination, endpoints, strict, inTable }: Outcome): string {
  if (strict && (destination === "passthrough" || destination === "baseline")) return "refused: its sandbox is strict";
  if (!inTable && destination === "passthrough") return "not in the table, to the authority itself";
  const where = endpoints.length === 0 ? "" : ` ${endpoints.join(", ")}`;
  if (destination === "baseline") return inTable ? `baseline${where}` : "baseline (the table has no such port)";
  return `sandbox ${destination}${where}${strict ? " (strict)" : ""}`;
}

function paint(style: "bold" | "red" | "green", text: string): string {
  return styleText(style, text, { stream: process.stdout });
}
