// The certificate, key and authority files that a config names, and the keys that verify signed routing keys, looked at once,
// synchronously: for `check` and for the start of a sidecar. The running sidecar looks by itself when they change.

import { readFileSync, statSync } from "node:fs";
import { relative } from "node:path";
import { readVerifyingKey } from "../protocol/signed-key/read-signing-key.ts";
import { valueAt } from "../routing/finding.ts";
import type { Finding, Path } from "../routing/finding.ts";
import { authoritiesFault, keyPairFault, validityFault } from "./certificates.ts";
import type { PemFault, PemField } from "./certificates.ts";
import { toProblems } from "./problem.ts";
import type { Problem } from "./problem.ts";
import type { ProxyConfig, SigningKeyConfig } from "./proxy-config.ts";
import { fieldName } from "./shape-problems.ts";
import type { SourceMap } from "./yaml.ts";

/** What is wrong with the files; `byTime`: only that they have expired, or are not valid yet. */
export interface TlsFiles {
  readonly problems: readonly Problem[];
  readonly byTime: readonly Problem[];
}

/** Reads and checks all files of a good config's `tls`, `upstreamTls`, `table.tls` and `tenancy.edge.signedBy`. `nowMs`: since the epoch. */
export function checkTlsFiles(config: ProxyConfig, source: SourceMap, nowMs: number = Date.now()): TlsFiles {
  const problems: Finding[] = [];
  const byTime: Finding[] = [];
  const add = (finding: Finding, isByTime: boolean): void => void (isByTime ? byTime : problems).push(finding);
  for (const [index, { tls }] of config.listeners.entries()) {
    if (tls !== undefined) checkSection(tls, ["listeners", index, "tls"], nowMs, add);
  }
  for (const [service, tls] of Object.entries(config.upstreamTls))
    checkSection(tls, ["upstreamTls", service], nowMs, add);
  if (config.table.tls !== undefined) checkSection(config.table.tls, ["table", "tls"], nowMs, add);
  for (const [index, key] of config.tenancy.edge.signedBy.entries()) {
    const fault = signingKeyFault(key);
    const path = ["tenancy", "edge", "signedBy", index];
    if (fault !== undefined) add(toFinding({ field: "file", ...fault }, key.file, path), false);
  }
  return { problems: toProblems(problems, source), byTime: toProblems(byTime, source) };
}

type PemPaths = { readonly [field in PemField]?: string };

/** Reads and checks the files of one section; `caField` is what the section calls its `ca`. */
export function checkSection(
  files: PemPaths,
  path: Path,
  nowMs: number,
  add: (finding: Finding, byTime: boolean) => void,
  caField = "ca",
): void {
  const named = (fault: FileFault & { readonly field: PemField }) =>
    fault.field === "ca" ? { ...fault, field: caField } : fault;
  const contents: { [field in PemField]?: string } = {};
  for (const field of ["certificate", "key", "ca"] as const) {
    const file = files[field];
    if (file === undefined) continue;
    const read = readPem(file);
    if (read.ok) contents[field] = read.text;
    else add(toFinding(named({ field, ...read }), file, path), false);
  }
  const { certificate, key, ca } = contents;
  const faults: (PemFault | null)[] = [];
  if (certificate !== undefined && key !== undefined) {
    faults.push(keyPairFault(certificate, key) ?? validityFault(certificate, nowMs));
  }
  if (ca !== undefined) faults.push(authoritiesFault(ca, nowMs));
  for (const fault of faults) {
    if (fault !== null) add(toFinding(named(fault), files[fault.field] ?? "", path), fault.byTime === true);
  }
}

type FileFault = Omit<PemFault, "field" | "byTime">;

function signingKeyFault({ id, algorithm, file }: SigningKeyConfig): FileFault | undefined {
  const read = readPem(file);
  if (!read.ok) return read;
  const key = readVerifyingKey(id, algorithm, Buffer.from(read.text, "latin1"));
  return "problem" in key ? { message: key.problem, hint: key.hint } : undefined;
}

function toFinding(
  { field, message, why, hint }: FileFault & { readonly field: string },
  file: string,
  path: Path,
): Finding {
  return {
    place: valueAt(...path, field),
    message: `${fieldName([...path, field])}: ${nearPath(file)} ${message}`,
    ...(why === undefined ? {} : { why }),
    ...(hint === undefined ? {} : { hint }),
  };
}

/** As one would write it here. */
function nearPath(file: string): string {
  const inside = relative("", file);
  return inside === "" || inside.startsWith("..") ? file : inside;
}

const causes: Readonly<Record<string, readonly [string, string]>> = {
  ENOENT: ["does not exist", "check the path"],
  ENOTDIR: ["does not exist", "check the path"],
  EACCES: ["cannot be read: permission denied", "make it readable for the user that Sidelane runs as"],
};

type PemRead =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly message: string; readonly hint?: string };

function readPem(file: string): PemRead {
  try {
    // Reading a pipe would wait for its writer.
    if (!statSync(file).isFile()) return { ok: false, message: "is not a file", hint: "name a file" };
    return { ok: true, text: readFileSync(file, "latin1") };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const [message, hint] = causes[code] ?? [`cannot be read (${code})`];
    return { ok: false, message, ...(hint === undefined ? {} : { hint }) };
  }
}
