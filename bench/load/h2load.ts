// The HTTP/2 load for small answers and large bodies: h2load (nghttp2, one thread), prior knowledge. All its requests are
// alike, so all carry the key: what the rule decides is proved before (verify-http2.ts).

import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Folder } from "../backends.ts";
import { pinned, runToEnd } from "../processes.ts";
import { firstLine, tools, toolPath } from "../tools.ts";
import { authority, largeBodyBytes, path, requestFields } from "./http2-requests.ts";
import { sandboxBaggage } from "./requests.ts";
import type { LoadResult } from "./load-result.ts";

export interface H2Load {
  readonly port: number;
  readonly connections: number;
  readonly streams: number;
  readonly seconds: number;
  /** Each request has a body of `largeBodyBytes`. */
  readonly uploads: boolean;
}

/**
 * Runs h2load on one core. Bytes are those of the answers' bodies; percentiles it does not tell, the mean would say little.
 *
 * @throws Error when h2load itself fails; errors of the requests are counted in the result.
 */
export async function runH2Load(workspace: Folder, core: number, load: H2Load): Promise<LoadResult> {
  const { connections, streams, seconds, port } = load;
  const flags = `--threads=1 --clients=${connections} --max-concurrent-streams=${streams} --duration=${seconds}`;
  const fields = [...requestFields, ["baggage", sandboxBaggage] as const, [":authority", authority] as const];
  const headers = fields.flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const body = load.uploads ? [`--data=${largeBodyFile(workspace)}`] : [];
  const argv = [toolPath(tools.h2load), ...flags.split(" "), ...headers, ...body, `http://127.0.0.1:${port}${path}`];
  const output = await runToEnd(pinned(core, argv));
  return {
    operations: number(output, /(\d+) succeeded/),
    durationUs: seconds * 1_000_000,
    bytes: number(output, /headers \([^)]*\), \S+ \((\d+)\) data/),
    errors: number(output, /(\d+) failed/) + number(output, /status codes: \d+ 2xx, (\d+) 3xx/),
    firstError: /status codes: .*/.exec(output)?.[0] ?? "",
  };
}

function largeBodyFile(workspace: Folder): string {
  const file = join(workspace.directory, "large-body");
  writeFileSync(file, Buffer.alloc(largeBodyBytes, "sidelane "));
  return file;
}

function number(output: string, pattern: RegExp): number {
  const match = pattern.exec(output)?.[1];
  if (match === undefined) throw new Error(`h2load's output has no ${pattern.source}:\n${output}`);
  return Number(match);
}

export function h2loadVersion(): string {
  return firstLine(toolPath(tools.h2load), "--version").replace("h2load ", "");
}
