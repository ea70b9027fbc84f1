/** Revisions that are remembered; an older one is as old as the oldest of them. */
const KEPT = 4096;

/** When this replica heard of each revision, on its own clock: clocks of others do not matter. */
export class RevisionAges {
  readonly #nowMs: () => number;
  readonly #revisions: number[] = [];
  readonly #heardMs: number[] = [];

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  heard(revision: number): void {
    this.#revisions.push(revision);
    this.#heardMs.push(this.#nowMs());
    if (this.#revisions.length < 2 * KEPT) return;
    this.#revisions.splice(0, KEPT);
    this.#heardMs.splice(0, KEPT);
  }

  /** Milliseconds since this replica heard of the revision, or of the first one after it that it did hear of. */
  ageMs(revision: number): number {
    let low = 0;
    let high = this.#revisions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#revisions[middle] ?? 0) < revision) low = middle + 1;
      else high = middle;
    }
    const heardMs = this.#heardMs[low];
    return heardMs === undefined ? 0 : this.#nowMs() - heardMs;
  }
}
