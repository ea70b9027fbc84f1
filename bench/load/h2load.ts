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
  /** How long; with `isCounted` roughly, because h2load then ends when so many requests have been answered. */
  readonly seconds: number;
  /**
   * Lets no request be abandoned at the end: a large body that is cut off leaves some peers (`node:http2`) with a
   * connection whose credit is used up for ever.
   */
  readonly isCounted: boolean;
  /** Each request has a body of `largeBodyBytes`. */
  readonly uploads: boolean;
  /** By default that of http2-requests.ts, with the key. */
  readonly request?: {
    readonly path: string;
    readonly authority: string;
    readonly fields: readonly (readonly [name: string, value: string])[];
  };
}

const plainRequest = { path, authority, fields: [...requestFields, ["baggage", sandboxBaggage] as const] };

/** Answered requests per second of the last counted run, by what was run. */
const rates = new Map<string, number>();
/** Requests of the first one, for each stream. */
const firstCount = 8;

/**
 * Runs h2load on one core. Bytes are those of the answers' bodies; percentiles it does not tell, the mean would say little.
 *
 * @throws Error when h2load itself fails; errors of the requests are counted in the result.
 */
export async function runH2Load(workspace: Folder, core: number, load: H2Load): Promise<LoadResult> {
  const { connections, streams, seconds, port } = load;
  const key = `${port} ${connections}x${streams} ${load.uploads}`;
  if (load.isCounted && !rates.has(key)) {
    rates.set(key, (firstCount * connections * streams) / seconds);
    await runH2Load(workspace, core, load);
  }
  // As many for each connection, so that all of them are at work until the end.
  const perConnection = Math.max(streams, Math.ceil(((rates.get(key) ?? 0) * seconds) / connections));
  const extent = load.isCounted ? `--requests=${perConnection * connections}` : `--duration=${seconds}`;
  const flags = `--threads=1 --clients=${connections} --max-concurrent-streams=${streams} ${extent}`;
  const { request = plainRequest } = load;
  const fields = [...request.fields, [":authority", request.authority] as const];
  const headers = fields.flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const body = load.uploads ? [`--data=${largeBodyFile(workspace)}`] : [];
  const argv = [
    toolPath(tools.h2load),
    ...flags.split(" "),
    ...headers,
    ...body,
    `http://127.0.0.1:${port}${request.path}`,
  ];
  const output = await runToEnd(pinned(core, argv));
  const operations = number(output, /(\d+) succeeded/);
  // h2load rounds the time itself to 10 ms.
  const ratePerSecond = number(output, /finished in \S+, ([\d.]+) req\/s/);
  if (load.isCounted) rates.set(key, ratePerSecond);
  return {
    operations,
    durationUs: load.isCounted ? (operations / ratePerSecond) * 1_000_000 : seconds * 1_000_000,
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
