// The header blocks that one connection receives (RFC 9113 §4.3): puts HEADERS and CONTINUATION together and decodes them. A
// block is always decoded, whatever becomes of its stream, since the HPACK state of the connection depends on it.
import { copyBytes } from "../../protocol/bytes.ts";
import { type BlockLimits, type DecodeResult, HpackDecoder } from "../../protocol/hpack/decoder.ts";
import { FieldBlock } from "../../protocol/hpack/field.ts";
import type { StaticFields } from "../../protocol/hpack/static-fields.ts";
import { OK } from "../../protocol/http2/error-codes.ts";
import { FRAME_BYTES_DEFAULT } from "../../protocol/http2/frames.ts";

/** The fields of the block that was received last. One for all connections: a block is read and passed on in one go. */
export const block = new FieldBlock();

/** The capacity of dynamic tables, both ways: the default of the protocol. */
export const TABLE_BYTES = 4096;
/** What a block may take beyond what it decodes to: names that are references, and changes of the table. */
const SLACK_BYTES = 1024;
const NO_BYTES = new Uint8Array(0);

/** The incoming header blocks of one connection. */
export class FieldBlocks {
  /** The stream whose block is not complete; 0: none. */
  openId = 0;
  /** Flags of the HEADERS frame, and what was wrong with it: OK or a stream error. */
  flagBits = 0;
  error = OK;
  readonly #decoder: HpackDecoder;
  readonly #limits: BlockLimits;
  #fragments: Uint8Array = NO_BYTES;
  #length = 0;

  constructor(statics: StaticFields, limits: BlockLimits) {
    this.#decoder = new HpackDecoder(statics, TABLE_BYTES);
    this.#limits = limits;
  }

  /** After COMPRESSION_ERROR: what was wrong. */
  get errorDetail(): string {
    return this.#decoder.errorDetail;
  }

  /** A block begins that further frames will complete. */
  open(id: number): void {
    this.openId = id;
    this.#length = 0;
  }

  /** Adds a fragment to the open block; false: the block is too long to be an honest one. */
  add(bytes: Uint8Array, start: number, end: number): boolean {
    const length = this.#length + (end - start);
    if (length > this.#limits.listBytesMax + SLACK_BYTES) return false;
    if (length > this.#fragments.length) {
      const larger = new Uint8Array(Math.max(1024, length * 2));
      copyBytes(this.#fragments, 0, this.#length, larger, 0);
      this.#fragments = larger;
    }
    copyBytes(bytes, start, end, this.#fragments, this.#length);
    this.#length = length;
    return true;
  }

  /** Decodes the open block, which is complete, into `block`. */
  close(): DecodeResult {
    this.openId = 0;
    const result = this.decode(this.#fragments, 0, this.#length);
    if (this.#fragments.length > FRAME_BYTES_DEFAULT) this.#fragments = NO_BYTES;
    return result;
  }

  /** Decodes a block that came in one frame into `block`. */
  decode(bytes: Uint8Array, start: number, end: number): DecodeResult {
    return this.#decoder.decode(bytes, start, end, block, this.#limits);
  }
}
