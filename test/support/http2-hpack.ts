// HPACK (RFC 7541) for tests: a writer that says plainly what it is told to say, and a reader that refuses whatever an
// encoder must not do. Obviously right rather than fast, and not the product's code.

/** A field to be written: as a literal without indexing, or as the third element says. */
export type SentField = readonly [name: string, value: string, how?: "indexed" | "never" | "plain"];

/** A field list as it came. */
export class Head {
  /** Names and values in order, latin1. */
  readonly fields: (readonly [name: string, value: string])[] = [];
  /** Names of fields that came as never indexed (RFC 7541 §6.2.3). */
  readonly neverIndexed: string[] = [];
  /** It ended the stream. */
  endStream = false;

  /** Value of the first field of that name. */
  get(name: string): string | undefined {
    return this.fields.find(([each]) => each === name)?.[1];
  }

  /** Values of all fields of that name. */
  all(name: string): string[] {
    return this.fields.flatMap(([each, value]) => (each === name ? [value] : []));
  }

  get status(): number {
    return Number(this.get(":status"));
  }
}

// RFC 7541 Appendix A; the entries with values come first, name by name.
const staticTable: readonly (readonly [string, string])[] = [
  ...":authority= :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https :status=200 :status=204"
    .concat(" :status=206 :status=304 :status=400 :status=404 :status=500 accept-charset=")
    .split(" ")
    .map((entry) => entry.split("=") as unknown as readonly [string, string]),
  ["accept-encoding", "gzip, deflate"] as const,
  ..."accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control "
    .concat("content-disposition content-encoding content-language content-length content-location content-range ")
    .concat("content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range ")
    .concat(
      "if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range ",
    )
    .concat(
      "referer refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary ",
    )
    .concat("via www-authenticate")
    .split(" ")
    .map((name) => [name, ""] as const),
];

/** An integer with a prefix of `bits` bits (RFC 7541 §5.1); `first` is the pattern in front of it. */
function integer(value: number, bits: number, first = 0): Buffer {
  const max = 2 ** bits - 1;
  if (value < max) return Buffer.of(first | value);
  const bytes = [first | max];
  let rest = value - max;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}

/** A string without Huffman coding (RFC 7541 §5.2). */
function string(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([integer(bytes.length, 7), bytes]);
}

/** A reference to a whole entry of the tables (RFC 7541 §6.1). */
export function indexed(index: number): Buffer {
  return integer(index, 7, 0x80);
}

const patterns = { indexed: 0x40, never: 0x10, plain: 0 } as const;

/** A literal field with its name as a literal, too (RFC 7541 §6.2). */
export function literal([name, value, how = "plain"]: SentField): Buffer {
  return Buffer.concat([Buffer.of(patterns[how]), string(name), string(value)]);
}

/** A dynamic table size update (RFC 7541 §6.3). */
export function sizeUpdate(bytes: number): Buffer {
  return integer(bytes, 5, 0x20);
}

/** A whole block of literals. */
export function writeBlock(fields: readonly SentField[]): Buffer {
  return Buffer.concat(fields.map(literal));
}

// RFC 7541 Appendix B is a canonical code: the lengths say everything. One digit of base 36 per octet, EOS last.
const lengths = Array.from(
  "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6".concat(
    "f56565666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmmnqqkjmnmpqqqrrqopjlqrrqroll",
    "qqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu",
  ),
  (digit) => Number.parseInt(digit, 36),
);
const EOS = 256;

/** Code (length and bits as text) -> octet. */
const huffman = new Map<string, number>();
{
  let code = 0;
  let length = 0;
  const order = lengths.map((_, octet) => octet).toSorted((a, b) => (lengths[a] ?? 0) - (lengths[b] ?? 0) || a - b);
  for (const octet of order) {
    const next = lengths[octet] ?? 0;
    code *= 2 ** (next - length);
    length = next;
    huffman.set(code.toString(2).padStart(length, "0"), octet);
    code++;
  }
}

