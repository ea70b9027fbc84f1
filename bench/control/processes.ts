// The processes of the simulation, from the side of the one that starts them.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { ControlReport, FromClients, FromControlProcess, ToClients, ToControl } from "./messages.ts";
import type { Plan } from "./plan.ts";

const CLIENT_PROCESSES = 4;
const POLL_MS = 50;
const PATIENCE_MS = 180_000;

export async function startControl(plan: Plan, settings: { readonly slowMs: number }): Promise<Control> {
  return new Control(plan, settings.slowMs, new Map(), 1000, 0).start();
}

export class Control {
  address = "";
  revision: number;
  readonly #plan: Plan;
  readonly #slowMs: number;
  readonly #port: number;
  readonly #process: ChildProcess;
  /** By sandbox: how often it has been changed. */
  readonly #changes: Map<number, number>;
  #next = 0;

  constructor(plan: Plan, slowMs: number, changes: Map<number, number>, revision: number, port: number) {
    this.#plan = plan;
    this.#slowMs = slowMs;
    this.#changes = changes;
    this.revision = revision;
    this.#process = fork(pathOf("control-process.ts"));
    this.#port = port;
  }

  async start(): Promise<this> {
    const answer = this.#answer("started");
    const [plan, port, slowMs, changes] = [this.#plan, this.#port, this.#slowMs, [...this.#changes]];
    this.#tell({ kind: "start", plan, port, slowMs, changes, revision: this.revision });
    this.address = (await answer).address;
    return this;
  }

  /** A new one in its place, after this one was killed. */
  async again(revisionsLater: number): Promise<Control> {
    const port = Number(this.address.slice(this.address.lastIndexOf(":") + 1));
    return new Control(this.#plan, this.#slowMs, this.#changes, this.revision + revisionsLater, port).start();
  }

  async report(): Promise<ControlReport> {
    const answer = this.#answer("report");
    this.#tell({ kind: "report" });
    return (await answer).report;
  }

  async digests(sidecars: readonly number[]): Promise<readonly string[]> {
    const answer = this.#answer("digests");
    this.#tell({ kind: "digests", sidecars });
    return (await answer).digests;
  }

  /** Until that many sidecars are current. */
  async untilCurrent(count: number): Promise<readonly ControlReport[]> {
    return this.#until(({ current }) => current >= count);
  }

  async idle(forMs: number): Promise<readonly ControlReport[]> {
    await sleep(forMs);
    return [await this.report()];
  }

  /** Changes that often, and waits until all of them are acknowledged. */
  async changeFor(seconds: number, perSecond: number): Promise<readonly ControlReport[]> {
    const began = performance.now();
    for (let at = 0; at < seconds * perSecond; at++) {
      await sleep(began + (at * 1000) / perSecond - performance.now());
      const sandbox = (this.#next++ * 37) % this.#plan.sandboxes;
      const changes = (this.#changes.get(sandbox) ?? 0) + 1;
      this.#changes.set(sandbox, changes);
      this.revision++;
      this.#tell({ kind: "change", sandbox, changes });
    }
    const during = await this.report();
    return [during, ...(await this.#until(({ open }) => open === 0))];
  }

  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await exited;
  }

  async #until(done: (report: ControlReport) => boolean): Promise<readonly ControlReport[]> {
    const reports: ControlReport[] = [];
    const giveUpAt = performance.now() + PATIENCE_MS;
    for (;;) {
      const report = await this.report();
      reports.push(report);
      if (done(report)) return reports;
      if (performance.now() > giveUpAt) {
        const { current, streams, open } = report;
        throw new Error(
          `bench:control: not done after ${PATIENCE_MS / 1000} s: ${current} of ${streams} current, ${open} changes open`,
        );
      }
      await sleep(POLL_MS);
    }
  }

  #tell(message: ToControl): void {
    this.#process.send(message);
  }

  #answer<K extends FromControlProcess["kind"]>(kind: K): Promise<Extract<FromControlProcess, { kind: K }>> {
    return answerOf<FromControlProcess, K>(this.#process, kind);
  }
}

/** Starts the processes; there are no sidecars in them yet. */
export function startClients(): Clients {
  return new Clients();
}

export class Clients {
  readonly #processes = Array.from({ length: CLIENT_PROCESSES }, () => fork(pathOf("client-process.ts")));

  /** @param revision of the table that they have already; 0: none. */
  start(plan: Plan, address: string, count: number, revision: number): void {
    this.#each(count, 0, (sidecars) => ({ kind: "start", plan, address, sidecars, revision }));
  }

  slow(plan: Plan, address: string, count: number, firstIndex: number): void {
    this.#each(count, firstIndex, (sidecars) => ({ kind: "slow", plan, address, sidecars }));
  }

  async digests(sidecars: readonly number[]): Promise<readonly string[]> {
    const byIndex = new Map<number, string>();
    for (const [at, one] of this.#processes.entries()) {
      const own = sidecars.filter((index) => index % CLIENT_PROCESSES === at);
      const answer = answerOf<FromClients, "digests">(one, "digests");
      one.send({ kind: "digests", sidecars: own } satisfies ToClients);
      const { digests } = await answer;
      for (const [place, index] of own.entries()) byIndex.set(index, digests[place] ?? "");
    }
    return sidecars.map((index) => byIndex.get(index) ?? "");
  }

  /** CPU of all of them since the last time. */
  async cpuMs(): Promise<number> {
    const reports = this.#processes.map((one) => {
      const answer = answerOf<FromClients, "report">(one, "report");
      one.send({ kind: "report" } satisfies ToClients);
      return answer;
    });
    return (await Promise.all(reports)).reduce((sum, { cpuMs }) => sum + cpuMs, 0);
  }

  kill(): void {
    for (const one of this.#processes) one.kill("SIGKILL");
  }

  #each(count: number, firstIndex: number, message: (sidecars: readonly number[]) => ToClients): void {
    const all = Array.from({ length: count }, (_, at) => firstIndex + at);
    for (const [at, one] of this.#processes.entries()) {
      one.send(message(all.filter((index) => index % CLIENT_PROCESSES === at)));
    }
  }
}

function answerOf<Message extends { readonly kind: string }, K extends Message["kind"]>(
  child: ChildProcess,
  kind: K,
): Promise<Extract<Message, { kind: K }>> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: unknown): void => {
      const answer = message as Message; // what the process's own module sends
      if (answer.kind !== kind) return;
      child.off("message", onMessage);
      child.off("exit", onExit);
      resolve(answer as Extract<Message, { kind: K }>);
    };
    const onExit = (code: number | null): void => {
      reject(new Error(`bench:control: a process has ended with ${code ?? "a signal"} while "${kind}" was awaited`));
    };
    child.on("message", onMessage);
    child.once("exit", onExit);
  });
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
