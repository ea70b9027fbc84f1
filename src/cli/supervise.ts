// `workers: N`: N processes that share the listeners (SO_REUSEPORT), and this one, which carries no request.
//
// Guarantees: a worker that crashes is started anew, at once and then with back-off; the others go on meanwhile. The admin
// server answers for all: metrics and journals are merged when they are asked for, connections added up, and `GET /table`
// tells the state of the worker that is furthest behind, so that "applied" means applied everywhere. A drain ends every
// worker before this process.

import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { ConnectionsReport } from "../admin/backend.ts";
import type { Log } from "../base/log.ts";
import { silentLog } from "../base/log.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { TableStatus } from "../table/status.ts";
import type { JournalFilter, JournalReport } from "../telemetry/journal-entry.ts";
import { mergeLostKeys } from "../telemetry/lost-keys.ts";
import type { LostKeysReport } from "../telemetry/lost-keys.ts";
import { Telemetry } from "../telemetry/metrics.ts";
import { type AdminServers, startAdminServers } from "./admin.ts";
import { adminBackend, notReady } from "./backend.ts";
import { sayWaiting, unlessAborted } from "./first-table.ts";
import { mergeConnections } from "./merge-connections.ts";
import { openOwnership } from "./ownership.ts";
import { mergeJournals } from "./merge-journals.ts";
import { PendingQuestions } from "./questions.ts";
import type { Running } from "./run-until-signal.ts";
import { followTable } from "./sidecar.ts";
import type { FromWorker, Question, Questions, ToWorker } from "./worker-messages.ts";

/** Before a crashed worker is started again; doubled with each crash in a row. */
const RESTART_MS = 100;
const RESTART_MS_MAX = 10_000;
/** A worker that has lived this long has recovered. */
const SETTLED_MS = 30_000;
/** A worker that does not answer a question by then is left out of the answer. */
const QUESTION_MS = 2_000;
/** After its own drain deadline a worker gets this long before it is killed. */
const GRACE_MS = 5_000;

const workerEntry = fileURLToPath(new URL(`./worker${extname(fileURLToPath(import.meta.url))}`, import.meta.url));

interface Worker {
  readonly number: number;
  readonly process: ChildProcess;
  readonly startedMs: number;
  readonly questions: PendingQuestions;
  table: TableStatus | undefined;
  connections: ConnectionsReport | undefined;
}

/**
 * Starts the admin server and the workers; rejects when the first worker cannot start. Undefined when `signal` ends the waiting
 * for a first table.
 */
export async function startSupervisor(
  config: ProxyConfig,
  log: Log,
  stop: (why: string) => void,
  signal: AbortSignal,
): Promise<Running | undefined> {
  const supervisor = new Supervisor(config, log);
  let open = false;
  let draining = false;
  // A table of its own, for questions about it. The log about a file is the workers'; a control plane may have to be waited for
  // before there are any.
  const { cell, source } = await followTable(
    config,
    config.table.control === undefined ? silentLog : log,
    new Telemetry({ sandboxLabelsMax: 0, processMetrics: false }),
    { routes: false, keeps: true },
  );
  const backend = adminBackend({
    config,
    cell,
    notReady: () => notReady(draining, open && supervisor.size > 0, cell),
    metrics: () => supervisor.metrics(),
    tableStatus: () => supervisor.tableStatus(source.status()),
    connections: () => supervisor.connections(),
    journal: (filter) => supervisor.journal(filter),
    lostKeys: () => supervisor.lostKeys(),
    drain() {
      draining = true;
      stop("POST /drain");
    },
  });
  const close = async (): Promise<void> => {
    await Promise.all([supervisor.drain(), source.close()]);
  };
  let admin: AdminServers | undefined;
  try {
    const { address, open: openAddress } = (admin = await startAdminServers(config, backend, log));
    sayWaiting(config, log, address);
    const listeners = await unlessAborted(
      signal,
      source.start().then(() => supervisor.start()),
      close,
    );
    if (listeners === undefined) {
      await admin.close();
      return undefined;
    }
    const ownership = await openOwnership(config, cell, log);
    open = true;
    return {
      listeners,
      admin: address,
      open: openAddress,
      ownership: ownership?.address,
      async drain() {
        draining = true;
        ownership?.drain();
        source.goodbye();
        await supervisor.drain();
        await Promise.all([admin?.close(), source.close(), ownership?.close()]);
      },
    };
  } catch (error) {
    await Promise.all([close(), admin?.close()]);
    throw error;
  }
}

class Supervisor {
  readonly #log: Log;
  readonly #workers = new Map<number, Worker>();
  readonly #crashesInARow = new Map<number, number>();
  readonly #instanceId = randomBytes(8).toString("hex");
  #config: ProxyConfig;
  #draining = false;

