// The files that a control config names, looked at once, synchronously: for `check` and for the start.

import { readFileSync, statSync } from "node:fs";
import { valueAt } from "../routing/finding.ts";
import type { Finding } from "../routing/finding.ts";
import { checkSection } from "./check-tls-files.ts";
import type { TlsFiles } from "./check-tls-files.ts";
import type { ControlConfig } from "./control-config.ts";
import { toProblems } from "./problem.ts";
import type { Problem } from "./problem.ts";
import { readTokens } from "./tokens-file.ts";
import type { SourceMap } from "./yaml.ts";

/** Reads and checks the certificates, keys and tokens of a good config. `nowMs`: since the epoch. */
export function checkControlFiles(config: ControlConfig, source: SourceMap, nowMs: number = Date.now()): TlsFiles {
  const problems: Finding[] = [];
  const byTime: Finding[] = [];
  const add = (finding: Finding, isByTime: boolean): void => void (isByTime ? byTime : problems).push(finding);
  for (const server of ["api", "feed"] as const) {
    const { tls } = config[server];
    if (tls === undefined) continue;
    const { certificate, key, clientCa } = tls;
    const files = { certificate, key, ...(clientCa === undefined ? {} : { ca: clientCa }) };
    checkSection(files, [server, "tls"], nowMs, add, "clientCa");
  }
  checkSection(config.replicas, ["replicas"], nowMs, add);
  if (config.store.kind === "etcd" && config.store.tls !== undefined) {
    checkSection(config.store.tls, ["etcd", "tls"], nowMs, add);
  }
  const ofTokens: Problem[] = [];
  if (config.auth.kind === "credentials" && config.auth.tokens !== undefined) {
    const read = tokensIn(config.auth.tokens);
    if (typeof read === "string") problems.push({ place: valueAt("auth", "tokens"), message: `auth.tokens: ${read}` });
    else ofTokens.push(...read);
  }
  return { problems: [...toProblems(problems, source), ...ofTokens], byTime: toProblems(byTime, source) };
}

/** Problems inside the file, or why it cannot be read. */
function tokensIn(file: string): readonly Problem[] | string {
  try {
    if (!statSync(file).isFile()) return `${file} is not a file, name a file`;
    const result = readTokens(readFileSync(file, "utf8"), file);
    return result.ok ? [] : result.problems;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return `${file} does not exist, check the path`;
    return `${file} cannot be read (${code ?? String(error)})`;
  }
}
