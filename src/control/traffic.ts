// When sandboxes last had requests: what sidecars tell about use, noted to the store for all replicas. Guarantees: no more than one
// note a minute for each sandbox and replica; what the store did not take is noted again later; a look costs a Map access.

import type { Log } from "../base/log.ts";
import type { SidecarInfo, Sidecars } from "./feed/sidecars.ts";
import { ttlMs } from "./resources/duration.ts";
import type { ControlState } from "./state.ts";
import type { Store } from "./store/store.ts";

/** Between two notes about one sandbox, at most. */
const NOTE_MS = 60_000;
/** So often sidecars tell what they have used. */
const TOLD_MS = 10_000;
/** Between two writes, each with all that is to be noted by then. */
const WRITE_MS = 5_000;
/** Between two readings of what others have noted. */
const READ_MS = 60_000;

/** Between two notes about a sandbox with this ttl: a short one has to be known better. */
function noteMs(ttl: number): number {
  return Math.min(NOTE_MS, ttl / 4);
}

/** So long ago a request may have been that a replica has not heard of yet, of a sandbox with this ttl, both in milliseconds. */
export function unheardMs(ttl: number): number {
  return TOLD_MS + noteMs(ttl) + WRITE_MS;
}

export interface TrafficDeps {
  readonly state: Pick<ControlState, "find" | "onChange" | "table">;
  readonly sidecars: Pick<Sidecars, "onActivity">;
  readonly store: Pick<Store, "noteTraffic" | "traffic">;
  readonly log: Log;
  /** Milliseconds since the epoch. */
  readonly nowMs?: () => number;
}

export class Traffic {
  readonly #deps: TrafficDeps;
  readonly #nowMs: () => number;
  /** When each sandbox last had traffic, as far as this replica knows. */
  readonly #lastMs = new Map<string, number>();
  /** What was noted last. */
  readonly #notedMs = new Map<string, number>();
  readonly #due = new Set<string>();
  readonly #stops: (() => void)[];
  readonly #timers: NodeJS.Timeout[] = [];
  #working: Promise<void> = Promise.resolve();
  #problem = "";

  constructor(deps: TrafficDeps) {
    this.#deps = deps;
    this.#nowMs = deps.nowMs ?? (() => Date.now());
    this.#stops = [
      deps.sidecars.onActivity((_info: SidecarInfo, { used }) => this.#used(used)),
      deps.state.onChange(({ reset, sandboxes }) => {
        for (const [name, { after }] of sandboxes) if (after === undefined) this.#forget(name);
        if (reset) for (const name of this.#lastMs.keys()) if (!this.#exists(name)) this.#forget(name);
      }),
    ];
  }

  /** Reads what was noted before, and begins to note. */
  async start(): Promise<void> {
    await this.read();
    this.#timers.push(
      setInterval(() => void this.write(), WRITE_MS).unref(),
      setInterval(() => void this.read(), READ_MS).unref(),
    );
  }

  /** Milliseconds since the epoch; undefined: none was seen. */
  lastMs(sandbox: string): number | undefined {
    return this.#lastMs.get(sandbox);
  }

  /** Reads what other replicas have noted. False when the store cannot be reached; never rejects. */
  async read(): Promise<boolean> {
    try {
      for (const [name, atMs] of Object.entries(await this.#deps.store.traffic())) {
        if (!this.#exists(name)) continue;
        this.#lastMs.set(name, Math.max(atMs, this.#lastMs.get(name) ?? 0));
        this.#notedMs.set(name, Math.max(atMs, this.#notedMs.get(name) ?? 0));
      }
      this.#tell("");
      return true;
    } catch (error) {
      this.#tell(textOf(error));
      return false;
    }
  }

  /** Notes what is due. One at a time; never rejects. */
  write(): Promise<void> {
    this.#working = this.#working.then(() => this.#write());
    return this.#working;
  }

  /** Ends, with what is due noted if the store takes it. */
  async close(): Promise<void> {
    for (const stop of this.#stops) stop();
    for (const timer of this.#timers) clearInterval(timer);
    await this.write();
  }

  async #write(): Promise<void> {
    const due = [...this.#due];
    if (due.length === 0) return;
    this.#due.clear();
    const times: Record<string, number> = Object.create(null) as Record<string, number>;
    for (const name of due) if (this.#exists(name)) times[name] = this.#lastMs.get(name) ?? 0;
    try {
      await this.#deps.store.noteTraffic(times);
      for (const [name, atMs] of Object.entries(times)) this.#notedMs.set(name, atMs);
      this.#tell("");
    } catch (error) {
      for (const name of due) if (this.#exists(name)) this.#due.add(name);
      this.#tell(textOf(error));
    }
  }

  #used(names: readonly string[]): void {
    const nowMs = this.#nowMs();
    for (const name of names) {
      // Of a table that is not the newest any more.
      if (!this.#exists(name)) continue;
      this.#lastMs.set(name, Math.max(nowMs, this.#lastMs.get(name) ?? 0));
      // A clock that went back notes all the same: the store keeps the later time.
      if (Math.abs(nowMs - (this.#notedMs.get(name) ?? 0)) >= this.#noteMs(name)) this.#due.add(name);
    }
  }

  #noteMs(name: string): number {
    const { ttl } = this.#deps.state.find("sandbox", name)?.spec ?? {};
    return ttl === undefined ? NOTE_MS : noteMs(ttlMs(ttl) ?? NOTE_MS);
  }

  #exists(name: string): boolean {
    return this.#deps.state.table.sandboxes.has(name);
  }

  #forget(name: string): void {
    this.#lastMs.delete(name);
    this.#notedMs.delete(name);
    this.#due.delete(name);
  }

  /** The same problem is told once. */
  #tell(problem: string): void {
    if (problem === this.#problem) return;
    if (problem !== "") this.#deps.log.warn("traffic of sandboxes is not noted", { why: problem });
    this.#problem = problem;
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
