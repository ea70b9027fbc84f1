// Decodes header blocks (RFC 7541). The order of the limits matters: the dynamic table is shared by all blocks of a connection, so
// that a block that is too large is read to its end, for what it does to the table, while its fields are dropped.
//
// Guarantees: an indexed field costs no copy and no allocation; work and memory for a block are linear in its bytes, whatever it
// expands to; what a connection's table keeps alive is at most three slabs.
import { Buffer } from "node:buffer";
import { FIELD_VALUE, copyBytes, isBlank } from "../bytes.ts";
import { PLAIN } from "../field-table.ts";
import { DecoderTable } from "./decoder-table.ts";
import {
  FIELD_OVERHEAD_BYTES,
  Field,
  type FieldBlock,
  type FieldFault,
  TABLE_BYTES_DEFAULT,
  fieldFaults,
  hashBytes,
  nameFault,
  valueFault,
} from "./field.ts";
import { BAD_HUFFMAN, HuffmanDecoder, decodedBytesMax, decodedBytesMin } from "./huffman.ts";
import { Slab } from "./slab.ts";
import type { StaticFields } from "./static-fields.ts";
import { STATIC_COUNT, findStaticName } from "./static-table.ts";

/** The block is read; its fields are in the FieldBlock. */
export const DECODED = 0;
/** More fields, or longer ones, than the limits allow. The table is right; the FieldBlock has only the first fields. */
export const LIST_TOO_LARGE = 1;
/** The block breaks RFC 7541: the connection is lost (RFC 9113 §4.3). */
export const COMPRESSION_ERROR = 2;

export type DecodeResult = typeof DECODED | typeof LIST_TOO_LARGE | typeof COMPRESSION_ERROR;

/** What a block may expand to. */
export interface BlockLimits {
  /** Name, value and 32 for each field (RFC 9113 §6.5.2). */
  readonly listBytesMax: number;
  readonly countMax: number;
}

/** First and largest slab of a table: most connections use a few hundred bytes of theirs. */
const FIRST_SLAB_BYTES = 512;
const SLAB_BYTES_MAX = 4096;
/** A literal that may take more gets a buffer of its own, so that it wastes no slab. */
const SLAB_LITERAL_BYTES_MAX = 1024;
/** One or two size updates may begin a block: the smallest and the last size since the block before (RFC 7541 §4.2). */
const SIZE_UPDATES_MAX = 2;
/** Integers of more bytes behind their prefix are refused: 28 bits are more than anything here can be (RFC 7541 §5.1). */
const INTEGER_BYTES_MAX = 4;

/** One direction of one connection: its dynamic table, and the way from block to fields. */
export class HpackDecoder {
  /** After COMPRESSION_ERROR: what was wrong, for the GOAWAY and the log. */
  errorDetail: string;
  readonly #statics: StaticFields;
  readonly #tableBytesMax: number;
  readonly #huffman: HuffmanDecoder;
  readonly #slab: Slab;
  readonly #table: DecoderTable;
  /** Where reading goes on: the second result of the methods that read. */
  #at: number;
  /** The string that `#readString` found. */
  #from: number;
  #to: number;
  #coded: boolean;

  /**
   * @param tableBytesMax the SETTINGS_HEADER_TABLE_SIZE that the peer is told. Less than 4096 only when the peer knows before it
   * sends its first block.
   */
  constructor(statics: StaticFields, tableBytesMax: number) {
    this.errorDetail = "";
    this.#statics = statics;
    this.#tableBytesMax = tableBytesMax;
    this.#huffman = new HuffmanDecoder();
    this.#slab = new Slab(FIRST_SLAB_BYTES, SLAB_BYTES_MAX);
    this.#table = new DecoderTable(Math.min(tableBytesMax, TABLE_BYTES_DEFAULT));
    this.#at = 0;
    this.#from = 0;
    this.#to = 0;
    this.#coded = false;
  }

