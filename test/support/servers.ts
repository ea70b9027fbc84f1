// Real servers of other protocols, as processes: for tests of what is relayed as bytes.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { onTestFinished } from "vitest";
import { deadPort } from "./requests.ts";

const run = promisify(execFile);
const LOOK_MS = 50;
const START_MS = 30_000;

/** Resolves when somebody listens on the port. */
async function listening(port: number, child: ChildProcess): Promise<void> {
  for (let leftMs = START_MS; leftMs > 0; leftMs -= LOOK_MS) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    const socket = connect({ port, host: "127.0.0.1" });
    const there = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (there) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  throw new Error(`nobody listens on port ${port}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** Starts a Redis server that keeps nothing; killed when the test is over. */
export async function startRedis(): Promise<number> {
  const port = await deadPort();
  const child = spawn(
    "redis-server",
    ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
    { stdio: "ignore" },
  );
  const failed = once(child, "error").then(([error]) => Promise.reject(error as Error));
  onTestFinished(() => end(child));
  await Promise.race([listening(port, child), failed]);
  return port;
}

/** Where Debian keeps the programs of a PostgreSQL server: not on the path. */
async function postgresFolder(): Promise<string> {
  const root = "/usr/lib/postgresql";
  const versions = await readdir(root).catch(() => []);
  const newest = versions.toSorted((a, b) => Number(a) - Number(b)).at(-1);
  if (newest === undefined) throw new Error("PostgreSQL is missing: install it (`apt-get install postgresql`)");
  return join(root, newest, "bin");
}

/** The server does not run as root; Debian's package has a user for it. */
async function postgresUser(): Promise<{ readonly uid?: number; readonly gid?: number }> {
  if (process.getuid?.() !== 0) return {};
  const [uid, gid] = await Promise.all(
    ["-u", "-g"].map(async (flag) => Number((await run("id", [flag, "postgres"])).stdout)),
  );
  return uid === undefined || gid === undefined ? {} : { uid, gid };
}

/** Starts a PostgreSQL server with an empty database for the user `postgres`; killed when the test is over. */
export async function startPostgres(): Promise<number> {
  const [bin, user, port] = await Promise.all([postgresFolder(), postgresUser(), deadPort()]);
  const folder = await mkdtemp(join(tmpdir(), "sidelane-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  if (user.uid !== undefined && user.gid !== undefined) await chown(folder, user.uid, user.gid);
  const data = join(folder, "data");
  const options = { ...user, cwd: folder };
  await run(join(bin, "initdb"), ["-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"], options);
  const child = spawn(
    join(bin, "postgres"),
    ["-D", data, "-p", String(port), "-h", "127.0.0.1", "-k", folder, "-c", "fsync=off"],
    { ...options, stdio: "ignore" },
  );
  onTestFinished(() => end(child));
  await listening(port, child);
  return port;
}
