// Finds `grpc-status: 0` in the header blocks of a proxy's answers without making strings of them. HPACK (RFC 7541) has to be
// followed all the same: a proxy may answer with an index of the dynamic table.

import { Buffer } from "node:buffer";
import { huffmanLength, huffmanOctets } from "./hpack-writer.ts";
import { defaultTableBytes } from "./http2-frames.ts";

/** What a table entry or field means to us. */
const other = 0;
const status = 1;
const statusZero = 2;

const staticEntries = 61;
const entryOverheadBytes = 32;
/** Names of the static table are not `grpc-status`, and only their lengths matter, for the size of an entry. */
const staticNameBytes = [
  0, 10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13, 12, 6, 4,
  4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3, 16,
] as const;

const name = Buffer.from("grpc-status");
const nameHuffman = huffmanOctets("grpc-status");
const zero = Buffer.from("0");
const zeroHuffman = Buffer.from([0x07]);

interface Entry {
  readonly kind: number;
  readonly nameBytes: number;
  readonly bytes: number;
}

/** The reading end of one connection. */
export class GrpcStatusReader {
  /** The newest entry is the last. */
  readonly #table: Entry[] = [];
  #tableBytes = 0;
  #tableBytesMax = defaultTableBytes;
  #block: Buffer = zero;
  #at = 0;
  // The last string that was read.
  #stringStart = 0;
  #stringEnd = 0;
  #isHuffman = false;

  /** Reads one block. @returns whether it says `grpc-status: 0`. @throws Error for what is no HPACK. */
  saysOk(block: Buffer): boolean {
    this.#block = block;
    this.#at = 0;
    let isOk = false;
    while (this.#at < block.length) {
      const first = block[this.#at] as number;
      let kind = other;
      if (first >= 0x80) kind = this.#entry(this.#integer(7))?.kind ?? other;
      else if (first >= 0x40) kind = this.#literal(6, true);
      else if (first >= 0x20) this.#resize(this.#integer(5));
      else kind = this.#literal(4, false);
      if (kind === statusZero) isOk = true;
    }
    return isOk;
  }

  #literal(prefixBits: number, isInserted: boolean): number {
    const index = this.#integer(prefixBits);
    let isStatus: boolean;
    let nameBytes: number;
    if (index === 0) {
      this.#string();
      isStatus = this.#equals(name, nameHuffman);
      nameBytes = isInserted ? this.#stringBytes() : 0;
    } else {
      const entry = this.#entry(index);
      isStatus = entry !== undefined && entry.kind !== other;
      nameBytes = entry?.nameBytes ?? staticNameBytes[index] ?? 0;
    }
    this.#string();
    const kind = isStatus ? (this.#equals(zero, zeroHuffman) ? statusZero : status) : other;
    if (isInserted) {
      const bytes = nameBytes + this.#stringBytes() + entryOverheadBytes;
      this.#evict(bytes);
      if (bytes <= this.#tableBytesMax) {
        this.#table.push({ kind, nameBytes, bytes });
        this.#tableBytes += bytes;
      }
    }
    return kind;
  }

  /** An entry of the dynamic table; `undefined` for those of the static one. */
  #entry(index: number): Entry | undefined {
    if (index <= staticEntries) return undefined;
    const entry = this.#table[this.#table.length - (index - staticEntries)];
    if (entry === undefined) throw new Error(`index ${index} of a table with ${this.#table.length} entries`);
    return entry;
  }

  #resize(bytes: number): void {
    if (bytes > defaultTableBytes) throw new Error(`a table of ${bytes} bytes was not allowed`);
    this.#tableBytesMax = bytes;
    this.#evict(0);
  }

  #evict(bytesWanted: number): void {
    while (this.#table.length > 0 && this.#tableBytes + bytesWanted > this.#tableBytesMax) {
      this.#tableBytes -= this.#table.shift()?.bytes ?? 0;
    }
  }

  #integer(prefixBits: number): number {
    const max = (1 << prefixBits) - 1;
    let value = (this.#block[this.#at++] as number) & max;
    if (value < max) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const octet = this.#block[this.#at++];
      if (octet === undefined) break;
      value += (octet & 127) << shift;
      if (octet < 128) return value;
    }
    throw new Error("a number that does not end");
  }

  #string(): void {
    this.#isHuffman = ((this.#block[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    this.#stringStart = this.#at;
    this.#stringEnd = this.#at + length;
    if (this.#stringEnd > this.#block.length) throw new Error("a string that does not end");
    this.#at = this.#stringEnd;
  }

  #equals(plain: Buffer, huffman: Buffer): boolean {
    const wanted = this.#isHuffman ? huffman : plain;
    if (this.#stringEnd - this.#stringStart !== wanted.length) return false;
    for (let i = 0; i < wanted.length; i++) if (this.#block[this.#stringStart + i] !== wanted[i]) return false;
    return true;
  }

  /** Length of the last string as the table counts it: decoded. */
  #stringBytes(): number {
    if (!this.#isHuffman) return this.#stringEnd - this.#stringStart;
    return huffmanLength(this.#block.subarray(this.#stringStart, this.#stringEnd));
  }
}
