// HPACK as real clients write it (RFC 7541): what repeats becomes an entry of the dynamic table, what changes with each call
// does, too, and pushes the rest out after a while. A proxy under test has to follow all that.

import { Buffer } from "node:buffer";
import { defaultTableBytes } from "./http2-frames.ts";

/** A field whose value may change from one block to the next. */
export interface WrittenField {
  readonly name: string;
  /** Index of an entry of the static table with this name (RFC 7541 Appendix A), 0 for none. */
  readonly staticName: number;
  /** Number of the last insertion of this field, -1 for never. */
  inserted: number;
  /** What was inserted. */
  value: string;
}

export function field(name: string, staticName = 0): WrittenField {
  return { name, staticName, inserted: -1, value: "" };
}

const staticEntries = 61;
const entryOverheadBytes = 32;

/**
 * Code lengths of the most frequent symbols of the Huffman code (RFC 7541 Appendix B), 5 to 8 bits. The code is canonical:
 * codes follow from the lengths. A value with any other symbol is sent as it is.
 */
const symbolsByLength: readonly string[] = [
  "012aceiost",
  " %-./3456789=A_bdfghlmnpru",
  ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
  "&*,;XZ",
];
const codes = new Uint8Array(256);
/** 0: no short code. */
const codeLengths = new Uint8Array(256);
let next = 0;
for (const [i, symbols] of symbolsByLength.entries()) {
  for (const symbol of symbols) {
    codes[symbol.charCodeAt(0)] = next++;
    codeLengths[symbol.charCodeAt(0)] = 5 + i;
  }
  next <<= 1;
}

/** The writing end of one connection. */
export class HpackWriter {
  #inserted = 0;
  #oldest = 0;
  #tableBytes = 0;
  #tableBytesMax = defaultTableBytes;
  #mustAnnounce = false;
  /** Bytes of each entry, by number of insertion; an entry has at least 33, so no more than 124 live at once. */
  readonly #sizes = new Uint16Array(128);

  /** What the peer allows (SETTINGS_HEADER_TABLE_SIZE); more than the default is not made use of. */
  setTableBytesMax(bytes: number): void {
    const max = Math.min(bytes, defaultTableBytes);
    if (max === this.#tableBytesMax) return;
    this.#tableBytesMax = max;
    this.#mustAnnounce = true;
    this.#evict(0);
  }

  /** Begins a block. @returns the offset behind what had to be said first. */
  begin(out: Buffer, at: number): number {
    if (!this.#mustAnnounce) return at;
    this.#mustAnnounce = false;
    return writeInteger(out, at, 0x20, 5, this.#tableBytesMax);
  }

  /** One entry of the static table. */
  writeStatic(index: number, out: Buffer, at: number): number {
    out[at] = 0x80 | index;
    return at + 1;
  }

  /** A field: as an index when the table has it, else as a literal that becomes an entry (RFC 7541 §6.1 and §6.2.1). */
  write(of: WrittenField, value: string, out: Buffer, at: number): number {
    const isLive = of.inserted >= this.#oldest;
    if (isLive && of.value === value) {
      return writeInteger(out, at, 0x80, 7, this.#indexOf(of.inserted));
    }
    const nameIndex = of.staticName > 0 ? of.staticName : isLive ? this.#indexOf(of.inserted) : 0;
    let end = writeInteger(out, at, 0x40, 6, nameIndex);
    if (nameIndex === 0) end = writeString(of.name, out, end);
    end = writeString(value, out, end);
    this.#insert(of, value);
    return end;
  }

  #indexOf(insertion: number): number {
    return staticEntries + this.#inserted - insertion;
  }

  #insert(of: WrittenField, value: string): void {
    const bytes = of.name.length + value.length + entryOverheadBytes;
    this.#evict(bytes);
    // An entry larger than the table empties it and is not inserted (RFC 7541 §4.4).
    if (bytes > this.#tableBytesMax) return;
    this.#sizes[this.#inserted & 127] = bytes;
    this.#tableBytes += bytes;
    of.inserted = this.#inserted++;
    of.value = value;
  }

  #evict(bytesWanted: number): void {
    while (this.#oldest < this.#inserted && this.#tableBytes + bytesWanted > this.#tableBytesMax) {
      this.#tableBytes -= this.#sizes[this.#oldest++ & 127] as number;
    }
  }
}

/** RFC 7541 §5.1. */
function writeInteger(out: Buffer, at: number, pattern: number, prefixBits: number, value: number): number {
  const max = (1 << prefixBits) - 1;
  if (value < max) {
    out[at] = pattern | value;
    return at + 1;
  }
  out[at++] = pattern | max;
  let rest = value - max;
  while (rest >= 128) {
    out[at++] = 128 | (rest & 127);
    rest >>>= 7;
  }
  out[at++] = rest;
  return at;
}

/** RFC 7541 §5.2: with the Huffman code when that is shorter. ASCII only. */
export function writeString(text: string, out: Buffer, at: number): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const length = codeLengths[text.charCodeAt(i)] as number;
    bits += length === 0 ? 1_000_000 : length;
  }
  const bytes = (bits + 7) >>> 3;
  if (bytes >= text.length) {
    at = writeInteger(out, at, 0, 7, text.length);
    for (let i = 0; i < text.length; i++) out[at++] = text.charCodeAt(i);
    return at;
  }
  at = writeInteger(out, at, 0x80, 7, bytes);
  let buffered = 0;
  let bufferedBits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    const length = codeLengths[symbol] as number;
    buffered = (buffered << length) | (codes[symbol] as number);
    bufferedBits += length;
    if (bufferedBits >= 8) {
      bufferedBits -= 8;
      out[at++] = buffered >>> bufferedBits;
      buffered &= 0xff;
    }
  }
  // The rest of the last byte is filled with ones, the beginning of the end-of-string symbol.
  if (bufferedBits > 0) out[at++] = (buffered << (8 - bufferedBits)) | (0xff >>> bufferedBits);
  return at;
}

/** The octets of a string as `writeString` would send it, without their length: for comparing without decoding. */
export function huffmanOctets(text: string): Buffer {
  const out = Buffer.alloc(text.length + 8);
  const end = writeString(text, out, 0);
  return ((out[0] as number) & 0x80) === 0 ? Buffer.alloc(0) : out.subarray(1, end);
}

/** How many symbols of the short codes the Huffman-coded octets hold. @throws Error for a symbol with a longer code. */
export function huffmanLength(octets: Buffer): number {
  let symbols = 0;
  let code = 0;
  let length = 0;
  for (const octet of octets) {
    for (let bit = 7; bit >= 0; bit--) {
      code = (code << 1) | ((octet >>> bit) & 1);
      length++;
      if (length >= 5 && length <= 8 && code < firstCodeBeyond(length)) {
        symbols++;
        code = 0;
        length = 0;
      }
      if (length > 8) throw new Error("a Huffman code of more than 8 bits in a field that the bench has to count");
    }
  }
  return symbols;
}

/** The first code of this length that is the beginning of a longer one. */
function firstCodeBeyond(length: number): number {
  let code = 0;
  for (let i = 0; i <= length - 5; i++) code = (code << 1) + (symbolsByLength[i]?.length ?? 0);
  return code;
}
