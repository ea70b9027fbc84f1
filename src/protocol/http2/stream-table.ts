// Few live streams among ids that only grow. A Map would hash, allocate an entry per stream and shrink and grow; here an id
// finds its slot by its own bits, and neighbours in time are neighbours in memory.
//
// A stream that lives long meets a new one in its slot once per round. Growing whenever that happens would end at the
// largest size for one watch among short calls; so the table grows only while it is more than an eighth full, and the few
// that meet go to a Map.

const SLOTS_INITIAL = 16;
const SLOTS_MAX = 4096;
/** No stream has this id: it marks an empty slot. */
const EMPTY = 0;

/** Live streams by id. Ids of one connection have one parity (both sides open odd ids only, as nothing is pushed). */
export class StreamTable<T> {
  #ids: Int32Array = new Int32Array(SLOTS_INITIAL);
  #values: (T | undefined)[] = empty(SLOTS_INITIAL);
  #mask: number = SLOTS_INITIAL - 1;
  #overflow: Map<number, T> | undefined = undefined;
  /** Streams in the table. */
  size = 0;

  /** The stream of the id, or undefined; `id` is not 0. */
  get(id: number): T | undefined {
    const slot = (id >> 1) & this.#mask;
    if (this.#ids[slot] === id) return this.#values[slot];
    return this.#overflow === undefined ? undefined : this.#overflow.get(id);
  }

  /** Adds or replaces the stream of the id. Not while `forEach` runs. */
  set(id: number, value: T): void {
    let slot = (id >> 1) & this.#mask;
    while (this.#ids[slot] !== EMPTY && this.#ids[slot] !== id) {
      const slots = this.#mask + 1;
      if (this.#overflow?.has(id) || slots === SLOTS_MAX || this.size * 8 < slots) {
        this.#overflow ??= new Map();
        if (!this.#overflow.has(id)) this.size++;
        this.#overflow.set(id, value);
        return;
      }
      this.#grow();
      slot = (id >> 1) & this.#mask;
    }
    if (this.#ids[slot] === EMPTY) {
      // It may be in the Map since the time when another stream had its slot.
      if (this.#overflow === undefined || !this.#overflow.delete(id)) this.size++;
      this.#ids[slot] = id;
    }
    this.#values[slot] = value;
  }

  /** Removes the stream of the id; false when there is none. */
  delete(id: number): boolean {
    const slot = (id >> 1) & this.#mask;
    if (this.#ids[slot] === id) {
      this.#ids[slot] = EMPTY;
      this.#values[slot] = undefined;
      this.size--;
      return true;
    }
    if (this.#overflow === undefined || !this.#overflow.delete(id)) return false;
    this.size--;
    return true;
  }

  /** Visits every stream, in no order; `visit` may delete any, but add none. */
  forEach(visit: (value: T, id: number) => void): void {
    for (let slot = 0; slot <= this.#mask; slot++) {
      const id = this.#ids[slot] as number;
      if (id !== EMPTY) visit(this.#values[slot] as T, id);
    }
    this.#overflow?.forEach(visit);
  }

  #grow(): void {
    const ids = this.#ids;
    const values = this.#values;
    const slots = ids.length * 2;
    this.#ids = new Int32Array(slots);
    this.#values = empty(slots);
    this.#mask = slots - 1;
    for (let slot = 0; slot < ids.length; slot++) {
      const id = ids[slot] as number;
      if (id === EMPTY) continue;
      // Two that had slots of their own in the smaller table have so in the larger one.
      this.#ids[(id >> 1) & this.#mask] = id;
      this.#values[(id >> 1) & this.#mask] = values[slot];
    }
  }
}

function empty<T>(slots: number): (T | undefined)[] {
  return Array.from<T | undefined>({ length: slots }).fill(undefined);
}
