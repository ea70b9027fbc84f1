const FIRST_MS = 500;
const LONGEST_MS = 10_000;
const LEAST_MS = 100;
/** Between attempts with credentials, or a hello, that were refused: somebody has to change something first. */
const REFUSED_MS = 30_000;
/** What a control plane may ask for. */
const ASKED_MS_MAX = 10 * 60_000;

/**
 * When to connect again: somewhere between 100 ms and a bound that doubles from 500 ms to 10 s, so that thousands of sidecars
 * which lose one control plane at the same moment do not come back at the same moment.
 */
export class Backoff {
  #failures = 0;
  readonly #random: () => number;

  /** @param random 0 to 1, for tests. */
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** The connection was good. */
  reset(): void {
    this.#failures = 0;
  }

  /** After a stream has ended or could not be begun. */
  nextMs(): number {
    const bound = Math.min(FIRST_MS * 2 ** this.#failures, LONGEST_MS);
    this.#failures++;
    return this.#between(LEAST_MS, bound);
  }

  /** After a refusal that will not pass by itself. */
  refusedMs(): number {
    return this.#between(REFUSED_MS, 2 * REFUSED_MS);
  }

  /** The control plane has asked for it; the times that it gives differ from sidecar to sidecar already. */
  askedMs(afterMs: number): number {
    return Math.min(afterMs, ASKED_MS_MAX) + this.#between(0, LEAST_MS);
  }

  #between(least: number, most: number): number {
    return least + this.#random() * (most - least);
  }
}
