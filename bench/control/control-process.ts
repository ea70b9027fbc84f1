// The process that is measured: the control plane's state and feed server as they are, without a store behind them.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { silentLog } from "../../src/base/log.ts";
import { startFeedServer, type FeedServer } from "../../src/control/feed/server.ts";
import { type Membership, Sidecars, type SidecarStream } from "../../src/control/feed/sidecars.ts";
import { ControlState } from "../../src/control/state.ts";
import type { Hello } from "../../src/feed/messages.ts";
import { ScopeView, scoped } from "../../src/feed/scope.ts";
import { type ControlReport, type FromControlProcess, SOURCE, type StartControl, type ToControl } from "./messages.ts";
import { type Plan, sandboxOf, scopeOf, serviceName, serviceOf, servicesOfSandbox } from "./plan.ts";

interface Change {
  readonly at: number;
  remaining: number;
}

/** Counts who has acknowledged what, without looking at all sidecars for each acknowledgement. */
class CountedSidecars extends Sidecars {
  /** By instance: revisions that concern it and are not acknowledged. */
  readonly #due = new Map<string, number[]>();
  readonly #byService = new Map<string, Set<string>>();
  readonly #changes = new Map<number, Change>();
  latenciesMs: number[] = [];
  concerned = 0;

  get open(): number {
    return this.#changes.size;
  }

  /** A commit is made at this moment. */
  committed(revision: number, services: readonly string[]): void {
    const instances = new Set(this.#byService.get(""));
    for (const service of services) this.#byService.get(service)?.forEach((one) => instances.add(one));
    this.#changes.set(revision, { at: performance.now(), remaining: instances.size });
    this.concerned += instances.size;
    for (const instance of instances) this.#due.get(instance)?.push(revision);
  }

  override join(hello: Hello, appliedRevision: number, stream: SidecarStream): Membership {
    const membership = super.join(hello, appliedRevision, stream);
    const { instance, scope } = hello;
    if (instance.startsWith("slow")) return membership;
    // After a restart nobody is counted for what was committed while it was away.
    this.#due.set(instance, []);
    for (const service of scope.services.length === 0 ? [""] : scope.services) {
      const known = this.#byService.get(service) ?? new Set();
      this.#byService.set(service, known.add(instance));
    }
    return {
      ...membership,
      applied: (applied) => {
        membership.applied(applied);
        this.#applied(instance, applied.revision);
      },
    };
  }

  #applied(instance: string, revision: number): void {
    const due = this.#due.get(instance);
    if (due === undefined) return;
    while ((due[0] ?? Infinity) <= revision) {
      const change = this.#changes.get(due[0] ?? 0);
      if (change !== undefined && --change.remaining === 0) {
        this.latenciesMs.push(performance.now() - change.at);
        this.#changes.delete(due[0] ?? 0);
      }
      due.shift();
    }
  }
}

const state = new ControlState();
const sidecars = new CountedSidecars("bench");
const delay = monitorEventLoopDelay({ resolution: 10 });
let server: FeedServer | undefined;
let plan: Plan | undefined;
let since = performance.now();
let cpu = process.cpuUsage();
let sent = { updates: 0, bytes: 0, wholeTables: 0, resumed: 0, slow: 0 };

process.on("message", (message: ToControl) => void handle(message));
process.on("disconnect", () => process.exit(0));

async function handle(message: ToControl): Promise<void> {
  switch (message.kind) {
    case "start":
      return start(message);
    case "change":
      return change(message.sandbox, message.changes);
    case "report":
      return tell({ kind: "report", report: report() });
    case "digests":
      return tell({ kind: "digests", digests: message.sidecars.map(digestOf) });
  }
}

async function start({ plan: wanted, port, slowMs, changes, revision }: StartControl): Promise<void> {
  plan = wanted;
  const changed = new Map(changes);
  state.reset({
    revision,
    resources: [
      ...Array.from({ length: wanted.services }, (_, index) => serviceOf(index)),
      ...Array.from({ length: wanted.sandboxes }, (_, index) => sandboxOf(index, changed.get(index) ?? 0, wanted)),
    ],
  });
  server = await startFeedServer({
    config: { address: `127.0.0.1:${port}` },
    state,
    source: () => SOURCE,
    sidecars,
    auth: { identify: () => ({ name: "bench", role: "sidecar", replica: false }) },
    log: silentLog,
    streamsMax: 100_000,
    drainMs: 5000,
    times: { slowMs },
  });
  delay.enable();
  tell({ kind: "started", address: server.address });
}

function change(sandbox: number, changes: number): void {
  if (plan === undefined) return;
  const revision = state.revision + 1;
  sidecars.committed(revision, servicesOfSandbox(sandbox, plan).map(serviceName));
  state.changed({ revision, puts: [sandboxOf(sandbox, changes, plan)], deletes: [] });
}

function report(): ControlReport {
  const used = process.cpuUsage(cpu);
  const now = performance.now();
  const stats = server?.stats;
  const slow = stats?.ends.slow ?? 0;
  const { updatesSent = 0, bytesSent = 0, wholeTables = 0, resumed = 0 } = stats ?? {};
  const made: ControlReport = {
    revision: state.revision,
    streams: stats?.streams ?? 0,
    current: sidecars
      .list()
      .filter((info) => !info.instance.startsWith("slow") && sidecars.isCurrent(info, state.revision)).length,
    latenciesMs: sidecars.latenciesMs,
    open: sidecars.open,
    concerned: sidecars.concerned,
    cpuMs: (used.user + used.system) / 1000,
    wallMs: now - since,
    rssMib: process.memoryUsage.rss() / 2 ** 20,
    peakRssMib: peakRssMib(),
    loopDelayMaxMs: delay.max / 1e6,
    updates: updatesSent - sent.updates,
    bytes: bytesSent - sent.bytes,
    wholeTables: wholeTables - sent.wholeTables,
    resumed: resumed - sent.resumed,
    slow: slow - sent.slow,
  };
  sidecars.latenciesMs = [];
  sidecars.concerned = 0;
  delay.reset();
  sent = { updates: updatesSent, bytes: bytesSent, wholeTables, resumed, slow };
  cpu = process.cpuUsage();
  since = now;
  return made;
}

function peakRssMib(): number {
  const kib = /^VmHWM:\s+(\d+) kB$/mu.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return Number(kib) / 1024;
}

/** Of what a sidecar should have of the sandboxes. */
function digestOf(sidecar: number): string {
  if (plan === undefined) return "";
  const { sandboxes } = scoped(new ScopeView(scopeOf(sidecar, plan)), state.table);
  const lines = Array.from(sandboxes.values(), (sandbox) => JSON.stringify(sandbox)).toSorted();
  return createHash("sha256").update(lines.join("\n")).digest("hex");
}

function tell(message: FromControlProcess): void {
  process.send?.(message);
}
