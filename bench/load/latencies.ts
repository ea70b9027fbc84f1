/** Collects latencies of one load. */
export class Latencies {
  #us = new Uint32Array(1 << 20);
  #count = 0;

  add(ms: number): void {
    if (this.#count === this.#us.length) {
      const larger = new Uint32Array(this.#us.length * 2);
      larger.set(this.#us);
      this.#us = larger;
    }
    this.#us[this.#count++] = ms * 1000;
  }

  percentiles(): { readonly p50Us: number; readonly p99Us: number; readonly p999Us: number } {
    const sorted = this.#us.subarray(0, this.#count).toSorted();
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return { p50Us: at(0.5), p99Us: at(0.99), p999Us: at(0.999) };
  }
}