  constructor(config: ProxyConfig, log: Log) {
    this.#config = config;
    this.#log = log;
    // Nobody may outlive a supervisor that ends at once; workers that notice late only drain.
    process.on("exit", () => {
      for (const worker of this.#workers.values()) worker.process.kill("SIGKILL");
    });
  }

  /** Workers that run. */
  get size(): number {
    return this.#workers.size;
  }

  /** The first worker finds the ports where the config leaves them open; the others join it. */
  async start(): Promise<Readonly<Record<string, string>>> {
    const addresses = await this.#launch(0);
    const listeners = this.#config.listeners.map((listener) => ({
      ...listener,
      address: addresses[listener.name] ?? listener.address,
    }));
    this.#config = { ...this.#config, listeners };
    const others = Array.from({ length: this.#config.workers - 1 }, (_, index) => this.#launch(index + 1));
    await Promise.all(others).catch(async (error: unknown) => {
      await this.drain();
      throw error;
    });
    return addresses;
  }

  async metrics(): Promise<string> {
    return Telemetry.mergeAndFormat(await this.#askAll("snapshot", null));
  }

  async journal(filter: JournalFilter): Promise<JournalReport> {
    return mergeJournals(await this.#askAll("journal", filter), filter.limit);
  }

  async lostKeys(): Promise<LostKeysReport> {
    return mergeLostKeys(await this.#askAll("lostKeys", null));
  }

  connections(): ConnectionsReport {
    return mergeConnections([...this.#workers.values()].flatMap(({ connections }) => connections ?? []));
  }

  /** That of a worker which has another table than `own`, if there is one. */
  tableStatus(own: TableStatus): TableStatus {
    const behind = [...this.#workers.values()].find(({ table }) => table !== undefined && table.digest !== own.digest);
    return behind?.table ?? own;
  }

  async drain(): Promise<void> {
    this.#draining = true;
    const { drainMs, drainDelayMs } = this.#config.timeouts;
    const workers = [...this.#workers.values()];
    const gone = workers.map(
      ({ process: child }) => new Promise<void>((resolve) => child.once("exit", () => resolve())),
    );
    for (const worker of workers) this.#send(worker, { kind: "drain" });
    const timer = setTimeout(
      () => {
        for (const worker of workers) worker.process.kill("SIGKILL");
      },
      drainMs + drainDelayMs + GRACE_MS,
    );
    await Promise.all(gone);
    clearTimeout(timer);
  }

  /** Resolves with what it listens on; rejects when it ends before that. */
  #launch(number: number): Promise<Readonly<Record<string, string>>> {
    const child = fork(workerEntry, [], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const worker: Worker = {
      number,
      process: child,
      startedMs: performance.now(),
      questions: new PendingQuestions((message) => this.#send(worker, message), QUESTION_MS),
      table: undefined,
      connections: undefined,
    };
    this.#workers.set(number, worker);
    const { promise, resolve, reject } = Promise.withResolvers<Readonly<Record<string, string>>>();
    let listening = false;
    child.on("message", (message: FromWorker) => {
      switch (message.kind) {
        case "listening":
          listening = true;
          this.#log.info("worker started", { worker: number, workerPid: child.pid });
          return resolve(message.listeners);
        case "refused":
          return reject(new Error(message.message));
        case "answer":
          return worker.questions.answered(message.id, message.answer);
        case "report":
          worker.table = message.table;
          worker.connections = message.connections;
      }
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      this.#workers.delete(number);
      const how = signal ?? `code ${code}`;
      reject(new Error(`worker ${number} ended with ${how} before it was ready`));
      worker.questions.giveUp();
      if (listening && !this.#draining) this.#restartLater(number, how, performance.now() - worker.startedMs);
    });
    this.#send(worker, { kind: "start", config: this.#config, worker: number, instanceId: this.#instanceId });
    return promise;
  }

  #restartLater(number: number, how: string, livedMs: number): void {
    const crashes = livedMs >= SETTLED_MS ? 0 : (this.#crashesInARow.get(number) ?? 0);
    this.#crashesInARow.set(number, crashes + 1);
    const delayMs = Math.min(RESTART_MS * 2 ** crashes, RESTART_MS_MAX);
    this.#log.error("a worker ended, starting it again", { worker: number, how, delayMs });
    // Unreferenced: a drain that finished meanwhile does not wait for it.
    setTimeout(() => {
      if (this.#draining) return;
      this.#launch(number).catch((error: unknown) => {
        if (!this.#draining) this.#restartLater(number, String(error), 0);
      });
    }, delayMs).unref();
  }

  /** The answers of the workers that answer. */
  async #askAll<Q extends Question>(question: Q, about: Questions[Q]["about"]): Promise<Questions[Q]["answer"][]> {
    const workers = [...this.#workers.values()];
    const answers = await Promise.all(workers.map((worker) => worker.questions.ask(question, about)));
    return answers.filter((answer) => answer !== undefined);
  }

  #send(worker: Worker, message: ToWorker): void {
    // A worker that has just died cannot be told anything; its exit event says the rest.
    if (worker.process.connected) worker.process.send(message, () => {});
  }
}