  /** Reads the header block `bytes[start, end)`, complete and without padding, into `out`. */
  decode(bytes: Uint8Array, start: number, end: number, out: FieldBlock, limits: BlockLimits): DecodeResult {
    const statics = this.#statics.fields;
    const countMax = limits.countMax;
    const fields = out.fields;
    out.clear();
    let count = 0;
    let listBytes = 0;
    // -1 from the first field on that does not fit: then no other one does.
    let listBytesMax = limits.listBytesMax;
    let updates = 0;
    let at = start;
    while (at < end) {
      const byte = bytes[at++] as number;
      let field: Field;
      if (byte >= 0x80) {
        // Indexed (RFC 7541 §6.1).
        let index = byte & 0x7f;
        if (index === 0x7f) {
          index = this.#readInteger(bytes, at, end, 0x7f);
          if (index < 0) return COMPRESSION_ERROR;
          at = this.#at;
        }
        if (index > STATIC_COUNT) {
          const past = index - STATIC_COUNT;
          if (past > this.#table.count) return this.#fail("an index beyond the dynamic table");
          field = this.#table.get(past);
        } else {
          if (index === 0) return this.#fail("the index 0");
          field = statics[index - 1] as Field;
        }
      } else if ((byte & 0xe0) === 0x20) {
        if (count > 0 || listBytesMax < 0) return this.#fail("a table size update behind a field");
        if (++updates > SIZE_UPDATES_MAX) return this.#fail("more than two table size updates");
        let size = byte & 0x1f;
        if (size === 0x1f) {
          size = this.#readInteger(bytes, at, end, 0x1f);
          if (size < 0) return COMPRESSION_ERROR;
          at = this.#at;
        }
        if (size > this.#tableBytesMax) return this.#fail("a table size above the one that was announced");
        this.#table.resize(size);
        continue;
      } else {
        const literal = this.#readLiteral(bytes, at, end, byte, listBytesMax - listBytes);
        if (literal === COMPRESSION_ERROR) return COMPRESSION_ERROR;
        at = this.#at;
        if (literal === LIST_TOO_LARGE) {
          listBytesMax = -1;
          continue;
        }
        field = literal;
      }
      if (listBytes + field.size <= listBytesMax && count < countMax) {
        listBytes += field.size;
        fields[count++] = field;
      } else {
        listBytesMax = -1;
      }
    }
    out.count = count;
    out.listBytes = listBytes;
    return listBytesMax < 0 ? LIST_TOO_LARGE : DECODED;
  }

  /**
   * A literal (RFC 7541 §6.2) behind its first byte; goes on at `#at`. LIST_TOO_LARGE: it is longer than `room` and was not even
   * decoded, or only for the table.
   */
  #readLiteral(
    bytes: Uint8Array,
    start: number,
    end: number,
    byte: number,
    room: number,
  ): Field | typeof LIST_TOO_LARGE | typeof COMPRESSION_ERROR {
    const indexing = byte >= 0x40;
    const mask = indexing ? 0x3f : 0x0f;
    let at = start;
    let index = byte & mask;
    if (index === mask) {
      index = this.#readInteger(bytes, at, end, mask);
      if (index < 0) return COMPRESSION_ERROR;
      at = this.#at;
    }

    let named: Field | undefined;
    let nameFrom = 0;
    let nameTo = 0;
    let nameCoded = false;
    if (index === 0) {
      if (!this.#readString(bytes, at, end)) return COMPRESSION_ERROR;
      nameFrom = this.#from;
      nameTo = at = this.#to;
      nameCoded = this.#coded;
    } else if (index <= STATIC_COUNT) {
      named = this.#statics.fields[index - 1] as Field;
    } else {
      const past = index - STATIC_COUNT;
      if (past > this.#table.count) return this.#fail("a name index beyond the dynamic table");
      named = this.#table.get(past);
    }
    if (!this.#readString(bytes, at, end)) return COMPRESSION_ERROR;
    const from = this.#from;
    const to = this.#to;
    const coded = this.#coded;
    this.#at = to;

    // Lengths first: what fits neither the list nor the table is passed over, however long.
    const nameBytes = named === undefined ? nameTo - nameFrom : named.nameEnd - named.nameStart;
    const sizeMin =
      (nameCoded ? decodedBytesMin(nameBytes) : nameBytes) +
      (coded ? decodedBytesMin(to - from) : to - from) +
      FIELD_OVERHEAD_BYTES;
    const tooLarge = sizeMin > room;
    if (tooLarge) {
      if (!indexing) return LIST_TOO_LARGE;
      if (sizeMin > this.#table.sizeMax) {
        this.#table.clear();
        return LIST_TOO_LARGE;
      }
    }

    const bytesMax =
      (nameCoded ? decodedBytesMax(nameBytes) : nameBytes) + (coded ? decodedBytesMax(to - from) : to - from);
    const slab = indexing ? this.#slab : this.#statics.literals;
    const own = bytesMax > SLAB_LITERAL_BYTES_MAX;
    let into: Buffer;
    let nameStart = 0;
    if (own) {
      into = Buffer.allocUnsafeSlow(bytesMax);
    } else {
      slab.reserve(bytesMax);
      into = slab.bytes;
      nameStart = slab.used;
    }

    let nameEnd: number;
    if (named !== undefined) nameEnd = copyBytes(named.bytes, named.nameStart, named.nameEnd, into, nameStart);
    else if (nameCoded) nameEnd = this.#huffman.decode(bytes, nameFrom, nameTo, into, nameStart);
    else nameEnd = copyBytes(bytes, nameFrom, nameTo, into, nameStart);
    if (nameEnd === BAD_HUFFMAN) return this.#fail("a name with a wrong Huffman code");

    let valueEnd: number;
    let fault: FieldFault;
    if (coded) {
      valueEnd = this.#huffman.decode(bytes, from, to, into, nameEnd);
      if (valueEnd === BAD_HUFFMAN) return this.#fail("a value with a wrong Huffman code");
      fault =
        this.#huffman.sawControl || (valueEnd > nameEnd && hasBlankEnd(into, nameEnd, valueEnd))
          ? valueFault(into, nameEnd, valueEnd)
          : fieldFaults.none;
    } else {
      valueEnd = nameEnd + to - from;
      // Copied and looked at in one go.
      let allowed = 1;
      for (let i = from, at = nameEnd; i < to; i++, at++) {
        const character = bytes[i] as number;
        allowed &= FIELD_VALUE[character] as number;
        into[at] = character;
      }
      fault =
        allowed === 0 || (to > from && hasBlankEnd(into, nameEnd, valueEnd))
          ? valueFault(into, nameEnd, valueEnd)
          : fieldFaults.none;
    }
    if (own) {
      if (valueEnd < into.length) into = exactCopy(into, valueEnd);
    } else {
      slab.used = valueEnd;
    }

    let kind: number;
    let nameHash: number;
    let staticName: number;
    if (named === undefined) {
      fault = nameFault(into, nameStart, nameEnd) || fault;
      kind = nameEnd === nameStart ? PLAIN : this.#statics.table.find(into, nameStart, nameEnd);
      nameHash = hashBytes(into, nameStart, nameEnd);
      staticName = findStaticName(into, nameStart, nameEnd);
    } else {
      if (named.fault !== fieldFaults.none) fault = nameFault(into, nameStart, nameEnd) || fault;
      kind = named.kind;
      nameHash = named.nameHash;
      staticName = named.staticNameIndex;
    }
    const neverIndexed = (byte & 0xf0) === 0x10;
    const field = new Field(
      into,
      nameStart,
      nameEnd,
      nameEnd,
      valueEnd,
      kind,
      nameHash,
      0,
      staticName,
      neverIndexed,
      indexing,
      fault,
    );
    if (indexing) this.#table.insert(field);
    return tooLarge ? LIST_TOO_LARGE : field;
  }

  /** The rest of an integer whose prefix is full (RFC 7541 §5.1); -1 after an error. */
  #readInteger(bytes: Uint8Array, start: number, end: number, prefix: number): number {
    let value = prefix;
    let shift = 0;
    let at = start;
    while (at < end && at - start < INTEGER_BYTES_MAX) {
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.#at = at;
        return value;
      }
      shift += 7;
    }
    this.#fail(at < end ? "an integer of too many bytes" : "an integer that ends too soon");
    return -1;
  }

  /** Finds the string literal at `at` (RFC 7541 §5.2): `#from`, `#to`, `#coded`. False after an error. */
  #readString(bytes: Uint8Array, at: number, end: number): boolean {
    if (at >= end) {
      this.#fail("a field that ends before its string");
      return false;
    }
    const byte = bytes[at] as number;
    let from = at + 1;
    let length = byte & 0x7f;
    if (length === 0x7f) {
      length = this.#readInteger(bytes, from, end, 0x7f);
      if (length < 0) return false;
      from = this.#at;
    }
    if (length > end - from) {
      this.#fail("a string longer than its block");
      return false;
    }
    this.#from = from;
    this.#to = from + length;
    this.#coded = byte >= 0x80;
    return true;
  }

  #fail(detail: string): typeof COMPRESSION_ERROR {
    this.errorDetail = detail;
    return COMPRESSION_ERROR;
  }
}

function hasBlankEnd(bytes: Uint8Array, start: number, end: number): boolean {
  return isBlank(bytes[start] as number) || isBlank(bytes[end - 1] as number);
}

function exactCopy(bytes: Buffer, length: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(length);
  bytes.copy(copy, 0, 0, length);
  return copy;
}
