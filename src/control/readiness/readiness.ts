// Whether sandboxes are ready: in use on every sidecar that they concern (Applied), and answering when a request with their key is
// sent through one (Answered). Nothing is worked out before somebody asks.
//
// Guarantees: `status` costs no more than a look at those that are behind; `wait` ends in time, and its last event is `done`; what
// cannot be known (a replica that does not answer) is never taken for done.

import type { Condition, SandboxStatus, WaitEvent } from "../api/backend.ts";
import type { ProbeSpec, SandboxResource } from "../resource.ts";
import type { ControlState, FeedChange } from "../state.ts";
import { type Answered, answeredBy, candidatesFor, subjectsOf, withRevision } from "./answered.ts";
import { type Applied, type Wanted, appliedAt, sidecarText } from "./applied.ts";
import { ConditionLog, type Finding } from "./condition-log.ts";
import type { Prober } from "./prober.ts";
import { Past } from "./past.ts";
import type { Returning } from "./returning.ts";
import { RevisionAges } from "./revision-ages.ts";
import type { SidecarViews, Views } from "./sidecar-views.ts";

/** While somebody waits: how old what other replicas said may be, and how often it is looked again without an event. */
const OTHERS_MS = 500;
const LOOK_MS = 250;
/** Sentences with a duration in them are told again this often. */
const RETELL_MS = 2_000;
/** Another replica may have just made the sandbox. */
const UNKNOWN_MS = 1_000;

/** Where the engine gets its knowledge from. */
export interface ReadinessDeps {
  readonly state: ControlState;
  readonly views: SidecarViews;
  readonly prober: Prober;
  /** Id of this replica. */
  readonly replica: string;
  /** Whether a replica lives: developers' machines are connected to one. */
  readonly lives: (replica: string) => boolean;
  /** Whether sidecars may be missing of which nobody knows at the moment. */
  readonly returning: Pick<Returning, "why">;
  /** When the sandbox is going to expire; undefined: never. */
  readonly expiry: (sandbox: SandboxResource) => { readonly expiresAt: Date; readonly warned: boolean } | undefined;
  /** When it last had traffic; undefined: none was seen. */
  readonly lastTraffic: (sandbox: string) => Date | undefined;
}

export class Readiness {
  readonly #deps: ReadinessDeps;
  readonly #conditions = new ConditionLog();
  readonly #ages = new RevisionAges();
  readonly #past = new Past();
  readonly #stop: () => void;

  constructor(deps: ReadinessDeps) {
    this.#deps = deps;
    this.#ages.heard(deps.state.revision);
    this.#past.reset(deps.state.revision);
    this.#stop = deps.state.onChange((change) => this.#changed(change));
  }

  close(): void {
    this.#stop();
  }

  /** What is known about a sandbox; undefined when there is none of that name. Sees to it that what is old is asked again. */
  status(name: string): SandboxStatus | undefined {
    const sandbox = this.#deps.state.find("sandbox", name);
    void this.#deps.views.refresh(OTHERS_MS * 4);
    return sandbox === undefined ? undefined : this.#statusOf(sandbox, false);
  }

  /** As `status`, but waits up to so many milliseconds for what is being asked, so that the first look says something. */
  async statusSoon(name: string, withinMs: number): Promise<SandboxStatus | undefined> {
    for await (const event of this.wait(name, "ready", withinMs, AbortSignal.timeout(withinMs + 1))) {
      const asked = !event.status.conditions.some(({ reason }) => reason === "NotAskedYet");
      if (event.kind === "done" || asked) break;
    }
    return this.status(name);
  }

  /** Events until the sandbox is ready, or gone everywhere with nothing of it running, or the time is up, or `signal` aborted. */
  async *wait(
    name: string,
    what: "ready" | "deleted",
    withinMs: number,
    signal: AbortSignal,
  ): AsyncGenerator<WaitEvent, void, undefined> {
    const { views } = this.#deps;
    const startMs = performance.now();
    const deadlineMs = startMs + withinMs;
    const look = what === "ready" ? () => this.#readyNow(name, startMs) : () => this.#deletedNow(name);
    const alarm = new Alarm();
    signal.addEventListener("abort", alarm.ring);
    const stops = [views.onChange(alarm.ring), this.#deps.prober.onAnswer(alarm.ring)];
    let told = "";
    let toldMs = Number.NEGATIVE_INFINITY;
    try {
      while (!signal.aborted) {
        // Until they answer, what the other replicas' sidecars have is not known, and nothing is taken for done.
        void views.refresh(OTHERS_MS);
        const { outcome, status } = look();
        const nowMs = performance.now();
        if (outcome !== undefined || nowMs >= deadlineMs) {
          yield {
            kind: "done",
            ...(outcome ?? { reached: false, message: lateText(name, what, withinMs, status) }),
            status,
          };
          return;
        }
        const text = textOf(status);
        if (withoutDurations(text) !== withoutDurations(told) || (text !== told && nowMs - toldMs >= RETELL_MS)) {
          told = text;
          toldMs = nowMs;
          yield { kind: "progress", status };
        }
        await alarm.within(Math.min(LOOK_MS, deadlineMs - nowMs));
      }
    } finally {
      signal.removeEventListener("abort", alarm.ring);
      for (const stop of stops) stop();
    }
  }

  #readyNow(name: string, startMs: number): Look {
    const sandbox = this.#deps.state.find("sandbox", name);
    if (sandbox === undefined) {
      const patient = performance.now() - startMs < UNKNOWN_MS && this.#past.removalOf(name) === undefined;
      const message = `there is no sandbox ${name}${this.#past.removalOf(name) !== undefined ? " any more" : ""}`;
      return { outcome: patient ? undefined : { reached: false, message }, status: { conditions: [] } };
    }
    const status = this.#statusOf(sandbox, true);
    const ready = status.conditions.find(({ type }) => type === "Ready");
    return { outcome: ready?.status === "true" ? { reached: true, message: ready.message } : undefined, status };
  }

