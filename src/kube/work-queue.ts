// Keys to be worked on: each at most once in the queue and never twice at a time; one that fails is tried again after a pause that
// grows with its failures in a row. Level-triggered: a key says what to look at, never what has happened.

import { backOffMs } from "./back-off.ts";
import type { BackOff } from "./back-off.ts";

/** When to look at the key again although nothing has changed; nothing: not before something has. */
export type Outcome = { readonly againMs: number } | undefined;

export interface WorkQueueOptions {
  /** May reject: then the key is tried again. */
  readonly work: (key: string, signal: AbortSignal) => Promise<Outcome>;
  /** Keys worked on at a time. */
  readonly workers: number;
  readonly backOff?: BackOff;
  /** After each try. `error`: undefined when it went well. `againMs`: when it is tried again, after an error. */
  readonly onDone?: (done: {
    readonly key: string;
    readonly tookMs: number;
    readonly error: unknown;
    readonly againMs: number;
  }) => void;
}

const defaultBackOff: BackOff = { firstMs: 200, mostMs: 60_000 };

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #working = new Set<string>();
  /** To be worked on once more when the present work is done. */
  readonly #again = new Set<string>();
  readonly #timers = new Map<string, { readonly timer: NodeJS.Timeout; readonly atMs: number }>();
  readonly #failures = new Map<string, number>();
  readonly #ending = new AbortController();
  #idle: (() => void)[] = [];
  #started = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Keys that wait for a worker. */
  get depth(): number {
    return this.#waiting.size + this.#again.size;
  }

  /** Keys whose last try failed. */
  get failing(): number {
    return this.#failures.size;
  }

  /** To be worked on as soon as possible. */
  add(key: string): void {
    if (this.#ending.signal.aborted) return;
    if (this.#working.has(key)) this.#again.add(key);
    else this.#waiting.add(key);
    this.#next();
  }

  /** To be worked on in `ms` at the latest. */
  addAfter(key: string, ms: number): void {
    if (this.#ending.signal.aborted) return;
    const atMs = performance.now() + ms;
    const known = this.#timers.get(key);
    if (known !== undefined) {
      if (known.atMs <= atMs) return;
      clearTimeout(known.timer);
    }
    const timer = setTimeout(() => {
      this.#timers.delete(key);
      this.add(key);
    }, ms);
    this.#timers.set(key, { timer, atMs });
  }

  start(): void {
    this.#started = true;
    this.#next();
  }

  /** Begins nothing more, tells what runs by its signal, and resolves when that has ended. */
  async stop(): Promise<void> {
    this.#ending.abort();
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#waiting.clear();
    this.#again.clear();
    if (this.#working.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #next(): void {
    if (!this.#started || this.#ending.signal.aborted) return;
    for (const key of this.#waiting) {
      if (this.#working.size >= this.#options.workers) return;
      this.#waiting.delete(key);
      this.#working.add(key);
      void this.#work(key);
    }
  }

  async #work(key: string): Promise<void> {
    const { work, backOff = defaultBackOff, onDone } = this.#options;
    const startMs = performance.now();
    let problem: unknown;
    let againMs: number | undefined;
    try {
      againMs = (await work(key, this.#ending.signal))?.againMs;
      this.#failures.delete(key);
    } catch (error) {
      problem = error ?? new Error("failed");
      const failures = (this.#failures.get(key) ?? 0) + 1;
      this.#failures.set(key, failures);
      againMs = backOffMs(backOff, failures);
    }
    this.#working.delete(key);
    if (!this.#ending.signal.aborted) {
      onDone?.({ key, tookMs: performance.now() - startMs, error: problem, againMs: againMs ?? 0 });
      if (againMs !== undefined) this.addAfter(key, againMs);
      if (this.#again.delete(key)) this.add(key);
    }
    if (this.#working.size === 0) for (const tell of this.#idle.splice(0)) tell();
    this.#next();
  }
}
