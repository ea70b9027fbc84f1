// The frames that one connection sends, written into its output (output.ts): one method for each type.
import { copyBytes, latin1 } from "../../protocol/bytes.ts";
import { HpackEncoder } from "../../protocol/hpack/encoder.ts";
import type { Field } from "../../protocol/hpack/field.ts";
import {
  FRAME_BYTES_DEFAULT,
  FRAME_HEAD_BYTES,
  GOAWAY_BYTES,
  PING_BYTES,
  PREFACE,
  RST_STREAM_BYTES,
  SETTINGS_ACK_BYTES,
  SETTING_BYTES,
  WINDOW_UPDATE_BYTES,
  flags,
  frameTypes,
  writeFrameHead,
  writeGoaway,
  writePing,
  writeRstStream,
  writeSettings,
  writeSettingsAck,
  writeWindowUpdate,
} from "../../protocol/http2/frames.ts";
import type { PeerSettings } from "../../protocol/http2/settings.ts";
import { TABLE_BYTES } from "./field-blocks.ts";
import { FrameOutput } from "./output.ts";

/** A frame head, and what may begin a block. */
const HEADERS_ROOM_BYTES = 64;
/** Debug data of GOAWAY is for people. */
const DEBUG_BYTES_MAX = 200;

/** Writes the frames of one connection. */
export class FrameWriter extends FrameOutput {
  /** The peer's SETTINGS_MAX_FRAME_SIZE. */
  maxFrameBytes = FRAME_BYTES_DEFAULT;
  readonly #encoder = new HpackEncoder(TABLE_BYTES);

  /** From now on frames are as the peer has told. */
  follow(peer: PeerSettings): void {
    this.maxFrameBytes = peer.maxFrameBytes;
    const { headerTableBytes, headerTableBytesLowest } = peer;
    if (headerTableBytesLowest < headerTableBytes) this.#encoder.setPeerTableBytesMax(headerTableBytesLowest);
    this.#encoder.setPeerTableBytesMax(headerTableBytes);
  }

  preface(): void {
    const at = this.reserve(PREFACE.length);
    this.commit(copyBytes(PREFACE, 0, PREFACE.length, this.bytes, at));
  }

  /** @param pairs id, value, id, value... */
  settings(pairs: readonly number[]): void {
    const at = this.reserve(FRAME_HEAD_BYTES + (pairs.length / 2) * SETTING_BYTES);
    this.commit(writeSettings(this.bytes, at, pairs));
  }

  settingsAck(): void {
    const at = this.reserve(SETTINGS_ACK_BYTES);
    this.commit(writeSettingsAck(this.bytes, at));
  }

  /** The eight bytes at `from[start]` are what the answer repeats. */
  ping(ack: boolean, from: Uint8Array, start: number): void {
    const at = this.reserve(PING_BYTES);
    this.commit(writePing(this.bytes, at, ack, from, start));
  }

  reset(id: number, code: number): void {
    const at = this.reserve(RST_STREAM_BYTES);
    this.commit(writeRstStream(this.bytes, at, id, code));
  }

  goaway(lastId: number, code: number, detail: string): void {
    const debug = latin1(detail.slice(0, DEBUG_BYTES_MAX));
    const at = this.reserve(GOAWAY_BYTES + debug.length);
    this.commit(writeGoaway(this.bytes, at, lastId, code, debug));
  }

  /** @param id 0: of the connection. */
  windowUpdate(id: number, increment: number): void {
    const at = this.reserve(WINDOW_UPDATE_BYTES);
    this.commit(writeWindowUpdate(this.bytes, at, id, increment));
  }

  /** One DATA frame, no longer than `maxFrameBytes`. */
  data(id: number, bytes: Uint8Array, start: number, end: number, ends: boolean): void {
    const at = this.reserve(FRAME_HEAD_BYTES + end - start);
    const from = writeFrameHead(this.bytes, at, end - start, frameTypes.DATA, ends ? flags.END_STREAM : 0, id);
    this.commit(copyBytes(bytes, start, end, this.bytes, from));
  }

  /**
   * HEADERS: `fields[0, count)` and then the extra one, split into CONTINUATION frames when they are longer than what the
   * peer takes.
   *
   * @param listBytes of the fields by HPACK's counting: more than encoding them can take.
   */
  headers(id: number, fields: readonly Field[], count: number, listBytes: number, ends: boolean, extra?: Field): void {
    const at = this.reserve(listBytes + (extra === undefined ? 0 : extra.size) + HEADERS_ROOM_BYTES);
    // Trailers belong to an older stream.
    if (id > this.writtenId) this.writtenId = id;
    const { bytes } = this;
    const encoder = this.#encoder;
    const from = at + FRAME_HEAD_BYTES;
    let end = encoder.begin(bytes, from);
    for (let i = 0; i < count; i++) end = encoder.write(fields[i] as Field, bytes, end);
    if (extra !== undefined) end = encoder.write(extra, bytes, end);
    if (end - from > this.maxFrameBytes) {
      this.#split(bytes.slice(from, end), id, ends);
      return;
    }
    const flagBits = ends ? flags.END_HEADERS | flags.END_STREAM : flags.END_HEADERS;
    writeFrameHead(bytes, at, end - from, frameTypes.HEADERS, flagBits, id);
    this.commit(end);
  }

  #split(fragments: Uint8Array, id: number, ends: boolean): void {
    const max = this.maxFrameBytes;
    for (let from = 0; from < fragments.length; from += max) {
      const to = Math.min(fragments.length, from + max);
      const first = from === 0;
      const flagBits = (to === fragments.length ? flags.END_HEADERS : 0) | (first && ends ? flags.END_STREAM : 0);
      const at = this.reserve(FRAME_HEAD_BYTES + to - from);
      const type = first ? frameTypes.HEADERS : frameTypes.CONTINUATION;
      const payload = writeFrameHead(this.bytes, at, to - from, type, flagBits, id);
      this.commit(copyBytes(fragments, from, to, this.bytes, payload));
    }
  }
}
