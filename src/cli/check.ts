import { RefusedError } from "../base/refused-error.ts";
import { resolve } from "node:path";
import { checkControlFiles } from "../config/check-control-files.ts";
import { checkTlsFiles } from "../config/check-tls-files.ts";
import { fileKind } from "../config/file-kind.ts";
import { loadConfig } from "../config/load-config.ts";
import { loadControlConfig } from "../config/load-control-config.ts";
import { loadTable } from "../config/load-table.ts";
import { loadWebhookConfig } from "../config/load-webhook-config.ts";
import { loadOperatorConfig } from "../config/operator-config.ts";
import { formatProblem } from "../config/problem.ts";
import type { Problem } from "../config/problem.ts";
import { parseYaml } from "../config/yaml.ts";
import { checkOwnTable } from "./check-own-table.ts";
import type { ExitCode } from "./command.ts";
import { readFile } from "./read-file.ts";

/** `sidelane check FILE...`: prints what is wrong with each file; 1 when anything is. */
export async function check(files: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = 0;
  const paths = new Set(files.map((file) => resolve(file)));
  for (const file of files) {
    const { ok, lines } = checkFile(file, paths);
    if (!ok) code = 1;
    process.stdout.write(lines.map((line) => `${line}\n`).join(""));
  }
  return code;
}

/** `paths` are all files of the command line, absolute: their problems are printed once. */
function checkFile(
  file: string,
  paths: ReadonlySet<string>,
): { readonly ok: boolean; readonly lines: readonly string[] } {
  let bytes: Buffer;
  try {
    bytes = readFile(file);
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    return { ok: false, lines: [error.message] };
  }
  const text = bytes.toString("utf8");
  const parsed = parseYaml(text, file);
  if (!parsed.ok) return { ok: false, lines: parsed.problems.map(formatProblem) };
  // What has fields of none is judged as a table, the file that is written more often.
  const kind = fileKind(parsed.value);
  if (kind === "control") return checkControl(text, file);
  if (kind === "webhook") return checkWebhook(text, file);
  if (kind === "operator") return checkOperator(text, file);
  if (kind === "config") {
    const result = loadConfig(text, file, process.env);
    if (!result.ok) return { ok: false, lines: result.problems.map(formatProblem) };
    const own = checkOwnTable(result.config, result.source);
    const warnings = [...result.warnings, ...own.warnings].map(formatWarning);
    const tls = checkTlsFiles(result.config, result.source);
    const unfit = [...tls.problems, ...tls.byTime];
    if (unfit.length > 0) return { ok: false, lines: [...warnings, ...unfit.map(formatProblem)] };
    if (own.problems.length > 0 && !paths.has(result.config.table.file ?? "")) {
      return { ok: false, lines: [...warnings, ...own.problems.map(formatProblem)] };
    }
    const { service, listeners } = result.config;
    const summary = `proxy config of ${service}, ${counted(listeners.length, "listener")}`;
    return { ok: true, lines: [...warnings, `${file}: ${summary}: good`] };
  }
  const result = loadTable(bytes, file);
  if (!result.ok) return { ok: false, lines: result.problems.map(formatProblem) };
  const { services, sandboxes, groups } = result.counts;
  const summary = `table, ${counted(services, "service")}, ${counted(sandboxes, "sandbox", "sandboxes")}, ${counted(groups, "group")}`;
  return { ok: true, lines: [...result.warnings.map(formatWarning), `${file}: ${summary}: good`] };
}

function checkControl(text: string, file: string): { readonly ok: boolean; readonly lines: readonly string[] } {
  const result = loadControlConfig(text, file, process.env);
  if (!result.ok) return { ok: false, lines: result.problems.map(formatProblem) };
  const warnings = result.warnings.map(formatWarning);
  const files = checkControlFiles(result.config, result.source);
  const unfit = [...files.problems, ...files.byTime];
  if (unfit.length > 0) return { ok: false, lines: [...warnings, ...unfit.map(formatProblem)] };
  const { kind } = result.config.store;
  return { ok: true, lines: [...warnings, `${file}: control config, store ${kind}: good`] };
}

/** What they name is in the pod that runs with them, and not here: nothing is opened. */
function checkWebhook(text: string, file: string): { readonly ok: boolean; readonly lines: readonly string[] } {
  const result = loadWebhookConfig(text, file, process.env);
  if (!result.ok) return { ok: false, lines: result.problems.map(formatProblem) };
  return { ok: true, lines: [`${file}: webhook config, sidecar ${result.config.sidecar.image}: good`] };
}

function checkOperator(text: string, file: string): { readonly ok: boolean; readonly lines: readonly string[] } {
  const result = loadOperatorConfig(text, file);
  if (!result.ok) return { ok: false, lines: result.problems.map(formatProblem) };
  const { urls } = result.config.control;
  return { ok: true, lines: [`${file}: operator config, control plane ${urls.join(", ")}: good`] };
}

function formatWarning(problem: Problem): string {
  const text = formatProblem(problem);
  const position = text.indexOf(": ");
  return `${text.slice(0, position)}: warning${text.slice(position)}`;
}

function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : plural}`;
}
