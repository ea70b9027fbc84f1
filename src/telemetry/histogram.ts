/**
 * Upper bounds in seconds of every latency histogram: those that the OpenTelemetry semantic conventions advise for
 * `http.server.request.duration`, so that panels made for other HTTP servers fit.
 */
export const DURATION_BOUNDS_S: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
];

/** The same in milliseconds, the unit in which durations arrive: no division per observation. */
const BOUNDS_MS = Float64Array.from(DURATION_BOUNDS_S, (seconds) => seconds * 1000);
const OVERFLOW = BOUNDS_MS.length;
const SUM = OVERFLOW + 1;

/**
 * Counts of one latency distribution. `observe` allocates nothing: doubles in one typed array, because 32-bit counters
 * would wrap within a day at 50,000 requests per second.
 */
export class DurationHistogram {
  /** One cell per bucket (not cumulative), the overflow bucket, and the sum in milliseconds. */
  readonly #cells = new Float64Array(SUM + 1);

  /** Counts one duration in milliseconds. A negative or NaN one (a clock that went astray) counts as 0. */
  observe(durationMs: number): void {
    const ms = durationMs > 0 ? durationMs : 0;
    const cells = this.#cells;
    // Linear on purpose: nearly all requests through a sidecar end in the first two buckets, where a binary search
    // would always take four steps.
    let bucket = 0;
    while (bucket < OVERFLOW && ms > (BOUNDS_MS[bucket] ?? 0)) bucket++;
    cells[bucket] = (cells[bucket] ?? 0) + 1;
    cells[SUM] = (cells[SUM] ?? 0) + ms;
  }

  /** How many were observed in the buckets up to and with `bucket`: what `le` means. Called once per scrape and bucket. */
  cumulative(bucket: number): number {
    let count = 0;
    for (let i = 0; i <= bucket; i++) count += this.#cells[i] ?? 0;
    return count;
  }

  /** How many were observed. */
  get count(): number {
    return this.cumulative(OVERFLOW);
  }

  /** Their sum in seconds. */
  get sumS(): number {
    return (this.#cells[SUM] ?? 0) / 1000;
  }
}