function readHuffman(bytes: Uint8Array): string {
  const octets: number[] = [];
  let code = "";
  for (const byte of bytes) {
    for (const bit of byte.toString(2).padStart(8, "0")) {
      code += bit;
      const octet = huffman.get(code);
      if (octet === undefined) continue;
      if (octet === EOS) throw new Error("HPACK: EOS within a string");
      octets.push(octet);
      code = "";
    }
  }
  if (code.length > 7 || code.includes("0")) throw new Error(`HPACK: padding ${code}`);
  return Buffer.from(octets).toString("latin1");
}

/** The decoder of one connection. Throws on everything that RFC 7541 forbids to an encoder. */
export class HpackReader {
  #entries: (readonly [string, string])[] = [];
  #tableBytes = 0;
  #capacity = 4096;
  #max = 4096;
  /** Lowest size that was announced since the last block; the next block must begin with an update to it or below. */
  #owedMax = Number.POSITIVE_INFINITY;

  /** The other side has acknowledged this SETTINGS_HEADER_TABLE_SIZE. */
  acknowledged(bytes: number): void {
    this.#max = bytes;
    if (bytes < this.#capacity) this.#owedMax = Math.min(this.#owedMax, bytes);
  }

  /** Bytes that the table may hold at present, as the encoder chose. */
  get capacity(): number {
    return this.#capacity;
  }

  read(block: Buffer): Head {
    const head = new Head();
    const cursor = new Cursor(block);
    let updates = 0;
    while (!cursor.done) {
      const first = cursor.peek();
      if ((first & 0xe0) === 0x20) {
        if (head.fields.length > 0) throw new Error("HPACK: size update within a block");
        if (++updates > 2) throw new Error("HPACK: more than two size updates");
        const size = cursor.integer(5);
        if (size > this.#max) throw new Error(`HPACK: size update to ${size}, allowed are ${this.#max}`);
        if (size <= this.#owedMax) this.#owedMax = Number.POSITIVE_INFINITY;
        this.#capacity = size;
        this.#evict();
        continue;
      }
      if (this.#owedMax !== Number.POSITIVE_INFINITY) throw new Error("HPACK: no size update after a smaller setting");
      if ((first & 0x80) !== 0) {
        head.fields.push(this.#entry(cursor.integer(7)));
        continue;
      }
      const bits = (first & 0x40) === 0 ? 4 : 6;
      const name = cursor.integer(bits);
      const field = [name === 0 ? cursor.string() : this.#entry(name)[0], cursor.string()] as const;
      head.fields.push(field);
      if (bits === 6) this.#insert(field);
      else if ((first & 0x10) !== 0) head.neverIndexed.push(field[0]);
    }
    return head;
  }

  #entry(index: number): readonly [string, string] {
    const entry = index > staticTable.length ? this.#entries[index - staticTable.length - 1] : staticTable[index - 1];
    if (entry === undefined) throw new Error(`HPACK: no entry ${index}`);
    return entry;
  }

  #insert(field: readonly [string, string]): void {
    this.#entries.unshift(field);
    this.#tableBytes += entryBytes(field);
    this.#evict();
  }

  #evict(): void {
    while (this.#tableBytes > this.#capacity) {
      const last = this.#entries.pop();
      if (last === undefined) throw new Error("HPACK: the table's size does not add up");
      this.#tableBytes -= entryBytes(last);
    }
  }
}

const entryBytes = ([name, value]: readonly [string, string]): number => name.length + value.length + 32;

class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  peek(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new Error("HPACK: the block ends within a field");
    return byte;
  }

  integer(bits: number): number {
    const max = 2 ** bits - 1;
    let value = this.peek() & max;
    this.#at++;
    if (value < max) return value;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.peek();
      this.#at++;
      value += (byte & 0x7f) * factor;
      if ((byte & 0x80) === 0) return value;
    }
  }

  string(): string {
    const isHuffman = (this.peek() & 0x80) !== 0;
    const length = this.integer(7);
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    if (bytes.length < length) throw new Error("HPACK: the block ends within a string");
    this.#at += length;
    return isHuffman ? readHuffman(bytes) : bytes.toString("latin1");
  }
}
