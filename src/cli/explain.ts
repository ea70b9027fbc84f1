import { styleText } from "node:util";
import { loadConfig } from "../config/load-config.ts";
import { loadTable } from "../config/load-table.ts";
import { formatProblem } from "../config/problem.ts";
import type { Problem } from "../config/problem.ts";
import { DEFAULT_CARRIERS } from "../config/proxy-config.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import { CompiledTable } from "../routing/compiled-table.ts";
import { explain } from "../routing/explain.ts";
import type { Explanation } from "../routing/explain.ts";
import { explanationText } from "../routing/explain-text.ts";
import { MisuseError, RefusedError } from "./command.ts";
import type { ExitCode, FlagValues } from "./command.ts";
import { carrierName, findKey } from "./find-key.ts";
import { explainWith } from "./policy.ts";
import { readFile } from "./read-file.ts";

/** `sidelane explain`: prints the decision and the way to it. */
export async function explainCommand(flags: FlagValues): Promise<ExitCode> {
  const service = parseService(String(flags["service"]));
  const headers = ((flags["header"] ?? []) as readonly string[]).map(parseHeader);
  const configFile = flags["config"] as string | undefined;
  const config = configFile === undefined ? undefined : readConfig(configFile);
  const tableFile = (flags["table"] as string | undefined) ?? config?.table.file;
  if (tableFile === undefined) {
    throw new MisuseError(
      "error: name the routing table with --table <file>, or a config that does with --config <file>",
    );
  }
  const table = readTable(tableFile);
  const explanation =
    config === undefined ? explainPlain(table, service, headers) : explainWith(config, table, { service, headers });
  process.stdout.write(
    flags["json"] === true ? `${JSON.stringify(explanation, null, 2)}\n` : explanationText(explanation, paint),
  );
  return 0;
}

const paint = {
  strong: (text: string) => styleText("bold", text, { stream: process.stdout }),
  faint: (text: string) => styleText("dim", text, { stream: process.stdout }),
};

function explainPlain(
  table: CompiledTable,
  service: string,
  headers: readonly (readonly [string, string])[],
): Explanation {
  return explain({
    table,
    policy: { direction: "outbound", self: false, onUnknownKey: "baseline" },
    service,
    carriers: DEFAULT_CARRIERS.map(carrierName),
    ...findKey(DEFAULT_CARRIERS, headers),
  });
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
