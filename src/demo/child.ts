import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";

/** Lines of standard error kept for the message when a child fails. */
const TAIL_LINES = 12;
/** A child that has not said what it should by then is taken for broken. */
const ANSWER_MS = 40_000;
/** Between the polite signal and the one that cannot be refused. */
const STOP_MS = 3_000;

/** A process of the demo, and what is known about its end. */
export class Child {
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #exited: Promise<string>;
  #tail = "";
  #expected = false;

  /** Starts `script` with an IPC channel; the channel's end is how a child notices that its parent is gone. */
  constructor(name: string, script: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.name = name;
    this.#process = fork(script, args, { env, execArgv: [], stdio: ["ignore", "ignore", "pipe", "ipc"] });
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#tail = (this.#tail + text).split("\n").slice(-TAIL_LINES).join("\n");
    });
    this.#exited = new Promise((resolve) => {
      this.#process.once("error", (error) => resolve(`could not be started: ${error.message}`));
      this.#process.once("close", (code, signal) => resolve(`ended with ${signal ?? `code ${code}`}`));
    });
  }

  /** Rejects when the process ends before somebody wanted it to. Never resolves. */
  async unexpectedEnd(): Promise<never> {
    const how = await this.#exited;
    if (this.#expected) return new Promise(() => {});
    throw new ChildError(`${this.name} ${how}`, this.#tail);
  }

  /** The next message of this kind; rejects when the process ends first or takes too long. */
  async message(kind: string): Promise<Readonly<Record<string, unknown>>> {
    const { promise, resolve, reject } = Promise.withResolvers<Readonly<Record<string, unknown>>>();
    const listener = (message: unknown): void => {
      if (typeof message === "object" && message !== null && "kind" in message && message.kind === kind) {
        resolve({ ...message });
      }
    };
    const timer = setTimeout(() => {
      reject(new ChildError(`${this.name} did not say '${kind}' within ${ANSWER_MS / 1000} s`, this.#tail));
    }, ANSWER_MS);
    this.#process.on("message", listener);
    try {
      return await Promise.race([promise, this.unexpectedEnd()]);
    } finally {
      clearTimeout(timer);
      this.#process.off("message", listener);
    }
  }

  /** The line of standard error in which all of this stands, once it is there; of the last few, and of what follows. */
  async says(...texts: readonly string[]): Promise<string> {
    const signal = AbortSignal.timeout(ANSWER_MS);
    for (;;) {
      const lines = this.#tail.split("\n").slice(0, -1); // the last one is not complete
      const found = lines.find((line) => texts.every((text) => line.includes(text)));
      if (found !== undefined) return found;
      const { stderr } = this.#process;
      await Promise.race([stderr === null ? undefined : once(stderr, "data", { signal }), this.unexpectedEnd()]);
    }
  }

  send(message: object): void {
    this.#process.send(message);
  }

  /** Ends the process without warning, as a crash would. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#expected = true;
    this.#process.kill("SIGKILL");
    await this.#exited;
  }

  /** Ends the process politely, then not. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.#expected = true;
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), STOP_MS);
    await this.#exited;
    clearTimeout(timer);
  }
}

/** A process of the demo failed; `tail` is the end of its standard error. */
export class ChildError extends Error {
  override readonly name = "ChildError";
  readonly tail: string;
  constructor(message: string, tail: string) {
    super(message);
    this.tail = tail.trim();
  }
}
