// The life of `sidelane connect`: one session over as many connections as it takes. Ends by Ctrl-C, or when the control plane says
// something that will not get better by itself.

import type { ControlAccess } from "../../client/access.ts";
import { RefusedError } from "../../base/refused-error.ts";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { defaultKeepAlive } from "../../control/connect/keep-alive.ts";
import type { KeepAliveTimes } from "../../control/connect/keep-alive.ts";
import type { FromReplica } from "../../control/connect/wire.ts";
import { dial } from "./dial.ts";
import type { TargetCounts } from "./events.ts";
import { Link } from "./link.ts";
import { LocalApp } from "./local-app.ts";
import type { LocalTarget } from "./local-target.ts";
import type { Report } from "./report.ts";
import { tellReadiness } from "./readiness.ts";

export interface MachineOptions {
  /** Replicas, in the order in which they are tried; at least one. */
  readonly accesses: readonly ControlAccess[];
  readonly sandbox: string;
  readonly targets: readonly LocalTarget[];
  readonly create: boolean;
  readonly takeOver: boolean;
  /** Name of this machine, for others. */
  readonly machine: string;
  readonly report: Report;
  /** Ctrl-C. */
  readonly leave: AbortSignal;
  readonly keepAlive?: KeepAliveTimes | undefined;
}

/** How one connection ended. */
type End =
  | { readonly kind: "lost"; readonly why: string }
  /** The replica ends; the link goes on for what runs. */
  | { readonly kind: "move"; readonly link: Link }
  | { readonly kind: "left" };

type Welcome = Extract<FromReplica, { readonly kind: "welcome" }>;

const RETRY_MS = [250, 500, 1000, 2000, 4000, 5000];
/** From the open WebSocket to the welcome. */
const WELCOME_MS = 10_000;
/** After Ctrl-C: for what runs, and at least for sidecars to hear of it. */
const LEAVE_MS = 5000;
const LINGER_MS = 1000;
const COUNTS_MS = 2000;

/** Resolves when it has left; rejects with a `RefusedError` that says what to do. */
export async function connectMachine(options: MachineOptions): Promise<void> {
  const { accesses, report, leave } = options;
  const machine = new Machine(options);
  await machine.start();
  try {
    for (let attempt = 0, round = 0; !leave.aborted; round++) {
      const access = accesses[round % accesses.length];
      if (access === undefined) return; // at least one, says the type's comment
      const end = await machine.connectOnce(access);
      if (end.kind === "left") return;
      if (end.kind === "move") {
        attempt = 0;
        continue;
      }
      if (machine.takeWelcomed()) attempt = 0;
      const base = RETRY_MS[Math.min(attempt++, RETRY_MS.length - 1)] ?? 0;
      // Many lose the same replica at the same time.
      const retryInMs = Math.round(base * (0.75 + 0.5 * Math.random()));
      report({ event: "disconnected", why: end.why, retryInMs, graceLeftMs: machine.graceLeftMs() });
      await sleep(retryInMs, undefined, { signal: leave }).catch(() => undefined);
    }
  } finally {
    machine.stop();
  }
}

