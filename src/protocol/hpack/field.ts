// One header field as HPACK knows it, and a list of them. A field is made once, where its bytes arrive or at start, and then
// shared by reference: by dynamic tables, by the block it came in, by the request that waits for a connection. What an indexed
// field costs is therefore one reference: no copy, no validation, no look-up of its name.
import { Buffer } from "node:buffer";
import { COLON, FIELD_VALUE, TOKEN_LOWER, isBlank } from "../bytes.ts";
import { type FieldTable, PLAIN } from "../field-table.ts";
import { findStaticEntry, findStaticName } from "./static-table.ts";

/** What each entry costs beyond its bytes, in dynamic tables and in header lists (RFC 7541 §4.1, RFC 9113 §6.5.2). */
export const FIELD_OVERHEAD_BYTES = 32;

/** The size of a dynamic table before anything is said about it (RFC 9113 §6.5.2). */
export const TABLE_BYTES_DEFAULT = 4096;

/** The rule of RFC 9113 §8.2.1 (and the grammar of RFC 9110 §5.1, §5.5) that a field breaks. */
export const fieldFaults = {
  none: 0,
  emptyName: 1,
  upperCaseName: 2,
  /** Something else than token characters behind an optional first colon. */
  badName: 3,
  /** NUL, CR, LF or another control character. */
  badValue: 4,
  /** A space or tab at either end of the value. */
  blankAroundValue: 5,
} as const;

/** One of `fieldFaults`. */
export type FieldFault = (typeof fieldFaults)[keyof typeof fieldFaults];

/** A header field: `bytes[nameStart, nameEnd)` and `bytes[valueStart, valueEnd)`. Everything but the cache is constant. */
export class Field {
  readonly bytes: Uint8Array;
  readonly nameStart: number;
  readonly nameEnd: number;
  readonly valueStart: number;
  readonly valueEnd: number;
  /** Bytes of name and value, plus 32: what it counts in tables and lists; never less than what encoding it takes. */
  readonly size: number;
  /** What the name means: `FieldTable.find`. */
  readonly kind: number;
  /** Int32 of the name. */
  readonly nameHash: number;
  /** Int32 of name and value; 0 until `hashOf` was asked, since most values that differ each time never need it. */
  hash: number;
  /** Its place in the static table, name and value (RFC 7541 Appendix A); 0: none, or to be sent as a literal anyway. */
  readonly staticIndex: number;
  /** The first entry of the static table with this name; 0: none. */
  readonly staticNameIndex: number;
  /** Came as "never indexed" and must leave so (RFC 7541 §6.2.3, §7.1.3). */
  readonly neverIndexed: boolean;
  /** Its sender put it into a table, so that the next hop's encoder may, too. */
  readonly mayIndex: boolean;
  readonly fault: FieldFault;
  /** Whose dynamic table it was last sent from (a token that stands for the encoder and pins no memory), and ... */
  sentBy: object | undefined;
  /** ... under which insertion number. */
  sentAt: number;

  constructor(
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    kind: number,
    nameHash: number,
    staticIndex: number,
    staticNameIndex: number,
    neverIndexed: boolean,
    mayIndex: boolean,
    fault: FieldFault,
  ) {
    this.bytes = bytes;
    this.nameStart = nameStart;
    this.nameEnd = nameEnd;
    this.valueStart = valueStart;
    this.valueEnd = valueEnd;
    this.size = nameEnd - nameStart + valueEnd - valueStart + FIELD_OVERHEAD_BYTES;
    this.kind = kind;
    this.nameHash = nameHash;
    this.hash = 0;
    this.staticIndex = staticIndex;
    this.staticNameIndex = staticNameIndex;
    this.neverIndexed = neverIndexed;
    this.mayIndex = mayIndex;
    this.fault = fault;
    this.sentBy = undefined;
    this.sentAt = 0;
  }
}

/** What begins a block: up to two size updates of at most six bytes each (RFC 7541 §4.2, §6.3). */
const BLOCK_START_BYTES_MAX = 12;

