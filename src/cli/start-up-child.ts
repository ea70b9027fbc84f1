// Entry of the process that reads a sidecar's config and first table; see start-up.ts. Argument: the name of the config. In:
// its bytes. Out: one line of JSON, then the bytes of the table's image.

import { arrayBuffer } from "node:stream/consumers";
import { checkTlsFiles } from "../config/check-tls-files.ts";
import { loadConfig } from "../config/load-config.ts";
import { formatProblem } from "../config/problem.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import { loadBytes } from "../table/load-bytes.ts";
import { partsOf } from "../table/load-off-loop.ts";
import { readTableFile } from "../table/read-file.ts";
import type { StartUpHead } from "./start-up.ts";

const file = process.argv[2] ?? "";
const text = Buffer.from(await arrayBuffer(process.stdin)).toString("utf8");
const loaded = loadConfig(text, file, process.env);
const tls = loaded.ok ? checkTlsFiles(loaded.config, loaded.source) : undefined;
if (!loaded.ok) write({ ok: false, problems: loaded.problems.map(formatProblem) });
else if (tls !== undefined && tls.problems.length > 0) {
  write({ ok: false, problems: tls.problems.map(formatProblem) });
} else {
  const { config } = loaded;
  // A certificate that has expired is no reason to serve nobody: a restart must not make more of it than it was.
  const warnings = [...loaded.warnings, ...(tls?.byTime ?? [])].map(formatProblem);
  const table = config.table.file;
  if (table === undefined) write({ ok: true, config, warnings, fingerprint: "" });
  else await loadFile(config, table, warnings);
}

async function loadFile(config: ProxyConfig, file: string, warnings: readonly string[]): Promise<void> {
  const read = await readTableFile(file, config.limits.tableBytesMax);
  const { fingerprint } = read;
  if (!read.ok) return write({ ok: true, config, warnings, fingerprint });
  const { head, image } = partsOf(loadBytes({ file, bytes: read.bytes, knownDigests: [] }));
  write({ ok: true, config, warnings, fingerprint, table: head });
  process.stdout.write(image);
}

function write(head: StartUpHead): void {
  process.stdout.write(`${JSON.stringify(head)}\n`);
}
