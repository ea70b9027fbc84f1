// The official interop client and server in Go, at a pinned version: built once, kept beside other caches.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { access } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { findGo } from "../support/toolchains.ts";
import type { InteropServer } from "./js-server.ts";

const run = promisify(execFile);

const VERSION = "1.85.0";
/** Its go.mod asks for 1.26, which Go fetches by itself from this version on, unless it is told not to. */
const GO_MINOR = 21;
const folder = join(
  import.meta.dirname,
  "..",
  "..",
  "node_modules",
  ".cache",
  "sidelane-tools",
  `grpc-interop-${VERSION}`,
);
/** A case that hangs is ended by then; the slowest takes seconds. */
const CASE_MS = 30_000;
/** The cases about load reports want the client to balance by them, as their description says. */
const LOAD_REPORTS = JSON.stringify({ loadBalancingConfig: [{ test_backend_metrics_load_balancer: {} }] });
/** How long a server may take to listen. */
const START_MS = 20_000;

/** Builds both programs unless they are there. Takes half a minute the first time. */
export async function installGoPrograms(): Promise<void> {
  const built = ["client", "server"].map((program) => access(join(folder, program)));
  if ((await Promise.allSettled(built)).every(({ status }) => status === "fulfilled")) return;
  const packages = ["client", "server"].map((program) => `google.golang.org/grpc/interop/${program}@v${VERSION}`);
  const go = await findGo(GO_MINOR, `the interop programs of gRPC ${VERSION}`);
  await run(go, ["install", ...packages], { env: { ...process.env, GOBIN: folder } }).catch(
    (error: { readonly stderr?: string }) => {
      throw new Error(`the interop programs cannot be built (\`go install\`): ${error.stderr ?? "go cannot be run"}`, {
        cause: error,
      });
    },
  );
}

/** The cases that the client knows, as its help lists them. */
export async function listGoCases(): Promise<string[]> {
  // Help goes to standard error, and asking for it counts as a failure.
  const { stderr } = await run(join(folder, "client"), ["--help"]).catch((error: { readonly stderr: string }) => error);
  return [...stderr.matchAll(/^\s+([a-z0-9_]+) ?: /gmu)].map(([, name]) => name ?? "");
}

/** Runs one case against the server on a port of loopback; throws with what the client said when it fails. */
export async function runGoCase(
  name: string,
  port: number,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const pairs = Object.entries(metadata).map(([field, value]) => `${field}:${value}`);
  const options = ["--server_host=127.0.0.1", `--server_port=${port}`, `--test_case=${name}`];
  if (name.startsWith("orca_")) options.push(`--service_config_json=${LOAD_REPORTS}`);
  if (pairs.length > 0) options.push(`--additional_metadata=${pairs.join(";")}`);
  const failed = await run(join(folder, "client"), options, { timeout: CASE_MS }).then(
    () => "",
    (error: { readonly stderr?: string; readonly killed?: boolean }) =>
      error.killed === true ? `hung for ${CASE_MS} ms` : (error.stderr ?? "cannot be run"),
  );
  if (failed !== "") throw new Error(`the client in Go: ${failed.trim()}`);
}

/** Starts the server on loopback, and on every other address: it knows no flag for that. */
export async function startGoServer(): Promise<InteropServer> {
  const port = await freePort();
  const child = spawn(join(folder, "server"), [`--port=${port}`], { stdio: ["ignore", "ignore", "inherit"] });
  const exit = once(child, "exit");
  await listening(child, port);
  return {
    port,
    async close() {
      child.kill("SIGKILL");
      await exit;
    },
  };
}

/** It does not say when it listens, so a connection has to find out. */
async function listening(child: ChildProcess, port: number): Promise<void> {
  for (let waitedMs = 0; waitedMs < START_MS && child.exitCode === null; waitedMs += 20) {
    const socket = connect(port, "127.0.0.1");
    const [event] = await Promise.race([
      once(socket, "connect").then(() => ["connect"]),
      once(socket, "error").then(() => ["error"]),
    ]).catch(() => ["error"]);
    socket.destroy();
    if (event === "connect") return;
    await setTimeout(20);
  }
  child.kill("SIGKILL");
  throw new Error(`the server in Go does not listen on port ${port}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
