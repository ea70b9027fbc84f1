// The load: wrk (C, one thread), which sends the two heads of requests.ts, or others, in turns.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Folder } from "../backends.ts";
import { pinned, runToEnd } from "../processes.ts";
import { firstLine, tools, toolPath } from "../tools.ts";
import { readResult, resultMarker, type LoadResult } from "./load-result.ts";
import { loadHeads } from "./requests.ts";

export interface WrkLoad {
  readonly port: number;
  readonly connections: number;
  readonly seconds: number;
  /** Requests per second in all; `undefined`: every connection sends its next request as soon as it has its answer. */
  readonly ratePerSecond?: number;
  /** Request heads that take turns; by default the two of requests.ts. */
  readonly heads?: readonly string[];
}

/**
 * Runs wrk on one core. Bytes are those of whole answers; errors are connections, reads and writes that failed, time-outs and
 * answers with status 400 or more. What is below 400 shows in the bytes.
 *
 * @throws Error when wrk itself fails; errors of the requests are counted in the result.
 */
export async function runWrk(workspace: Folder, core: number, load: WrkLoad): Promise<LoadResult> {
  const script = join(workspace.directory, "load.lua");
  writeFileSync(script, loadScript(load));
  const { connections, port, seconds } = load;
  const flags = `--threads 1 --connections ${connections} --duration ${seconds}s --timeout 5s --latency`.split(" ");
  const wrk = [toolPath(tools.wrk), ...flags, "--script", script, `http://127.0.0.1:${port}/`];
  const output = await runToEnd(pinned(core, wrk));
  return readResult("wrk", output);
}

/**
 * A connection that thinks for a random time between two requests makes arrivals at a steady rate that do not come in
 * step, as those of many independent clients. (`h2load --rps` fires all connections in the same instant: that
 * measures a burst.) wrk counts latency from the send, so the thinking is not in it.
 */
function loadScript(load: WrkLoad): string {
  const { heads = [loadHeads.sandbox, loadHeads.baseline] } = load;
  const lines = [
    // JSON escapes are Lua escapes as far as these heads need them (\r, \n, \").
    `local heads = { ${heads.map((head) => JSON.stringify(head)).join(", ")} }`,
    "local turn = 1",
    "function request() turn = turn % #heads + 1; return heads[turn] end",
  ];
  if (load.ratePerSecond !== undefined) {
    const thinkMs = (load.connections / load.ratePerSecond) * 1000;
    lines.push(`function delay() return math.random(1, ${Math.max(1, Math.round(2 * thinkMs - 1))}) end`);
  }
  lines.push(
    "function done(summary, latency)",
    "  local e = summary.errors",
    `  io.write(string.format('${resultMarker}{"operations":%d,"durationUs":%d,"bytes":%d,"errors":%d,"firstError":"","p50Us":%d,"p99Us":%d,"p999Us":%d}\\n',`,
    "    summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.timeout + e.status,",
    "    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))",
    "end",
  );
  return lines.join("\n");
}

export function wrkVersion(): string {
  return firstLine(toolPath(tools.wrk), "-v").replace(/ \[.*$/, "");
}
