// A program of a cluster: its log in a file, and an end that comes even when nobody asks for it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";

/** A running program. */
export interface Program {
  readonly name: string;
  readonly pid: number;
  /** Resolves with what it said last, when it has ended. */
  readonly ended: Promise<string>;
  /** The last lines of its log. */
  tail(lines?: number): string;
  /** Ends it if it still runs, with SIGKILL unless told otherwise. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts one that dies with this process, however this process dies: `setpriv` asks the kernel for that. */
export async function startProgram(
  name: string,
  command: readonly string[],
  logFile: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Program> {
  const log = await open(logFile, "a");
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...command], {
    stdio: ["ignore", log.fd, log.fd],
    env,
  });
  const exited = once(child, "exit");
  exited.catch(() => {});
  const tail = (lines = 30): string => readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  try {
    await once(child, "spawn");
  } catch (error) {
    throw new Error(`${name} cannot be run by setpriv (apt-get install util-linux)`, { cause: error });
  } finally {
    await log.close();
  }
  return {
    name,
    pid: child.pid ?? 0,
    ended: exited.then(() => `${name} ended with ${child.exitCode ?? child.signalCode}:\n${tail()}`),
    tail,
    stop: async (signal = "SIGKILL") => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      await exited;
    },
  };
}
