// Sandboxes with a ttl end by themselves: warned about when four fifths of the time are over, then deleted by an ordinary commit.
//
// Guarantees: what counts are the times in the store (creation, last traffic) at the moment of the commit, so a sandbox that was
// given more time, or had a request on another replica, stays; of several replicas one deletes and the others notice; a store that
// cannot be reached delays and loses nothing; a clock that jumps deletes nothing before it has stood still for a while.

import type { Log } from "../base/log.ts";
import { ttlMs } from "./resources/duration.ts";
import type { GroupResource, SandboxResource } from "./resource.ts";
import type { ControlState } from "./state.ts";
import { unheardMs } from "./traffic.ts";
import type { Traffic } from "./traffic.ts";
import type { DraftResource, Plan, Refusal, Writer } from "./writer.ts";

/** Between two looks at all sandboxes: so late may an end be. */
const LOOK_MS = 5_000;
/** Part of the ttl after which it is warned about. */
const WARNED_AT = 0.8;
/** The wall clock moved by so much more or less than time went by: somebody has set it, or the machine has slept. */
const JUMP_MS = 5_000;
/** Nothing is deleted for so long after a jump, since clocks that are wrong are often put right at once. */
const JUMP_GRACE_MS = 60_000;
/** Of one look; the others come next time. */
const DELETED_MAX = 200;
/** Who does it, in the audit log. */
const ACTOR = "sidelane";

export interface ExpiryDeps {
  readonly state: ControlState;
  readonly writer: Pick<Writer, "write">;
  readonly traffic: Pick<Traffic, "lastMs" | "read">;
  readonly log: Log;
  /** Milliseconds since the epoch, and of a clock that nobody sets. */
  readonly nowMs?: () => number;
  readonly steadyMs?: () => number;
}

/** When a sandbox ends. */
export interface End {
  readonly expiresAt: Date;
  /** It is near. */
  readonly warned: boolean;
}

export class Expiry {
  readonly #deps: ExpiryDeps;
  readonly #nowMs: () => number;
  readonly #steadyMs: () => number;
  /** Sandbox -> the end that it was warned about. */
  readonly #warned = new Map<string, number>();
  /** Sandboxes that could not be deleted, and why: told once. */
  readonly #failed = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  #offsetMs: number;
  #graceUntilMs = Number.NEGATIVE_INFINITY;

  constructor(deps: ExpiryDeps) {
    this.#deps = deps;
    this.#nowMs = deps.nowMs ?? (() => Date.now());
    this.#steadyMs = deps.steadyMs ?? (() => performance.now());
    this.#offsetMs = this.#nowMs() - this.#steadyMs();
  }

  start(): void {
    this.#timer = setInterval(() => void this.look(), LOOK_MS).unref();
  }

  /** Waits for a look that has begun. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  /** When it ends as far as is known here; undefined: never. */
  endOf(sandbox: SandboxResource): End | undefined {
    const ttl = sandbox.spec.ttl === undefined ? undefined : ttlMs(sandbox.spec.ttl);
    if (ttl === undefined) return undefined;
    const endMs = this.#fromMs(sandbox) + ttl;
    return { expiresAt: new Date(endMs), warned: this.#nowMs() >= endMs - ttl * (1 - WARNED_AT) };
  }

  /** Late rather than early: another replica's sidecars may have had a request that nobody here has heard of yet. */
  #isOver({ spec }: SandboxResource, { expiresAt }: End): boolean {
    const ttl = spec.ttl === undefined ? 0 : (ttlMs(spec.ttl) ?? 0);
    return this.#nowMs() >= expiresAt.getTime() + (spec.ttlFrom === "traffic" ? unheardMs(ttl) : 0);
  }