/** The fields of one header block, in order. Reused: `fields` behind `count` are those of earlier blocks. */
export class FieldBlock {
  readonly fields: Field[] = [];
  count = 0;
  /** Name, value and 32 of each (RFC 9113 §6.5.2). */
  listBytes = 0;

  /** No encoding of the block takes more bytes: an indexed name or a length takes up to 6, and 32 are counted for each. */
  get encodedBytesMax(): number {
    return this.listBytes + BLOCK_START_BYTES_MAX;
  }

  /** Empties the block, and keeps its room. */
  clear(): void {
    this.count = 0;
    this.listBytes = 0;
  }

  /** Appends a field. */
  add(field: Field): void {
    this.fields[this.count++] = field;
    this.listBytes += field.size;
  }

  /** Forgets the fields of earlier blocks, so that a block that waits for its next use keeps nothing alive. */
  trim(): void {
    this.fields.length = this.count;
  }
}

const HASH_START = 0x811c9dc5 | 0;
const HASH_FACTOR = 0x01000193;

/** The int32 hash (FNV-1a) of `bytes[start, end)`, continuing `hash`. Tables stay small, so that collisions on purpose gain nothing. */
export function hashBytes(bytes: Uint8Array, start: number, end: number, hash: number = HASH_START): number {
  let mixed = hash;
  for (let i = start; i < end; i++) mixed = Math.imul(mixed ^ (bytes[i] as number), HASH_FACTOR);
  return mixed;
}

/** The hash of name and value, made on the first call. */
export function hashOf(field: Field): number {
  if (field.hash !== 0) return field.hash;
  // 0 means "not yet": a value that really hashes to it takes 1.
  const hash = hashBytes(field.bytes, field.valueStart, field.valueEnd, field.nameHash) || 1;
  field.hash = hash;
  return hash;
}

/** What is wrong with the field name in `bytes[start, end)` (RFC 9113 §8.2.1). */
export function nameFault(bytes: Uint8Array, start: number, end: number): FieldFault {
  // Pseudo-header fields begin with a colon (§8.3); nothing else has one.
  const from = bytes[start] === COLON ? start + 1 : start;
  if (from >= end) return fieldFaults.emptyName;
  for (let i = from; i < end; i++) {
    const byte = bytes[i] as number;
    const lower = TOKEN_LOWER[byte] as number;
    if (lower === byte && byte !== 0) continue;
    return lower === 0 ? fieldFaults.badName : fieldFaults.upperCaseName;
  }
  return fieldFaults.none;
}

/** What is wrong with the field value in `bytes[start, end)` (RFC 9113 §8.2.1). */
export function valueFault(bytes: Uint8Array, start: number, end: number): FieldFault {
  if (start === end) return fieldFaults.none;
  for (let i = start; i < end; i++) if (FIELD_VALUE[bytes[i] as number] === 0) return fieldFaults.badValue;
  if (isBlank(bytes[start] as number) || isBlank(bytes[end - 1] as number)) return fieldFaults.blankAroundValue;
  return fieldFaults.none;
}

/** How a made field is to be sent; the default may be indexed. */
export interface FieldOptions {
  readonly neverIndexed?: boolean;
  readonly mayIndex?: boolean;
}

/** A field from text, for constants (our own fields and answers) and tests; one character per byte. */
export function makeField(name: string, value: string, table: FieldTable, options: FieldOptions = {}): Field {
  const bytes = Buffer.from(name + value, "latin1");
  const nameEnd = name.length;
  const neverIndexed = options.neverIndexed ?? false;
  const mayIndex = !neverIndexed && (options.mayIndex ?? true);
  return new Field(
    bytes,
    0,
    nameEnd,
    nameEnd,
    bytes.length,
    nameEnd === 0 ? PLAIN : table.find(bytes, 0, nameEnd),
    hashBytes(bytes, 0, nameEnd),
    mayIndex ? findStaticEntry(name, value) : 0,
    findStaticName(bytes, 0, nameEnd),
    neverIndexed,
    mayIndex,
    nameFault(bytes, 0, nameEnd) || valueFault(bytes, nameEnd, bytes.length),
  );
}
