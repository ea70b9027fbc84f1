// `sidelane proxy` as a process of its own, as an operator runs it.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { Peer } from "./peer.ts";

const main = join(import.meta.dirname, "..", "..", "src", "main.ts");

/** What of the config is not the usual: one inbound listener before `target`, and an empty table. */
export interface ProcessOptions {
  readonly target: string;
  readonly limits?: object;
  readonly timeouts?: object;
  readonly workers?: number;
}

/** A running `sidelane proxy`. */
export class SidelaneProcess {
  readonly child: ChildProcess;
  /** Resolves with the exit code, null when a signal ended it. */
  readonly exit: Promise<number | null>;
  port = 0;
  #admin = "";
  #log = "";

  constructor(config: string) {
    this.child = fork(main, ["proxy", "--config", config], {
      execArgv: [],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#log += text;
      this.child.emit("log");
    });
    this.exit = new Promise((resolve) => this.child.once("exit", resolve));
  }

  /** Resolves when it listens. */
  async listening(): Promise<void> {
    const failed = this.exit.then((code) => Promise.reject(new Error(`ended with ${code}: ${this.#log}`)));
    failed.catch(() => {});
    const [message] = (await Promise.race([once(this.child, "message"), failed])) as [
      { readonly listeners: { readonly inbound: string }; readonly admin: string },
    ];
    const { listeners, admin } = message;
    this.port = Number(listeners.inbound.slice(listeners.inbound.lastIndexOf(":") + 1));
    this.#admin = admin;
  }

  /** A client of the listener; closed when the test is over. */
  async connect(): Promise<Peer> {
    const peer = await Peer.connect(this.port);
    onTestFinished(() => void peer.socket.destroy());
    return peer;
  }

  /** What the admin server answers; status 0 when it is gone. */
  async admin(path: string): Promise<{ readonly status: number; readonly body: string }> {
    try {
      const answer = await fetch(`http://${this.#admin}${path}`);
      return { status: answer.status, body: await answer.text() };
    } catch {
      return { status: 0, body: "" };
    }
  }

  /** The value of a metric without labels; 0 when it is not there. */
  async metric(name: string): Promise<number> {
    const { body } = await this.admin("/metrics");
    return Number(new RegExp(`^${name} (.*)$`, "mu").exec(body)?.[1] ?? 0);
  }

  /** Resolves with all matches when the log has as many as wanted. */
  async logs(pattern: RegExp, times = 1): Promise<readonly string[]> {
    for (;;) {
      const found = this.#log.match(new RegExp(pattern, "gu")) ?? [];
      if (found.length >= times) return found;
      await once(this.child, "log");
    }
  }
}

/** Starts one and waits until it listens; killed when the test is over. */
export async function startProcess(options: ProcessOptions): Promise<SidelaneProcess> {
  const folder = await mkdtemp(join(tmpdir(), "sidelane-"));
  const config = {
    service: "checkout",
    listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: options.target }],
    table: { file: "routes.yaml" },
    admin: { address: "127.0.0.1:0" },
    limits: options.limits ?? {},
    timeouts: options.timeouts ?? {},
    workers: options.workers ?? 1,
  };
  await writeFile(join(folder, "routes.yaml"), "services: { checkout: {} }\n");
  await writeFile(join(folder, "sidelane.yaml"), JSON.stringify(config));
  const sidelane = new SidelaneProcess(join(folder, "sidelane.yaml"));
  onTestFinished(async () => {
    sidelane.child.kill("SIGKILL");
    await sidelane.exit;
    await rm(folder, { recursive: true });
  });
  await sidelane.listening();
  return sidelane;
}
