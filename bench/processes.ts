// Processes of one run: started on a core of their own, ended by pid, nothing left behind.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { tools, toolPath } from "./tools.ts";

/** A server that runs until `Workspace.close`. */
export interface RunningProcess {
  readonly name: string;
  readonly pid: number;
  /** The end of what it printed, for error messages. */
  output(): string;
  hasEnded(): boolean;
}

const startMs = 15_000;
const endMs = 5_000;
const outputCharactersMax = 8_000;

/** The temporary folder and the processes of one run. Close it whatever happens. */
export class Workspace {
  readonly directory: string;
  readonly #children: { readonly name: string; readonly child: ChildProcess }[] = [];
  readonly #onExit = (): void => this.#killNow();

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "sidelane-bench-"));
    process.on("exit", this.#onExit);
  }

  /**
   * Starts a server and waits until its port accepts connections.
   *
   * @param core the only core that it and its children may run on.
   * @throws Error with the output of the process when it ends or does not listen in time.
   */
  async start(name: string, argv: readonly string[], core: number, port: number): Promise<RunningProcess> {
    let output = "";
    const [program = "", ...rest] = pinned(core, argv);
    const child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"] });
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-outputCharactersMax);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    await once(child, "spawn");
    this.#children.push({ name, child });
    const pid = child.pid;
    if (pid === undefined) throw new Error(`${name} has no process id`);
    const running: RunningProcess = {
      name,
      pid,
      output: () => output,
      hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    };
    const deadline = performance.now() + startMs;
    while (!(await accepts(port))) {
      if (running.hasEnded()) throw new Error(`${name} ended at once (${argv.join(" ")}):\n${output}`);
      if (performance.now() > deadline) throw new Error(`${name} does not listen on port ${port}:\n${output}`);
      await delay(20);
    }
    return running;
  }

  /** Ends all processes, the last one first, and removes the temporary folder. */
  async close(): Promise<void> {
    for (const { child } of this.#children.toReversed()) await end(child);
    this.#children.length = 0;
    rmSync(this.directory, { recursive: true, force: true });
    process.off("exit", this.#onExit);
  }

  #killNow(): void {
    for (const { child } of this.#children) child.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The command line that runs another one on one core only. */
export function pinned(core: number, argv: readonly string[]): string[] {
  return [toolPath(tools.taskset), "-c", String(core), ...argv];
}

/** Runs a program to its end and returns what it printed. @throws Error when it fails. */
export async function runToEnd(argv: readonly string[]): Promise<string> {
  const [program = "", ...rest] = argv;
  const child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${argv.join(" ")} exited with ${code}:\n${output}${errors}`);
  return output;
}

/** Ports that nobody listens on at this moment, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  const ports: number[] = [];
  for (let i = 0; i < count; i++) {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("a TCP server has an address of its own");
    ports.push(address.port);
    servers.push(server);
  }
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const answer = (accepted: boolean): void => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once("connect", () => answer(true)).once("error", () => answer(false));
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), endMs);
  await ended;
  clearTimeout(timer);
}
