// The two backends. For HTTP/1.1 nginx with a static answer, the cheapest server at hand (6 us a request), so that the proxy
// is the bottleneck; for the rest raw sockets of our own (load/), which are cheaper still. Each counts its requests: a proxy
// that answers without asking, or asks twice, makes its run void.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readCounts } from "./load/counts.ts";
import type { Http2BackendKind } from "./load/http2-requests.ts";
import { backendBody, backendHeader, type Destination } from "./load/requests.ts";
import { freePorts, type Workspace } from "./processes.ts";
import { projectFile } from "./project.ts";
import { tools, toolPath } from "./tools.ts";

/** Where configurations and temporary files go. */
export interface Folder {
  readonly directory: string;
}

export interface BackendPorts {
  readonly baseline: number;
  readonly sandbox: number;
}

/** Requests answered since the start. */
export type BackendCounts = { readonly [destination in Destination]: number };

export interface Backends {
  readonly ports: BackendPorts;
  counts(): Promise<BackendCounts>;
}

/** Starts nginx twice on one core. */
export async function startNginxBackends(workspace: Workspace, core: number): Promise<Backends> {
  const [baseline = 0, sandbox = 0, baselineStatus = 0, sandboxStatus = 0] = await freePorts(4);
  await startBackend(workspace, core, "baseline", baseline, baselineStatus);
  await startBackend(workspace, core, "sandbox", sandbox, sandboxStatus);
  // nginx counts the questions for the count, too.
  let asked = 0;
  return {
    ports: { baseline, sandbox },
    async counts() {
      asked++;
      return {
        baseline: (await requestCount(baselineStatus)) - asked,
        sandbox: (await requestCount(sandboxStatus)) - asked,
      };
    },
  };
}

/** Starts both backends of one kind as one process on one core. */
export async function startHttp2Backends(
  workspace: Workspace,
  core: number,
  kind: Http2BackendKind,
): Promise<Backends> {
  return startRawBackends(workspace, core, ["bench/load/http2-backend.ts", kind]);
}

/** Starts both echo servers as one process on one core. */
export async function startWebsocketBackends(workspace: Workspace, core: number): Promise<Backends> {
  return startRawBackends(workspace, core, ["bench/load/websocket-backend.ts"]);
}

async function startRawBackends(
  workspace: Workspace,
  core: number,
  [file, ...parameters]: readonly [string, ...string[]],
): Promise<Backends> {
  const [baseline = 0, sandbox = 0, countPort = 0] = await freePorts(3);
  const ports = [baseline, sandbox, countPort].map(String);
  const command = [process.execPath, projectFile(file), ...parameters, ...ports];
  await workspace.start("backends", command, core, countPort);
  return { ports: { baseline, sandbox }, counts: async () => readCounts(countPort) };
}

async function startBackend(
  workspace: Workspace,
  core: number,
  destination: Destination,
  port: number,
  statusPort: number,
): Promise<void> {
  const file = join(workspace.directory, `backend-${destination}.conf`);
  const config = `
    ${nginxPreamble(workspace, `backend-${destination}`)}
    http {
      access_log off;
      default_type application/json;
      keepalive_timeout 600s;
      keepalive_requests 1000000000;
      ${nginxTemporaryPaths(workspace)}
      server {
        listen 127.0.0.1:${port} backlog=4096;
        location / {
          add_header Cache-Control "private, max-age=0";
          add_header ${backendHeader} ${destination.padEnd(8, "-")};
          return 200 '${backendBody(destination)}';
        }
      }
      server {
        listen 127.0.0.1:${statusPort};
        location / { stub_status; }
      }
    }`;
  writeFileSync(file, config);
  await workspace.start(`backend ${destination}`, nginxCommand(file), core, port);
}

/** The command that runs nginx in the foreground with one configuration file. */
export function nginxCommand(file: string): string[] {
  return [toolPath(tools.nginx), "-e", "stderr", "-c", file];
}

/** What every nginx here has outside of `http`: one worker, in the foreground, nothing written outside of the workspace. */
export function nginxPreamble(workspace: Folder, name: string): string {
  return `
    ${process.getuid?.() === 0 ? "user root;" : ""}
    daemon off;
    worker_processes 1;
    worker_rlimit_nofile 8192;
    error_log stderr;
    pid ${workspace.directory}/${name}.pid;
    pcre_jit on;
    events { worker_connections 8192; }`;
}

/** Where nginx would put bodies too large for memory. */
export function nginxTemporaryPaths(workspace: Folder): string {
  return ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${workspace.directory}/${kind};`)
    .join("\n");
}

/** The third number of stub_status: `accepts handled requests`. */
async function requestCount(statusPort: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${statusPort}/`, { headers: { connection: "close" } });
  const text = await answer.text();
  const numbers = /^\s*(\d+)\s+(\d+)\s+(\d+)\s*$/m.exec(text);
  if (numbers === null) throw new Error(`the backend's stub_status is not readable:\n${text}`);
  return Number(numbers[3]);
}