  #deletedNow(name: string): Look {
    const { state, views } = this.#deps;
    if (state.find("sandbox", name) !== undefined) {
      const findings: Finding[] = [
        { type: "Removed", status: "false", reason: "Exists", message: `the sandbox ${name} has not been deleted` },
      ];
      return { outcome: undefined, status: { conditions: this.#conditions.note(name, findings) } };
    }
    const now = views.now();
    const { revision, services } = this.#past.removalOf(name) ?? { revision: state.revision, services: undefined };
    const applied = this.#applied(now, { revision, services });
    const running = runningOf(now, name);
    const findings: Finding[] = [
      { ...appliedFinding(applied, revision), type: "Removed" },
      {
        type: "Idle",
        status: running.length === 0 ? "true" : "false",
        reason: running.length === 0 ? "NothingRuns" : "ExchangesRun",
        message: running.length === 0 ? "no exchange of it is running" : running.join("; "),
      },
    ];
    const conditions = this.#conditions.note(name, findings);
    const done = applied.status === "true" && running.length === 0;
    if (done) this.#conditions.forget(name);
    const message = `the sandbox ${name} is gone from every sidecar, and nothing of it is running`;
    return { outcome: done ? { reached: true, message } : undefined, status: { conditions } };
  }

  #statusOf(sandbox: SandboxResource, patient: boolean): SandboxStatus {
    const { state, views, expiry, lastTraffic } = this.#deps;
    const { name, meta } = sandbox;
    const now = views.now();
    const applied = this.#applied(now, {
      revision: meta.version,
      services: this.#past.isKnown(meta)
        ? state.table.sandboxes.get(name)?.services.map(({ service }) => service)
        : undefined,
      former: this.#past.formerOf(name),
    });
    const answered = this.#answered(sandbox, now, patient);
    const ends = expiry(sandbox);
    const findings: Finding[] = [
      readyFinding(applied, answered),
      appliedFinding(applied, meta.version),
      answeredFinding(answered),
      ...this.#connected(sandbox),
      ...(ends?.warned === true ? [expiringFinding(ends.expiresAt, sandbox)] : []),
    ];
    return {
      conditions: this.#conditions.note(name, findings),
      ...(ends === undefined ? {} : { expiresAt: ends.expiresAt.toISOString() }),
      ...(lastTraffic(name) === undefined ? {} : { lastTrafficAt: lastTraffic(name)?.toISOString() }),
    };
  }

  #applied(views: Views, wanted: Omit<Wanted, "ageMs">): Applied {
    const ageMs = this.#ages.ageMs(wanted.revision);
    return appliedAt(views, { ...wanted, ageMs }, Date.now(), this.#deps.returning.why());
  }

  #answered({ name, meta }: SandboxResource, views: Views, patient: boolean): Answered {
    const { state, prober, replica } = this.#deps;
    const sandbox = state.table.sandboxes.get(name);
    const probeOf = (service: string): ProbeSpec | undefined => state.find("service", service)?.spec.probe;
    const subjects = sandbox === undefined ? [] : subjectsOf(sandbox, meta.version, probeOf);
    if (subjects.length === 0) return { status: "true", reason: "NothingToAsk", missing: [] };
    // Their sidecars lack it, and do not know yet that they are behind.
    const older = new Set(views.replicas.flatMap((one) => (one.revision < meta.version ? [one.replica] : [])));
    const parts = subjects.map((subject) => {
      const found = candidatesFor(views, subject.probe.service, replica);
      const able = withRevision(found, meta.version);
      const candidates = older.size === 0 ? able : able.filter((one) => !older.has(one.replica));
      return { subject, outcome: prober.look(subject, candidates, patient), canBeAsked: found.any };
    });
    return answeredBy(parts);
  }

  #connected({ name, spec }: SandboxResource): Finding[] {
    const machines = Object.entries(spec.connected ?? {});
    if (machines.length === 0) return [];
    const lost = machines.filter(([, { replica }]) => !this.#deps.lives(replica));
    const texts = machines.map(([service, { machine, by, replica }]) => {
      const where = this.#deps.lives(replica) ? "" : `, whose control replica ${replica} is gone`;
      return `${service}: ${machine} of ${by}${where}`;
    });
    return [
      {
        type: "Connected",
        status: lost.length === 0 ? "true" : "false",
        reason: lost.length === 0 ? "MachineConnected" : "ReplicaGone",
        message: `requests of ${name} reach developers' machines: ${texts.join("; ")}`,
      },
    ];
  }

  #changed(change: FeedChange): void {
    this.#ages.heard(change.to);
    this.#past.changed(change);
    for (const [name, { after }] of change.sandboxes) if (after === undefined) this.#conditions.forget(name);
    if (change.reset) this.#conditions.retain((name) => this.#deps.state.find("sandbox", name) !== undefined);
  }
}

