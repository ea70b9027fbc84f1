// What the streams of one connection have for its peer, and when it may leave: DATA within the windows of stream and
// connection and as long as the wire takes it (RFC 9113 §5.2). What has to wait is held by its stream (stream.ts).
//
// Guarantees: the bytes of a stream leave in order, then its end or its trailers; among streams that wait, each sends a frame
// in its turn; whoever sent the bytes to us gets credit when they have left, and not before.
//
//   sendData -> writer                        (windows open, wire free: one copy, into the buffer that is written)
//   sendData -> stream.hold -> pump -> writer (pump: WINDOW_UPDATE, SETTINGS, wire drained)
import { coarse } from "../../base/clock.ts";
import { copyBytes } from "../../protocol/bytes.ts";
import type { Field } from "../../protocol/hpack/field.ts";
import { FRAME_HEAD_BYTES, MAX_31_BITS, flags, frameTypes, writeFrameHead } from "../../protocol/http2/frames.ts";
import { WINDOW_BYTES_DEFAULT } from "../../protocol/http2/settings.ts";
import { LOCAL_ENDED } from "../../protocol/http2/stream-state.ts";
import type { Http2Session } from "./session.ts";
import type { Http2Stream } from "./stream.ts";

const NO_BYTES = new Uint8Array(0);
/** A held piece smaller than this is copied once more on its way out: a system call of its own would cost more. */
const PUSH_BYTES_MIN = 4096;
/**
 * A window smaller than this, and than what there is to send, is not used up: a peer that credits frame by frame would get
 * ever smaller ones (the silly window of RFC 1122 §4.2.3.4). Half of the window where that is less.
 */
const WINDOW_BYTES_MIN = 4096;

/** The outgoing messages of one connection. */
export class SendQueue {
  /** What the peer allows us to send on the connection. */
  #window = WINDOW_BYTES_DEFAULT;
  /** Streams that have something which has to wait. */
  readonly #blocked: Http2Stream[] = [];
  /** The least of the connection's window that is worth a frame. */
  #leastBytes = WINDOW_BYTES_MIN;
  #pumping = false;
  readonly #session: Http2Session;

  constructor(session: Http2Session) {
    this.#session = session;
  }

  /** Bytes of DATA that may be sent on the connection. */
  get window(): number {
    return this.#window;
  }

