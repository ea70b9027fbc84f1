// The sidecar's end of the process that exports its spans (docs/decisions/0022-spans-in-a-child.md).
//
// Guarantees: started for the first batch, not before; started anew with back-off when it dies; asked for one batch at a time, so
// that what waits is in the recorder's bounded queue and nowhere else; ended when it does not answer; what is wrong with it is
// one line of the log per period. It never keeps the sidecar's process alive.
import { type ChildProcess, fork } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Log } from "../../base/log.ts";
import type { FromExporter, ToExporter } from "./messages.ts";
import type { FinishedSpan } from "./span.ts";

/** Before a process that died is started again, at the next batch; doubled with each death before a batch was taken. */
const RESTART_MS = 1000;
const RESTART_MS_MAX = 60_000;
/** Far above OTEL_EXPORTER_OTLP_TIMEOUT (10 s): whoever has not answered by then hangs. */
const ANSWER_MS_MAX = 120_000;
/** Between two log lines about trouble. */
const LOG_MS = 60_000;
/** In MiB: one batch is a small part of one, and what is not bounded grows to twice the size. */
const MEMORY_FLAGS = ["--max-semi-space-size=2", "--max-old-space-size=64"];
const STDERR_CHARACTERS_MAX = 4096;

/** Where spans go, and as whose. */
export interface ExporterOptions {
  /** URL that takes OTLP over HTTP, as `http://127.0.0.1:4318/v1/traces`. */
  readonly endpoint: string;
  /** The service that the sidecar stands beside. */
  readonly service: string;
  readonly sandbox?: string;
  /** Environment of the process; default is this one's. OpenTelemetry's variables are honoured there. */
  readonly env?: NodeJS.ProcessEnv;
  /** What tests start instead. */
  readonly program?: string;
}

const childProgram = fileURLToPath(
  new URL(`./exporter-child${extname(fileURLToPath(import.meta.url))}`, import.meta.url),
);

/** The exporting process, while there is one. */
export class ExporterProcess {
  readonly #options: ExporterOptions;
  readonly #log: Log;
  #child: ChildProcess | undefined;
  #answered: ((taken: boolean) => void) | undefined;
  #ending = false;
  #deathsInARow = 0;
  #startAgainMs = Number.NEGATIVE_INFINITY;
  #loggedMs = Number.NEGATIVE_INFINITY;
  #unlogged = 0;
  #inTrouble = false;

  constructor(options: ExporterOptions, log: Log) {
    this.#options = options;
    this.#log = log;
  }

  /** The id of the process, undefined while there is none. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** A batch may be given to it now. */
  get free(): boolean {
    return this.#answered === undefined && (this.#child !== undefined || performance.now() >= this.#startAgainMs);
  }

  /** Whether the collector has taken the spans. Only while no batch is on its way; whether to wait for the back-off is the caller's choice. */
  async export(spans: readonly FinishedSpan[]): Promise<boolean> {
    const child = this.#child ?? this.#start();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#answered = resolve;
    const hangs = setTimeout(() => {
      this.#trouble(`no answer within ${ANSWER_MS_MAX} ms`);
      child.kill("SIGKILL");
    }, ANSWER_MS_MAX);
    hangs.unref();
    tell(child, { kind: "spans", spans });
    const taken = await promise;
    clearTimeout(hangs);
    return taken;
  }

  /** Lets it end by itself; resolves when it has. */
  end(): Promise<void> {
    this.#ending = true;
    const child = this.#child;
    if (child === undefined) return Promise.resolve();
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    // It takes the end of the channel for the end of its job.
    if (child.connected) child.disconnect();
    return ended;
  }

  /** Ends it at once; what it was working on counts as not taken. */
  kill(): void {
    this.#ending = true;
    this.#child?.kill("SIGKILL");
    this.#answer(false);
  }

  #start(): ChildProcess {
    const { endpoint, service, sandbox = "", env, program = childProgram } = this.#options;
    const child = fork(program, [], {
      execArgv: MEMORY_FLAGS,
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      ...(env === undefined ? {} : { env }),
    });
    this.#child = child;
    child.unref();
    child.channel?.unref();
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-STDERR_CHARACTERS_MAX);
    });
    // As sockets they count as well, which `unref` of the process does not cover.
    (child.stderr as { unref?: () => void } | null)?.unref?.();
    child.on("message", (message: FromExporter) => this.#receive(message));
    child.on("error", (error) => {
      // Not started: no "exit" follows. A channel that broke: "exit" does.
      if (child.pid === undefined) this.#gone(child, error.message);
    });
    child.on("exit", (code, signal) => this.#gone(child, `${signal ?? `exit code ${code}`}${causeIn(stderr)}`));
    tell(child, { kind: "start", endpoint, service, sandbox });
    return child;
  }

  #receive(message: FromExporter): void {
    if (message.kind === "trouble") return this.#trouble(message.message);
    if (message.error === "") {
      this.#deathsInARow = 0;
      if (this.#inTrouble) this.#log.info("spans are exported again", { endpoint: this.#options.endpoint });
      this.#inTrouble = false;
    } else this.#trouble(message.error);
    this.#answer(message.error === "");
  }

  #gone(child: ChildProcess, how: string): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    if (!this.#ending) {
      this.#startAgainMs = performance.now() + Math.min(RESTART_MS * 2 ** this.#deathsInARow, RESTART_MS_MAX);
      this.#deathsInARow++;
      this.#trouble(`the exporting process ended with ${how}`);
    }
    this.#answer(false);
  }

  #answer(taken: boolean): void {
    const answered = this.#answered;
    this.#answered = undefined;
    answered?.(taken);
  }

  #trouble(why: string): void {
    this.#inTrouble = true;
    const nowMs = performance.now();
    if (nowMs - this.#loggedMs < LOG_MS) {
      this.#unlogged++;
      return;
    }
    const { endpoint } = this.#options;
    this.#log.warn("spans cannot be exported", {
      endpoint,
      why,
      ...(this.#unlogged > 0 ? { alike: this.#unlogged } : {}),
    });
    this.#loggedMs = nowMs;
    this.#unlogged = 0;
  }
}

function tell(child: ChildProcess, message: ToExporter): void {
  // One that has just died cannot be told anything; its "exit" says the rest.
  if (child.connected) child.send(message, () => {});
}

/** The line that matters in a stack trace or in V8's last words. */
function causeIn(stderr: string): string {
  const line = /^(?:FATAL ERROR|[A-Za-z]*Error\b).*$/mu.exec(stderr)?.[0];
  return line === undefined ? "" : `: ${line}`;
}
