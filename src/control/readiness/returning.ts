// Sidecars that nobody knows of at the moment: a replica that has just been started hears of them when they come back, and those of
// a replica that is gone are on their way to another one. They route by what they had, so nothing is said to be in use everywhere
// before they have had the time to come: as long as a broken stream counts (`timeouts.disconnectedMs`).

import type { Replicas } from "../replicas.ts";

export interface ReturningOptions {
  /** `timeouts.disconnectedMs` */
  readonly forMs: number;
  /** Of the store when this replica was started; 0: nobody can have followed anything. */
  readonly startRevision: number;
  readonly replicas: Pick<Replicas, "others" | "onChange">;
  readonly nowMs?: () => number;
}

export class Returning {
  readonly #forMs: number;
  readonly #nowMs: () => number;
  readonly #stop: () => void;
  #untilMs: number;
  #what = "this control replica has just been started, and sidecars may be on their way back to it";
  #known: ReadonlySet<string> = new Set();

  constructor({ forMs, startRevision, replicas, nowMs = () => performance.now() }: ReturningOptions) {
    this.#forMs = forMs;
    this.#nowMs = nowMs;
    this.#untilMs = startRevision === 0 ? Number.NEGATIVE_INFINITY : nowMs() + forMs;
    this.#stop = replicas.onChange(() => this.#look(replicas.others().map(({ id }) => id)));
  }

  /** Why sidecars may be missing, as a sentence; undefined when whoever lives has come. */
  why(): string | undefined {
    const leftMs = this.#untilMs - this.#nowMs();
    return leftMs <= 0 ? undefined : `${this.#what}; they get another ${Math.ceil(leftMs / 1000)} s`;
  }

  close(): void {
    this.#stop();
  }

  #look(ids: readonly string[]): void {
    const known = new Set(ids);
    const gone = [...this.#known].filter((id) => !known.has(id));
    this.#known = known;
    const [first] = gone;
    if (first === undefined) return;
    this.#untilMs = this.#nowMs() + this.#forMs;
    this.#what = `the control replica ${first} is gone, and its sidecars may be on their way to another one`;
  }
}