  /** The connection's window grows; false: above 2^31-1 (RFC 9113 §6.9.1). */
  grow(increment: number): boolean {
    if (this.#window + increment > MAX_31_BITS) return false;
    this.#window += increment;
    return true;
  }

  /** DATA of `bytes` was sent past the queue. */
  take(bytes: number): void {
    this.#window -= bytes;
  }

  /** Sends HEADERS; with `ends`, nothing follows on the stream. */
  sendHeaders(
    stream: Http2Stream,
    fields: readonly Field[],
    count: number,
    listBytes: number,
    ends: boolean,
    extra?: Field,
  ): void {
    if (!stream.writable) return;
    this.#session.writer.headers(stream.id, fields, count, listBytes, ends, extra);
    if (ends) stream.state |= LOCAL_ENDED;
  }

  /** How much of `bytes` that there are to send windows and frame size allow now. */
  #allowance(stream: Http2Stream, bytes: number): number {
    const { writer, peer } = this.#session;
    const window = Math.min(stream.sendWindow, this.#window);
    const wanted = Math.min(bytes, writer.maxFrameBytes);
    if (window >= WINDOW_BYTES_MIN) {
      stream.leastBytes = WINDOW_BYTES_MIN;
      this.#leastBytes = WINDOW_BYTES_MIN;
    }
    if (window >= wanted) return wanted;
    return window >= Math.min(stream.leastBytes, this.#leastBytes, peer.initialWindowBytes >> 1) ? window : 0;
  }

  /** Sends DATA, or has the stream hold what cannot leave now. */
  sendData(stream: Http2Stream, bytes: Uint8Array, start: number, end: number, ends: boolean): void {
    if (!stream.writable) return;
    let at = start;
    const { writer, wire, budgets } = this.#session;
    if (!stream.holds && !wire.backlogged) {
      for (;;) {
        // An end without bytes needs no credit, even under a window below zero (RFC 9113 §6.9.1).
        const take = at === end ? 0 : this.#allowance(stream, end - at);
        if (take <= 0 && !(ends && at === end)) break;
        writer.data(stream.id, bytes, at, at + take, ends && at + take === end);
        stream.sendWindow -= take;
        this.#window -= take;
        budgets.dataSent(take, take < Math.min(end - at, writer.maxFrameBytes));
        at += take;
        if (at === end) break;
      }
      if (at > start) noteTaken(stream, at - start);
      if (at === end) {
        if (ends) stream.state |= LOCAL_ENDED;
        return;
      }
    }
    stream.hold(bytes, at, end);
    if (ends) stream.endHeld = true;
    this.block(stream);
  }

  /** Sends trailers, behind what is held. */
  sendTrailers(stream: Http2Stream, fields: readonly Field[], count: number, listBytes: number): void {
    if (!stream.writable) return;
    if (!stream.holds) {
      this.sendHeaders(stream, fields, count, listBytes, true);
      return;
    }
    stream.trailersHeld = fields.slice(0, count);
    this.block(stream);
  }

  /** Has the stream served when there is room. */
  block(stream: Http2Stream): void {
    if (stream.blocked || !stream.holds) return;
    stream.blocked = true;
    stream.progressMs = coarse.nowMs;
    this.#blocked.push(stream);
  }

  /**
   * A stream has waited for long, and its window has not grown: it is all that the peer gives at a time, as long as something
   * else holds the rest or until that much is used up. From now on so much is enough.
   */
  hurry(stream: Http2Stream): void {
    const window = Math.min(stream.sendWindow, this.#window);
    if (!stream.blocked || window <= 0) return;
    if (this.#window < stream.sendWindow) this.#leastBytes = Math.min(this.#leastBytes, window);
    else stream.leastBytes = Math.min(stream.leastBytes, window);
    this.pump();
  }

  /** Sends what is held, a frame of each stream in turn, as far as windows and wire allow. */
  pump(): void {
    // What ends here makes room for others, which may want to send at once: the loop below comes to them.
    if (this.#pumping) return;
    this.#pumping = true;
    const session = this.#session;
    const blocked = this.#blocked;
    let passed = 0;
    // Streams that cannot send now are passed over and stay where they are; those that can go to the end of the list.
    while (blocked.length > passed && !session.wire.backlogged && !session.ended) {
      const stream = blocked[passed] as Http2Stream;
      if (stream.writable && stream.holds && !this.#sendHeldFrame(stream)) {
        passed++;
        continue;
      }
      blocked.splice(passed, 1);
      if (stream.writable && stream.holds) blocked.push(stream);
      else stream.blocked = false;
    }
    this.#pumping = false;
  }

  /** Sends one frame of what a stream holds; false when its window or the connection's does not allow any. */
  #sendHeldFrame(stream: Http2Stream): boolean {
    const { writer, budgets } = this.#session;
    const first = stream.held[0];
    if (first === undefined) {
      this.#sendHeldEnd(stream);
      return true;
    }
    const { from } = first;
    const take = this.#allowance(stream, first.end - from);
    if (take <= 0) return false;
    const { bytes } = first;
    const whole = from + take === first.end;
    const last = whole && stream.held.length === 1 && stream.endHeld && stream.trailersHeld === undefined;
    // In front of them is room for a head: made for it, or left by bytes that have gone.
    const start = from - FRAME_HEAD_BYTES;
    writeFrameHead(bytes, start, take, frameTypes.DATA, last ? flags.END_STREAM : 0, stream.id);
    if (take < PUSH_BYTES_MIN) {
      const at = writer.reserve(FRAME_HEAD_BYTES + take);
      writer.commit(copyBytes(bytes, start, from + take, writer.bytes, at));
    } else writer.push(bytes, start, from + take);
    stream.sendWindow -= take;
    this.#window -= take;
    budgets.dataSent(take, !whole && take < writer.maxFrameBytes);
    stream.release(first, take);
    noteTaken(stream, take);
    if (last) {
      stream.endHeld = false;
      stream.state |= LOCAL_ENDED;
      this.#session.settle(stream);
    }
    return true;
  }

  /** Sends the end that was held behind the data. */
  #sendHeldEnd(stream: Http2Stream): void {
    const trailers = stream.trailersHeld;
    stream.drop();
    if (trailers === undefined) this.sendData(stream, NO_BYTES, 0, 0, true);
    else this.sendHeaders(stream, trailers, trailers.length, listBytesOf(trailers), true);
    this.#session.settle(stream);
  }
}

/** `bytes` for this stream's peer have left: whoever sent them gets credit. */
function noteTaken(stream: Http2Stream, bytes: number): void {
  stream.progressMs = coarse.nowMs;
  const prepaid = Math.min(stream.prepaidBytes, bytes);
  stream.prepaidBytes -= prepaid;
  if (prepaid === bytes) return;
  const from = stream.exchange.otherOf(stream);
  if (from !== undefined) from.session.credit(from, bytes - prepaid);
}

/** What fields count by HPACK's measure, which is more than encoding them takes. */
export function listBytesOf(fields: readonly Field[]): number {
  let bytes = 0;
  for (const field of fields) bytes += field.size;
  return bytes;
}
