import { RefusedError } from "../base/refused-error.ts";
import { styleText } from "node:util";
import { loadConfig } from "../config/load-config.ts";
import { loadTable, tableDigest } from "../config/load-table.ts";
import { formatProblem } from "../config/problem.ts";
import type { Problem } from "../config/problem.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import { compile } from "../routing/compile.ts";
import { CompiledTable } from "../routing/compiled-table.ts";
import type { Explanation } from "../routing/explain.ts";
import { explanationText } from "../routing/explain-text.ts";
import { hostHeader } from "./asked-view.ts";
import { MisuseError } from "./command.ts";
import type { ExitCode, FlagValues } from "./command.ts";
import { explainPlain, explainWith } from "./policy.ts";
import type { Asked } from "./policy.ts";
import { readFile } from "./read-file.ts";

/** `sidelane explain`: prints the decision and the way to it. */
export async function explainCommand(flags: FlagValues): Promise<ExitCode> {
  const asked = parseAsked(flags);
  const configFile = flags["config"] as string | undefined;
  const config = configFile === undefined ? undefined : readConfig(configFile);
  const { table, source } = await tableOf(flags, config);
  const explanation = config === undefined ? explainWithout(table, asked) : explainAsConfigured(config, table, asked);
  if (flags["json"] === true) {
    const whole = source === undefined ? explanation : { ...explanation, source };
    process.stdout.write(`${JSON.stringify(whole, null, 2)}\n`);
    return 0;
  }
  process.stdout.write(explanationText(explanation, paint));
  if (source !== undefined) {
    process.stdout.write(`     ${"source".padEnd(11)}control plane ${source.control}, revision ${source.revision}\n`);
  }
  return 0;
}

/** The table that is asked, and whose it is if it is not a file. */
interface AskedTable {
  readonly table: CompiledTable;
  readonly source?: { readonly control: string; readonly revision: number };
}

async function tableOf(flags: FlagValues, config: ProxyConfig | undefined): Promise<AskedTable> {
  const { control, table: file } = flags;
  if (control !== undefined && file !== undefined) {
    throw new MisuseError(
      "error: --table and --control name two tables, give one of them; to compare them: sidelane diff",
    );
  }
  if (control !== undefined) return tableOfControl(flags);
  const tableFile = typeof file === "string" ? file : config?.table.file;
  if (tableFile !== undefined) return { table: readTable(tableFile) };
  throw new MisuseError(
    "error: name the routing table with --table <file>, a config that does with --config <file>, or the control plane with --control",
  );
}

/** Compiled here, and asked as a sidecar asks its own. Loaded when needed: a client brings TLS along. */
async function tableOfControl(flags: FlagValues): Promise<AskedTable> {
  const [{ controlAccess }, { ControlClient }, { controlTable }] = await Promise.all([
    import("./control-access.ts"),
    import("../client/client.ts"),
    import("../client/control-table.ts"),
  ]);
  const access = controlAccess(flags);
  const { document, revision } = await controlTable(new ControlClient(access));
  const text = JSON.stringify(document);
  const image = compile(document, { low: 1, high: 2 });
  return { table: new CompiledTable(image, revision, tableDigest(text)), source: { control: access.url, revision } };
}

const paint = {
  strong: (text: string) => styleText("bold", text, { stream: process.stdout }),
  faint: (text: string) => styleText("dim", text, { stream: process.stdout }),
};

function parseAsked(flags: FlagValues): Asked {
  const { service, path, caller } = flags as Readonly<Record<string, string | undefined>>;
  return {
    headers: ((flags["header"] ?? []) as readonly string[]).map(parseHeader),
    ...(service === undefined ? {} : { service: parseService(service) }),
    ...(path === undefined ? {} : { path }),
    ...(caller === undefined ? {} : { caller }),
  };
}

function explainAsConfigured(config: ProxyConfig, table: CompiledTable, asked: Asked): Explanation {
  const explained = explainWith(config, table, asked);
  if (!explained.ok) throw new MisuseError(`error: ${explained.detail}`);
  return explained.explanation;
}

function explainWithout(table: CompiledTable, asked: Asked): Explanation {
  const service = asked.service ?? hostHeader(asked.headers);
  if (service === undefined) throw new MisuseError("error: name the service with --service <name>");
  if (asked.caller !== undefined) {
    throw new MisuseError("error: --caller matters to listeners with edge: true, name the config with --config <file>");
  }
  return explainPlain(table, { ...asked, service });
}

/** A name or an authority; a table lookup of anything else could only ever say "not in the table". */
function parseService(text: string): string {
  if (text.trim() === "") throw new MisuseError("error: --service is empty, write the host only, as in checkout");
  if (!/[/?#@\s]/u.test(text)) return text;
  const host = text
    .trim()
    .replace(/^[^/?#]*:\/\//u, "")
    .replace(/[/?#\s].*$/su, "")
    .replace(/^.*@/u, "");
  throw new MisuseError(`error: --service '${text}' is no service, write the host only: ${host || "checkout"}`);
}

function parseHeader(text: string): readonly [name: string, value: string] {
  const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)$/su.exec(text);
  if (match === null) {
    throw new MisuseError(
      `error: --header '${text}' is no header, write it as 'name: value', as in 'baggage: sidelane=pr-7'`,
    );
  }
  return [match[1] ?? "", (match[2] ?? "").trim()];
}

function readConfig(file: string): ProxyConfig {
  const result = loadConfig(readFile(file).toString("utf8"), file, process.env);
  if (!result.ok) throw refused(result.problems);
  return result.config;
}

function readTable(file: string): CompiledTable {
  const result = loadTable(readFile(file), file);
  if (!result.ok) throw refused(result.problems);
  return new CompiledTable(result.image, 1, result.digest);
}

function refused(problems: readonly Problem[]): RefusedError {
  return new RefusedError(problems.map(formatProblem).join("\n"));
}
