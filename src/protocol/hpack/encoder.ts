// Encodes header blocks (RFC 7541). What pays on a connection that is shared by many: one byte for what recurs, and no table entry
// for what does not, since each insertion costs both sides and pushes out something that did recur.
//
// Strings that enter the table leave Huffman-coded where that is shorter: they are sent once and then are one byte. All others leave
// as they are. A `traceparent` of 55 bytes would shrink to 39, but take 190 ns instead of 33 to write and 240 instead of 150 to read
// (bench/micro/hpack.ts has the reading), where a whole head otherwise takes 100: on the networks between services, no win.
import { copyBytes } from "../bytes.ts";
import { fixedId } from "../field-table.ts";
import { fieldIds } from "../http2/field-ids.ts";
import { type Field, TABLE_BYTES_DEFAULT } from "./field.ts";
import { EncoderTable, NOT_FOUND } from "./encoder-table.ts";
import { codeBits, codes } from "./huffman-code.ts";

/** A short cookie can be guessed entry by entry (RFC 7541 §7.1). */
const COOKIE_BYTES_MIN = 20;
const QUESTION_MARK = 0x3f;

const INDEX = 0;
/** The value differs each time: its name is worth an entry, it is not. */
const NAME_ONLY = 1;
const WITHOUT = 2;
const NEVER = 3;

/** One direction of one connection: its dynamic table, and the way from fields to bytes. */
export class HpackEncoder {
  readonly #tableBytes: number;
  readonly #table: EncoderTable;
  /** What the peer is to be told at the next block: the lowest size since the last one, and the size now; -1: nothing. */
  #sizeLowest: number;
  #sizeNow: number;

