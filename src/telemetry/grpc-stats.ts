// Calls by gRPC method and status. What callers may rely on: recording makes no string and allocates nothing, but for the
// first call of a method; whatever clients send as a path, there are no more methods than `labelsMax`.
import type { Sample } from "./exposition.ts";

/** The label value of methods without a label of their own, and of statuses that gRPC does not have. */
const OTHER = "other";
/** The id of all methods that have no label of their own. */
const OTHER_METHOD = 0;
/** Longer paths get no label; those of generated code are a third of it. */
const METHOD_BYTES_MAX = 200;
/** gRPC has the statuses 0 to 16; the last cell is for everything else. */
const STATUS_CELLS = 18;
const UNIMPLEMENTED = 12;
const SLOTS_MIN = 64;
/** Two segments at least, of what identifiers of all languages are made of. */
const METHOD = /^(?:\/[\w.$-]+){2,}$/;

/** The methods that have a label of their own: path bytes to a small number, for the whole process. */
export class GrpcMethods {
  readonly #labelsMax: number;
  /** By id; id 0 is `other`. */
  readonly #labels: string[] = [OTHER];
  readonly #paths: Uint8Array[] = [new Uint8Array(0)];
  readonly #hashes: number[] = [0];
  /** Ids by hash, open addressing, at most half full; 0 is a free slot. */
  #slots = new Uint16Array(SLOTS_MIN);

  constructor(labelsMax: number) {
    this.#labelsMax = labelsMax;
  }

  /** The id of the method in bytes[start, end), OTHER_METHOD when it has none. `hash` is equal for equal bytes. */
  find(hash: number, bytes: Uint8Array, start: number, end: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = spread(hash) & mask; ; slot = (slot + 1) & mask) {
      const id = slots[slot] as number;
      if (id === 0) return OTHER_METHOD;
      if (this.#hashes[id] === hash && equals(this.#paths[id] as Uint8Array, bytes, start, end)) return id;
    }
  }

  /** Gives a method that has none an id, unless the path is no method or there are enough of them. */
  admit(hash: number, bytes: Uint8Array, start: number, end: number): number {
    const id = this.#labels.length;
    if (id > this.#labelsMax || end - start > METHOD_BYTES_MAX) return OTHER_METHOD;
    const path = bytes.slice(start, end);
    const label = String.fromCharCode(...path);
    if (!METHOD.test(label)) return OTHER_METHOD;
    this.#labels.push(label);
    this.#paths.push(path);
    this.#hashes.push(hash);
    if (id * 2 >= this.#slots.length) this.#grow();
    else this.#insert(id);
    return id;
  }

  /** The label of an id. */
  label(id: number): string {
    return this.#labels[id] ?? OTHER;
  }

  #insert(id: number): void {
    const mask = this.#slots.length - 1;
    let slot = spread(this.#hashes[id] as number) & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = id;
  }

  #grow(): void {
    this.#slots = new Uint16Array(this.#slots.length * 2);
    for (let id = 1; id < this.#labels.length; id++) this.#insert(id);
  }
}

/** The calls of one (service, direction, destination). */
export class GrpcStats {
  readonly labels: Readonly<Record<"service" | "direction" | "destination", string>>;
  readonly #methods: GrpcMethods;
  /** By method id: how many ended with each status. */
  readonly #counts: (Float64Array | undefined)[] = [];

  constructor(labels: GrpcStats["labels"], methods: GrpcMethods) {
    this.labels = labels;
    this.#methods = methods;
  }

  /**
   * Counts one call that has ended. The path is path[start, end), `hash` any integer that is equal for equal paths, `status`
   * as the caller sees it (anything but 0 to 16 counts as `other`). `answered`: it came from an endpoint. A method gets a
   * label when an endpoint has answered it other than with UNIMPLEMENTED, so that nobody can use the labels up with
   * methods that do not exist.
   */
  record(hash: number, path: Uint8Array, start: number, end: number, status: number, answered: boolean): void {
    const methods = this.#methods;
    let id = methods.find(hash, path, start, end);
    if (id === OTHER_METHOD && answered && status !== UNIMPLEMENTED) id = methods.admit(hash, path, start, end);
    const counts = this.#counts[id] ?? this.#add(id);
    const cell = status >= 0 && status < STATUS_CELLS - 1 ? status : STATUS_CELLS - 1;
    counts[cell] = (counts[cell] as number) + 1;
  }

  #add(id: number): Float64Array {
    // Without a gap: an array with large ones is kept as a hash table.
    while (this.#counts.length < id) this.#counts.push(undefined);
    const counts = new Float64Array(STATUS_CELLS);
    this.#counts[id] = counts;
    return counts;
  }

  /** One sample per method and status seen. */
  samples(): Sample[] {
    const samples: Sample[] = [];
    this.#counts.forEach((counts, id) => {
      counts?.forEach((value, cell) => {
        const status = cell === STATUS_CELLS - 1 ? OTHER : String(cell);
        if (value > 0) {
          samples.push({ labels: { ...this.labels, method: this.#methods.label(id), grpc_status: status }, value });
        }
      });
    });
    return samples;
  }
}

/** The upper half of a hash takes part in the choice of the slot, too. */
function spread(hash: number): number {
  return hash ^ (hash >>> 16);
}

function equals(path: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  const length = path.length;
  if (end - start !== length) return false;
  for (let i = 0; i < length; i++) if (path[i] !== bytes[start + i]) return false;
  return true;
}