  /** Looks at all sandboxes once; one look at a time. Never rejects. */
  look(): Promise<void> {
    this.#looking = this.#looking.then(() =>
      this.#look().catch((error: unknown) => {
        this.#deps.log.error("looking for expired sandboxes failed", { error: String(error) });
      }),
    );
    return this.#looking;
  }

  async #look(): Promise<void> {
    this.#noteClock();
    const { state, traffic } = this.#deps;
    const over: SandboxResource[] = [];
    for (const sandbox of state.list("sandbox")) {
      const end = this.endOf(sandbox);
      if (end === undefined) continue;
      if (this.#isOver(sandbox, end)) over.push(sandbox);
      else if (end.warned) this.#warn(sandbox, end.expiresAt);
      else this.#warned.delete(sandbox.name);
    }
    this.#tidy();
    if (over.length === 0 || this.#steadyMs() < this.#graceUntilMs) return;
    // A request that another replica's sidecar has told of counts.
    if (over.some(({ spec }) => spec.ttlFrom === "traffic") && !(await traffic.read())) return;
    for (const { name } of over.slice(0, DELETED_MAX)) if (!(await this.#delete(name))) return;
  }

  #noteClock(): void {
    const offsetMs = this.#nowMs() - this.#steadyMs();
    const jumpMs = offsetMs - this.#offsetMs;
    this.#offsetMs = offsetMs;
    if (Math.abs(jumpMs) < JUMP_MS) return;
    this.#graceUntilMs = this.#steadyMs() + JUMP_GRACE_MS;
    this.#deps.log.warn("the clock has jumped, no sandbox expires for a while", {
      jumpMs: Math.round(jumpMs),
      graceMs: JUMP_GRACE_MS,
    });
  }

  /** False: the store takes nothing now. */
  async #delete(name: string): Promise<boolean> {
    const result = await this.#deps.writer.write(ACTOR, "expire", (state) => this.#plan(state, name));
    if (!("refused" in result)) {
      this.#failed.delete(name);
      this.#deps.log.info("sandbox expired and was deleted", { sandbox: name, revision: result.revision });
      return true;
    }
    // Somebody was faster, here or on another replica: it is gone, or has more time.
    if (result.refused === "not-found" || result.refused === "changed") return true;
    if (this.#failed.get(name) !== result.message) {
      this.#failed.set(name, result.message);
      this.#deps.log.warn("an expired sandbox could not be deleted, trying again", {
        sandbox: name,
        why: result.message,
      });
    }
    return result.refused !== "store-down";
  }

  #plan(state: ControlState, name: string): Plan | Refusal {
    const sandbox = state.find("sandbox", name);
    if (sandbox === undefined) return { refused: "not-found", message: `there is no sandbox ${name} any more` };
    const end = this.endOf(sandbox);
    if (end === undefined || !this.#isOver(sandbox, end)) {
      return { refused: "changed", message: `the sandbox ${name} was given more time` };
    }
    // Who lists it would be left with a name that stands for nothing.
    const groups = state.list("group").filter(({ spec }) => spec.sandboxes?.includes(name) === true);
    const { ttl, ttlFrom } = sandbox.spec;
    const since = ttlFrom === "traffic" ? "its last traffic" : "its creation";
    return {
      puts: groups.map((group) => without(group, name)),
      deletes: [{ kind: "sandbox", name }],
      detail: (kind) => (kind === "group" ? `sandboxes: without ${name}, which expired` : `${ttl} since ${since}`),
    };
  }

  /** ISO times of the store, or of what sidecars have told since. */
  #fromMs({ name, spec, meta }: SandboxResource): number {
    const createdMs = Date.parse(meta.createdAt);
    return spec.ttlFrom === "traffic" ? Math.max(createdMs, this.#deps.traffic.lastMs(name) ?? 0) : createdMs;
  }

  #warn({ name, spec }: SandboxResource, expiresAt: Date): void {
    const atMs = expiresAt.getTime();
    if (this.#warned.get(name) === atMs) return;
    // More traffic moves the end and says nothing new.
    const known = this.#warned.has(name);
    this.#warned.set(name, atMs);
    if (known) return;
    this.#deps.log.warn("a sandbox expires soon", {
      sandbox: name,
      expiresAt: expiresAt.toISOString(),
      owner: spec.owner,
      advice: "give it a longer ttl to keep it",
    });
  }

  #tidy(): void {
    const { state } = this.#deps;
    for (const map of [this.#warned, this.#failed]) {
      for (const name of map.keys()) if (state.find("sandbox", name) === undefined) map.delete(name);
    }
  }
}

function without({ name, spec }: GroupResource, sandbox: string): DraftResource {
  return { kind: "group", name, spec: { ...spec, sandboxes: (spec.sandboxes ?? []).filter((one) => one !== sandbox) } };
}