class Machine {
  readonly #options: MachineOptions;
  readonly #secret = randomBytes(32).toString("base64url");
  readonly #apps: readonly LocalApp[];
  readonly #counts: { open: number; total: number; failed: number }[];
  #countsTold = "";
  readonly #countsTimer: NodeJS.Timeout;
  #link: Link | undefined;
  /** Of the replica before, for what runs there. */
  #former: Link | undefined;
  #welcomed = false;
  #everWelcomed = false;
  #lostAt = 0;
  #graceMs = 0;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.#apps = options.targets.map((target) => new LocalApp(target, () => this.#appChanged(target)));
    this.#counts = options.targets.map(() => ({ open: 0, total: 0, failed: 0 }));
    this.#countsTimer = setInterval(() => this.#tellCounts(), COUNTS_MS);
  }

  async start(): Promise<void> {
    await Promise.all(this.#apps.map((app) => app.start()));
  }

  stop(): void {
    clearInterval(this.#countsTimer);
    for (const app of this.#apps) app.stop();
    this.#former?.close("this machine ends");
    this.#link?.close("this machine ends");
  }

  /** Whether there was a welcome since the last time this was asked. */
  takeWelcomed(): boolean {
    const was = this.#welcomed;
    this.#welcomed = false;
    return was;
  }

  /** How long the sandbox goes on waiting for us. */
  graceLeftMs(): number {
    return this.#everWelcomed ? Math.max(0, Math.round(this.#lostAt + this.#graceMs - performance.now())) : 0;
  }

  /** Connects once, and stays until that ends. */
  async connectOnce(access: ControlAccess): Promise<End> {
    const { sandbox, targets, create, takeOver, machine, report, leave, keepAlive } = this.#options;
    if (!this.#everWelcomed) report({ event: "connecting", control: access.url });
    const services = targets.map(({ name }) => name);
    // Whoever has been taken over does not take it back by reconnecting.
    const force = takeOver && !this.#everWelcomed;
    const asked = { sandbox, services, create, takeOver: force, machine, secret: this.#secret };
    const dialled = await dial(access, asked, leave);
    if (leave.aborted) return { kind: "left" };
    if ("later" in dialled) return { kind: "lost", why: dialled.later };

    const over = Promise.withResolvers<End>();
    const ready = new AbortController();
    const timer = setTimeout(() => link.close("the control plane did not say welcome"), WELCOME_MS);
    let removed: (message: Extract<FromReplica, { readonly kind: "removed" }> | undefined) => void = () => {};
    const link: Link = new Link(dialled, this.#apps, keepAlive ?? defaultKeepAlive, {
      onMessage: (message) => {
        if (message.kind === "welcome") {
          clearTimeout(timer);
          this.#welcome(access, message);
          void tellReadiness(access, message, report, ready.signal);
        } else if (message.kind === "ended") over.reject(new RefusedError(endedText(message)));
        else if (message.kind === "reconnect") over.resolve({ kind: "move", link });
        else removed(message);
      },
      onClose: (why) => {
        over.resolve({ kind: "lost", why: `${access.url}: ${why}` });
        removed(undefined);
      },
      onConnection: (target, what) => this.#count(target, what),
    });
    this.#link = link;
    this.#tellUnreachable();
    const onLeave = async (): Promise<void> => {
      ready.abort();
      const answer = new Promise<Parameters<typeof removed>[0]>((resolve) => (removed = resolve));
      await this.#leave(link, answer);
      over.resolve({ kind: "left" });
    };
    const leaving = (): void => void onLeave();
    leave.addEventListener("abort", leaving, { once: true });
    try {
      const end = await over.promise;
      if (end.kind !== "left" && leave.aborted) return { kind: "left" };
      return end;
    } finally {
      leave.removeEventListener("abort", leaving);
      clearTimeout(timer);
      ready.abort();
      this.#lostAt = performance.now();
      this.#link = undefined;
      await this.#retire(link, over.promise);
    }
  }

  /** A link whose replica ends goes on for what runs on it; any other ends now. */
  async #retire(link: Link, over: Promise<End>): Promise<void> {
    const end = await over.catch(() => undefined);
    if (end?.kind !== "move") return link.close("it is over");
    this.#former?.close("it is over");
    this.#former = link;
  }

  #welcome(access: ControlAccess, message: Welcome): void {
    const { report, targets } = this.#options;
    const again = this.#everWelcomed;
    this.#welcomed = true;
    this.#everWelcomed = true;
    this.#graceMs = message.graceMs;
    const { sandbox, key, as, replica, temporary, endpoints, aftermaths } = message;
    const services = targets.map(({ name, address }, index) => ({
      service: name,
      local: address,
      endpoint: endpoints[index] ?? "",
      otherwise: aftermaths[index] ?? "nobody",
      problem: this.#apps[index]?.problem ?? "",
    }));
    report({ event: "connected", control: access.url, replica, as, sandbox, key, temporary, again, services });
    const former = this.#former;
    this.#former = undefined;
    if (former !== undefined) void quiet(former, LEAVE_MS, 0).then(() => former.close("it is over"));
  }

  /** Ctrl-C: out of the table first, so that nothing new comes; then what runs. */
  async #leave(
    link: Link,
    answer: Promise<Extract<FromReplica, { readonly kind: "removed" }> | undefined>,
  ): Promise<void> {
    const { report, targets } = this.#options;
    const begun = performance.now();
    report({ event: "leaving", running: link.busy });
    link.send({ kind: "goodbye" });
    const removed = await Promise.race([answer, sleep(LEAVE_MS, undefined, { ref: false })]);
    // Where nobody is to answer, doors are shut already; elsewhere sidecars hear of it within a moment.
    const lingerMs = removed?.aftermaths.every((one) => one === "nobody") === true ? 0 : LINGER_MS;
    if (removed !== undefined) await quiet(link, LEAVE_MS - (performance.now() - begun), lingerMs);
    this.#tellCounts();
    report({
      event: "left",
      services: targets.map(({ name }, index) => ({
        service: name,
        answeredBy: removed?.aftermaths[index] ?? "nobody",
      })),
      problem: removed === undefined ? "it did not answer to our goodbye" : removed.problem,
    });
  }

  #appChanged({ name, address }: LocalTarget): void {
    const problem = this.#apps.find(({ target }) => target.name === name)?.problem ?? "";
    this.#tellUnreachable();
    // Before, the first report says it.
    if (!this.#everWelcomed) return;
    this.#options.report({ event: "app", service: name, local: address, reachable: problem === "", problem });
  }

  #tellUnreachable(): void {
    const targets = this.#apps.flatMap(({ problem }, index) => (problem === "" ? [] : [index]));
    this.#link?.send({ kind: "unreachable", targets });
  }

  #count(target: number, what: "opened" | "failed" | "closed"): void {
    const counts = this.#counts[target];
    if (counts === undefined) return;
    if (what === "failed") counts.failed++;
    else counts.open += what === "opened" ? 1 : -1;
    if (what === "opened") counts.total++;
  }

  #tellCounts(): void {
    const services = this.#options.targets.map(({ name }, index): TargetCounts => ({
      service: name,
      ...(this.#counts[index] ?? { open: 0, total: 0, failed: 0 }),
    }));
    const told = JSON.stringify(services);
    if (
      told === this.#countsTold ||
      (this.#countsTold === "" && services.every(({ total, failed }) => total + failed === 0))
    ) {
      return;
    }
    this.#countsTold = told;
    this.#options.report({ event: "connections", services });
  }
}

/** Resolves when nothing runs on the link and at least `leastMs` have passed, after `mostMs` in any case. */
async function quiet(link: Link, mostMs: number, leastMs: number): Promise<void> {
  const begun = performance.now();
  for (;;) {
    const passed = performance.now() - begun;
    if (passed >= mostMs || (passed >= leastMs && link.busy === 0)) return;
    await sleep(50);
  }
}

function endedText({ why, detail }: Extract<FromReplica, { readonly kind: "ended" }>): string {
  switch (why) {
    case "taken-over":
      return `${detail}; take it back with --take-over, or use a sandbox of your own`;
    case "deleted":
      return `${detail}; nothing reaches this machine any more`;
    case "removed":
      return `${detail}; connect again if that was not meant`;
  }
}
