/** Of the time, at most one part in this many is spent on loading. */
const PARTS = 5;

/**
 * Keeps loading from taking more than a fifth of a processor when changes pour in: after a load that took T ms of it the next one
 * begins no earlier than 4 T ms after its end. What arrives meanwhile is loaded together.
 */
export class Pace {
  #readyAtMs = -Infinity;

  /** A load has ended, at a time of a monotonic clock. */
  loaded(endedMs: number, tookMs: number): void {
    this.#readyAtMs = endedMs + (PARTS - 1) * Math.max(0, tookMs);
  }

  /** How long the next load has to wait. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.#readyAtMs - nowMs);
  }
}