  /** @param tableBytes how much of the table that the peer offers is used at most. */
  constructor(tableBytes: number) {
    this.#tableBytes = tableBytes;
    this.#table = new EncoderTable(Math.max(tableBytes, TABLE_BYTES_DEFAULT), TABLE_BYTES_DEFAULT);
    this.#sizeLowest = -1;
    this.#sizeNow = TABLE_BYTES_DEFAULT;
    if (tableBytes < TABLE_BYTES_DEFAULT) this.setPeerTableBytesMax(tableBytes);
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE has changed; the next block begins with what follows from it (RFC 7541 §4.2). */
  setPeerTableBytesMax(tableBytesMax: number): void {
    const size = Math.min(tableBytesMax, this.#tableBytes);
    if (size === this.#sizeNow) return;
    this.#sizeLowest = this.#sizeLowest < 0 ? size : Math.min(this.#sizeLowest, size);
    this.#sizeNow = size;
  }

  /** Begins a block: takes no more of `out` than `FieldBlock.encodedBytesMax` allows for. @returns the offset behind them. */
  begin(out: Uint8Array, at: number): number {
    if (this.#sizeLowest < 0 && !this.#table.worn) return at;
    return this.#beginAnew(out, at);
  }

  #beginAnew(out: Uint8Array, at: number): number {
    const now = this.#sizeNow;
    // A table whose insertion numbers run out is emptied, which both sides can do at any time.
    const lowest = this.#table.worn ? 0 : this.#sizeLowest;
    this.#sizeLowest = -1;
    this.#table.resize(lowest);
    if (this.#table.worn) this.#table.restart();
    this.#table.resize(now);
    let to = at;
    if (lowest < now) to = writeInteger(out, to, 0x20, 0x1f, lowest);
    return writeInteger(out, to, 0x20, 0x1f, now);
  }

  /** Writes one field: at most `field.size` bytes. @returns the offset behind it. */
  write(field: Field, out: Uint8Array, at: number): number {
    const index = field.staticIndex;
    if (index !== 0) {
      out[at] = 0x80 | index;
      return at + 1;
    }
    const table = this.#table;
    if (field.sentBy === table.token && field.sentAt >= table.oldest) {
      return writeInteger(out, at, 0x80, 0x7f, table.indexOf(field.sentAt));
    }
    return this.#writeOther(field, out, at);
  }

  #writeOther(field: Field, out: Uint8Array, at: number): number {
    const table = this.#table;
    const policy = policyOf(field);
    let insert = false;
    if (policy === INDEX) {
      const found = table.find(field);
      if (found !== NOT_FOUND) {
        field.sentBy = table.token;
        field.sentAt = found;
        return writeInteger(out, at, 0x80, 0x7f, table.indexOf(found));
      }
      insert = table.worthInserting(field);
    }
    let nameIndex = field.staticNameIndex;
    if (nameIndex === 0) {
      const found = table.findName(field);
      if (found !== NOT_FOUND) nameIndex = table.indexOf(found);
      else if (policy === NAME_ONLY) insert = table.fits(field);
    }
    if (insert) {
      const from = writeInteger(out, at, 0x40, 0x3f, nameIndex);
      field.sentBy = table.token;
      field.sentAt = table.insert(field);
      const behind = nameIndex === 0 ? writeCoded(out, from, field.bytes, field.nameStart, field.nameEnd) : from;
      return writeCoded(out, behind, field.bytes, field.valueStart, field.valueEnd);
    }
    let to = writeInteger(out, at, policy === NEVER ? 0x10 : 0x00, 0x0f, nameIndex);
    if (nameIndex === 0) to = writeString(out, to, field.bytes, field.nameStart, field.nameEnd);
    return writeString(out, to, field.bytes, field.valueStart, field.valueEnd);
  }
}

function policyOf(field: Field): number {
  if (field.neverIndexed) return NEVER;
  if (!field.mayIndex) return WITHOUT;
  switch (fixedId(field.kind)) {
    case fieldIds.volatile:
    case fieldIds.grpcTimeout:
    case fieldIds.contentLength:
      return NAME_ONLY;
    case fieldIds.authorization:
      return WITHOUT;
    case fieldIds.cookie:
      return field.valueEnd - field.valueStart < COOKIE_BYTES_MIN ? WITHOUT : INDEX;
    case fieldIds.path:
      return hasQuery(field) ? NAME_ONLY : INDEX;
    default:
      return INDEX;
  }
}

function hasQuery(field: Field): boolean {
  const bytes = field.bytes;
  for (let i = field.valueStart; i < field.valueEnd; i++) if (bytes[i] === QUESTION_MARK) return true;
  return false;
}

/** RFC 7541 §5.1: `value` behind the bits of `first`, in the bits of `mask` and further bytes. */
function writeInteger(out: Uint8Array, at: number, first: number, mask: number, value: number): number {
  if (value < mask) {
    out[at] = first | value;
    return at + 1;
  }
  out[at] = first | mask;
  let to = at + 1;
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) out[to++] = 0x80 | rest;
  out[to] = rest;
  return to + 1;
}

function writeString(out: Uint8Array, at: number, bytes: Uint8Array, start: number, end: number): number {
  const to = writeInteger(out, at, 0x00, 0x7f, end - start);
  return copyBytes(bytes, start, end, out, to);
}

/** A string in the Huffman code (RFC 7541 §5.2), or as it is where that is not longer. */
function writeCoded(out: Uint8Array, at: number, bytes: Uint8Array, start: number, end: number): number {
  let codedBits = 0;
  for (let i = start; i < end; i++) codedBits += codeBits[bytes[i] as number] as number;
  const codedBytes = (codedBits + 7) >>> 3;
  if (codedBytes >= end - start) return writeString(out, at, bytes, start, end);
  let to = writeInteger(out, at, 0x80, 0x7f, codedBytes);
  let pending = 0;
  let pendingBits = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    const code = codes[byte] as number;
    // Byte by byte: a code has up to 30 bits, and with those that are pending that is more than an int32 holds.
    for (let bits = codeBits[byte] as number; bits > 0;) {
      const take = Math.min(bits, 8 - pendingBits);
      bits -= take;
      pending = (pending << take) | ((code >>> bits) & ((1 << take) - 1));
      pendingBits += take;
      if (pendingBits === 8) {
        out[to++] = pending;
        pending = 0;
        pendingBits = 0;
      }
    }
  }
  // The rest of the last byte is the beginning of END_OF_STRING: ones.
  if (pendingBits > 0) out[to++] = (pending << (8 - pendingBits)) | (0xff >>> pendingBits);
  return to;
}
