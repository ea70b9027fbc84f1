// What a request says about itself, the same for every HTTP version, so that whatever looks for keys and traces is written
// once. Filled in from a parsed head for each request and reused: nothing is copied but references and offsets.

const FIELDS_INITIAL = 16;
const NO_BYTES = new Uint8Array(0);

/** One for all requests of a process: valid until the next head is read, and no longer than the head's bytes stay. */
export class RequestView {
  /** `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`. */
  protocol = "HTTP/1.1";
  methodBytes: Uint8Array = NO_BYTES;
  methodStart = 0;
  methodEnd = 0;
  /** The request target, in HTTP/2 the path. */
  targetBytes: Uint8Array = NO_BYTES;
  targetStart = 0;
  targetEnd = 0;
  /** Host without port; empty when there is none. */
  hostBytes: Uint8Array = NO_BYTES;
  hostStart = 0;
  hostEnd = 0;
  /** Port of the authority, -1 when it names none. */
  hostPort = -1;
  /** The port that an authority without one means. */
  portDefault = 80;

  /** Content-Type is that of gRPC. */
  isGrpc = false;

  /** The watched fields, in order: field i has the number `numbers[i]` of the watch list and the value `sources[i][starts[i], ends[i])`. */
  count = 0;
  numbers: Int32Array = new Int32Array(FIELDS_INITIAL);
  starts: Int32Array = new Int32Array(FIELDS_INITIAL);
  ends: Int32Array = new Int32Array(FIELDS_INITIAL);
  readonly sources: Uint8Array[] = Array.from({ length: FIELDS_INITIAL }, () => NO_BYTES);

  /** Adds a watched field. */
  add(number: number, bytes: Uint8Array, start: number, end: number): void {
    const at = this.count;
    if (at === this.numbers.length) this.#grow();
    this.numbers[at] = number;
    this.sources[at] = bytes;
    this.starts[at] = start;
    this.ends[at] = end;
    this.count = at + 1;
  }

  /** Index of the first watched field with this number, from `from` on; -1: there is none. */
  indexOf(number: number, from: number = 0): number {
    for (let i = from; i < this.count; i++) if (this.numbers[i] === number) return i;
    return -1;
  }

  #grow(): void {
    const grown = (array: Int32Array): Int32Array => {
      const larger = new Int32Array(array.length * 2);
      larger.set(array);
      return larger;
    };
    this.numbers = grown(this.numbers);
    this.starts = grown(this.starts);
    this.ends = grown(this.ends);
  }
}

/** The fields that somebody wants to see, each with a number: carriers of keys, trace ids, what the access log shows. */
export class WatchList {
  /** In small letters, each once; the number is the index. */
  readonly names: readonly string[];

  constructor(names: readonly string[]) {
    this.names = [...new Set(names.map((name) => name.toLowerCase()))];
  }

  /** The number of a field, -1 when it is not watched. */
  numberOf(name: string): number {
    return this.names.indexOf(name);
  }
}