interface Look {
  readonly outcome: { readonly reached: boolean; readonly message: string } | undefined;
  readonly status: SandboxStatus;
}

/** Wakes who sleeps; rung while nobody sleeps, the next sleep is none. */
class Alarm {
  #rung = false;
  #wake: (() => void) | undefined;

  readonly ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };

  async within(ms: number): Promise<void> {
    if (!this.#rung) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, Math.max(0, ms));
      this.#wake = resolve;
      await promise;
      clearTimeout(timer);
    }
    this.#rung = false;
  }
}

function appliedFinding({ status, reason, behind }: Applied, revision: number): Finding {
  const message =
    behind.length === 0 ? `every sidecar that it concerns has revision ${revision} in use` : behind.join("; ");
  return { type: "Applied", status, reason, message };
}

function answeredFinding({ status, reason, missing }: Answered): Finding {
  if (missing.length > 0) return { type: "Answered", status, reason, message: missing.join("; ") };
  const message =
    reason === "NothingToAsk" ? "nothing of it is to be asked" : "each of its services has answered a request";
  return { type: "Answered", status, reason, message };
}

function readyFinding(applied: Applied, answered: Answered): Finding {
  if (applied.status === "true" && answered.status === "true") {
    return {
      type: "Ready",
      status: "true",
      reason: "Ready",
      message: "in use on every sidecar, and each of its services answers",
    };
  }
  const both = [
    { status: applied.status, reason: applied.reason, sentences: applied.behind },
    { status: answered.status, reason: answered.reason, sentences: answered.missing },
  ].filter(({ status }) => status !== "true");
  // Without a sidecar nothing would ever be known: that is no, and says what to do.
  const no = both.find(({ status, reason }) => status === "false" || reason === "NoSidecar");
  return {
    type: "Ready",
    status: no === undefined ? "unknown" : "false",
    reason: (no ?? both[0])?.reason ?? "",
    message: both.flatMap(({ sentences }) => sentences).join("; "),
  };
}

function expiringFinding(expiresAt: Date, { spec }: SandboxResource): Finding {
  const from = spec.ttlFrom === "traffic" ? "without traffic" : "after it was created";
  return {
    type: "Expiring",
    status: "true",
    reason: "TtlNearlyOver",
    message: `it is deleted at ${expiresAt.toISOString()}, ${spec.ttl} ${from}; give it a longer ttl to keep it`,
  };
}

/** Where exchanges of a sandbox still run that is gone, as sentences. */
function runningOf({ running }: Views, name: string): string[] {
  const texts = (running.get(name) ?? []).map((one) => {
    const exchanges = one.busy.find(({ sandbox }) => sandbox === name)?.exchanges ?? 0;
    const [are, were] = exchanges === 1 ? ["1 exchange is", "1 exchange was"] : plural(exchanges);
    if (one.connected) return `${are} still running at ${sidecarText(one)}`;
    return `${were} running at ${sidecarText(one)} when its connection broke; it is forgotten if it does not come back`;
  });
  const crowded = (running.get("") ?? []).map(
    (one) => `${sidecarText(one)} has exchanges of more deleted sandboxes than are kept; this may be one of them`,
  );
  return [...texts, ...crowded];
}

function plural(exchanges: number): readonly [string, string] {
  return [`${exchanges} exchanges are`, `${exchanges} exchanges were`];
}

function textOf({ conditions }: SandboxStatus): string {
  return conditions.map(({ type, status, message }: Condition) => `${type} ${status}: ${message}`).join("\n");
}

function withoutDurations(text: string): string {
  return text.replace(/\d+ s\b/gu, "s");
}

function lateText(name: string, what: "ready" | "deleted", withinMs: number, { conditions }: SandboxStatus): string {
  const missing = conditions.filter(({ type, status }) => type !== "Ready" && type !== "Expiring" && status !== "true");
  const why = missing.map(({ message }) => message).join("; ");
  return `the sandbox ${name} is not ${what} after ${Math.round(withinMs / 1000)} s: ${why === "" ? "nothing is known about it" : why}`;
}
