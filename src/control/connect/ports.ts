// Which port comes next. A port is a name by which sidecars know a developer's machine, and a sidecar that has not heard of a
// change yet goes on using it: given to somebody else at once, it would lead a sandbox's requests to another sandbox's
// developer. So ports are used in turn, rest after use, and are not given away while the table names them.

/** How long a port rests: longer than a sidecar that is connected could possibly be behind. */
const REST_MS = 60_000;

export class Ports {
  /** Free ones; the one that was used the longest time ago first. */
  readonly #free: number[];
  readonly #releasedAt = new Map<number, number>();
  readonly #isNamed: (port: number) => boolean;
  readonly #now: () => number;

  /**
   * Both ends included. `isNamed` says whether the table leads sidecars to this port; `random` (0 to 1) where the turn begins, so
   * that a replica that was started again does not begin with the port that it gave away last.
   */
  constructor(
    range: { readonly first: number; readonly last: number },
    isNamed: (port: number) => boolean,
    random: number = Math.random(),
    now: () => number = () => performance.now(),
  ) {
    const count = range.last - range.first + 1;
    const begin = Math.floor(random * count);
    this.#free = Array.from({ length: count }, (_, index) => range.first + ((begin + index) % count));
    this.#isNamed = isNamed;
    this.#now = now;
  }

  /** One that nobody here has, `preferred` if possible; undefined when there is none. Not tried out: another process may have it. */
  take(preferred?: number): number | undefined {
    const wanted = preferred === undefined ? -1 : this.#free.indexOf(preferred);
    const at = wanted === -1 ? this.#free.findIndex((port) => this.#isRested(port) && !this.#isNamed(port)) : wanted;
    return at === -1 ? undefined : this.#free.splice(at, 1)[0];
  }

  /** `used`: sidecars may have been told of it. */
  release(port: number, used: boolean): void {
    if (used) this.#releasedAt.set(port, this.#now());
    this.#free.push(port);
  }

  #isRested(port: number): boolean {
    const at = this.#releasedAt.get(port);
    return at === undefined || this.#now() - at >= REST_MS;
  }
}
