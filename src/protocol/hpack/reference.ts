// HPACK once more, for the tests: obviously right rather than fast. Strings of bits instead of tables, an array of texts instead
// of rings and hashes, exceptions instead of results.
import { END_OF_STRING, codeBits, codes } from "./huffman-code.ts";
import { staticEntries } from "./static-table.ts";

export type TextField = readonly [name: string, value: string];

const symbolOf = new Map<string, number>();
for (let symbol = 0; symbol <= END_OF_STRING; symbol++) symbolOf.set(bitsOf(symbol), symbol);

function bitsOf(symbol: number): string {
  return (codes[symbol] as number).toString(2).padStart(codeBits[symbol] as number, "0");
}

/** The Huffman code of a text, padded. */
export function encodeHuffman(text: string): number[] {
  const bits = Array.from(text, (character) => bitsOf(character.charCodeAt(0))).join("");
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, "1");
  return (padded.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2));
}

/** What is wrong with a block. */
export class BadBlock extends Error {}

/** The text of a Huffman code. */
export function decodeHuffman(bytes: readonly number[]): string {
  let text = "";
  let waiting = "";
  for (const bit of bytes.map((byte) => byte.toString(2).padStart(8, "0")).join("")) {
    waiting += bit;
    const symbol = symbolOf.get(waiting);
    if (symbol === undefined) continue;
    if (symbol === END_OF_STRING) throw new BadBlock("end of string");
    text += String.fromCharCode(symbol);
    waiting = "";
  }
  if (waiting.length > 7 || waiting.includes("0")) throw new BadBlock("padding");
  return text;
}

/** A decoder without limits. */
export class ReferenceDecoder {
  /** The dynamic table, newest first. */
  table: TextField[] = [];
  sizeMax: number;
  readonly tableBytesMax: number;
  #bytes: number[] = [];

  constructor(tableBytesMax: number) {
    this.tableBytesMax = tableBytesMax;
    this.sizeMax = Math.min(4096, tableBytesMax);
  }

  /** @throws BadBlock */
  decode(block: Uint8Array): TextField[] {
    this.#bytes = Array.from(block);
    const fields: TextField[] = [];
    let updates = 0;
    while (this.#bytes.length > 0) {
      const byte = this.#bytes[0] as number;
      if (byte >= 0x80) fields.push(this.#entry(this.#integer(7)));
      else if (byte >= 0x40) {
        const field = this.#literal(6);
        fields.push(field);
        this.table.unshift(field);
        this.#evict();
      } else if (byte >= 0x20) {
        if (fields.length > 0 || ++updates > 2) throw new BadBlock("size update");
        this.sizeMax = this.#integer(5);
        if (this.sizeMax > this.tableBytesMax) throw new BadBlock("size");
        this.#evict();
      } else fields.push(this.#literal(4));
    }
    return fields;
  }

  #evict(): void {
    const size = (): number => this.table.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
    while (size() > this.sizeMax) this.table.pop();
  }

  #entry(index: number): TextField {
    const entry = [...staticEntries, ...this.table][index - 1];
    if (entry === undefined) throw new BadBlock("index");
    return entry;
  }

  #literal(prefixBits: number): TextField {
    const index = this.#integer(prefixBits);
    const name = index === 0 ? this.#string() : this.#entry(index)[0];
    return [name, this.#string()];
  }

  #string(): string {
    const coded = (this.#bytes[0] ?? 0) >= 0x80;
    const length = this.#integer(7);
    if (length > this.#bytes.length) throw new BadBlock("length");
    const bytes = this.#bytes.splice(0, length);
    return coded ? decodeHuffman(bytes) : String.fromCharCode(...bytes);
  }

  #integer(prefixBits: number): number {
    const mask = 2 ** prefixBits - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let count = 0; count < 4; count++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** (7 * count);
      if (byte < 0x80) return value;
    }
    throw new BadBlock("integer");
  }

  #byte(): number {
    const byte = this.#bytes.shift();
    if (byte === undefined) throw new BadBlock("truncated");
    return byte;
  }
}
