// What one side of a stream allows its peer to send (RFC 9113 §5.1), as bits in one small integer, so that a verdict on a
// frame is a test of bits. The relay sets bits as frames come and go:
//
//   state 0          idle
//   OPENED           the first HEADERS frame was sent or received
//   HEAD_RECEIVED    the peer's final head came: DATA may follow, and of further HEADERS only trailers
//   REMOTE_ENDED     the peer sent END_STREAM: half-closed (remote)
//   LOCAL_ENDED      we sent END_STREAM: half-closed (local)
//   both ended, or one of REMOTE_RESET and LOCAL_RESET: closed, with the reason
//
// Closed streams leave the table of live streams at once; `StreamHistory` remembers the reasons of the latest.
import { IGNORE, OK, STREAM_ERROR, errorCodes } from "./error-codes.ts";
import { flags, frameTypes } from "./frames.ts";

/** No frame has been exchanged on the stream. */
export const IDLE = 0;
export const OPENED = 0x01;
export const HEAD_RECEIVED = 0x02;
export const REMOTE_ENDED = 0x04;
export const LOCAL_ENDED = 0x08;
export const REMOTE_RESET = 0x10;
export const LOCAL_RESET = 0x20;
/** Never used, and closed because a higher one was opened (§5.1.1). */
export const SKIPPED = 0x40;
/** Closed too long ago to say how. */
export const FORGOTTEN = 0x80;

const BOTH_ENDED = REMOTE_ENDED | LOCAL_ENDED;
const NOT_LIVE = REMOTE_RESET | LOCAL_RESET | SKIPPED | FORGOTTEN;
/** The peer may send DATA. */
const TAKES_DATA = OPENED | HEAD_RECEIVED;

/** Whether the stream is closed: it leaves the table of live streams. */
export function isClosed(state: number): boolean {
  return (state & NOT_LIVE) !== 0 || (state & BOTH_ENDED) === BOTH_ENDED;
}

/**
 * What a frame of the peer does to a stream in this state: OK, IGNORE or an error. HEADERS on an idle stream is an error
 * here; a server asks `StreamHistory.open` instead.
 *
 * An ignored or refused DATA frame still counts in the connection's window, a HEADERS frame still goes through HPACK.
 *
 * @param type DATA, HEADERS, PRIORITY, RST_STREAM or WINDOW_UPDATE; the rest is settled by `checkFrameHead`.
 */
export function frameVerdict(state: number, type: number, flagBits: number): number {
  if (type === frameTypes.DATA) {
    if ((state & (TAKES_DATA | REMOTE_ENDED | NOT_LIVE)) === TAKES_DATA) return OK;
    return refuse(state);
  }
  if (type === frameTypes.HEADERS) {
    if ((state & (OPENED | REMOTE_ENDED | NOT_LIVE)) !== OPENED) return refuse(state);
    // §8.1: behind the final head only trailers may follow, and they end the stream.
    return (state & HEAD_RECEIVED) !== 0 && (flagBits & flags.END_STREAM) === 0
      ? STREAM_ERROR | errorCodes.PROTOCOL_ERROR
      : OK;
  }
  // §5.3.2, §6.3: PRIORITY may come in any state, and means nothing.
  if (type === frameTypes.PRIORITY) return OK;
  // RST_STREAM and WINDOW_UPDATE: a connection error when idle; ignored when closed, as they may have been on their way.
  if (state === IDLE) return errorCodes.PROTOCOL_ERROR;
  return isClosed(state) ? IGNORE : OK;
}

/** A DATA or HEADERS frame that the state does not allow. */
function refuse(state: number): number {
  if (state === IDLE || (state & SKIPPED) !== 0) return errorCodes.PROTOCOL_ERROR;
  // The peer did not know of our reset yet. Of streams closed long ago it can be that as well.
  if ((state & (LOCAL_RESET | FORGOTTEN)) !== 0) return IGNORE;
  if ((state & REMOTE_RESET) !== 0) return STREAM_ERROR | errorCodes.STREAM_CLOSED;
  if ((state & BOTH_ENDED) === BOTH_ENDED) return errorCodes.STREAM_CLOSED;
  if ((state & REMOTE_ENDED) !== 0) return STREAM_ERROR | errorCodes.STREAM_CLOSED;
  // §8.1: DATA before the final head.
  return STREAM_ERROR | errorCodes.PROTOCOL_ERROR;
}

/** Closed streams that are remembered. Forgetting one makes us lenient, never wrong. */
const REMEMBERED = 64;
/** No stream that was ever opened has this entry, but the last possible one. */
const NOTHING = -1;

/**
 * The streams of one connection that are not live: which ids are idle, and how the latest were closed. One Int32 per
 * remembered stream: 30 bits of the id (its parity is that of the connection) and the two reset bits.
 */
export class StreamHistory {
  /** The highest id opened so far; 0: none. */
  lastId: number;
  readonly #entries: Int32Array;
  /** The latest gap: ids in [from, to) were never used. */
  #skippedFrom: number;
  #skippedTo: number;

  constructor() {
    this.lastId = 0;
    this.#entries = new Int32Array(REMEMBERED).fill(NOTHING);
    this.#skippedFrom = 0;
    this.#skippedTo = 0;
  }

  /**
   * A client opens the stream `id` (RFC 9113 §5.1.1). Both ends call it: a server for the HEADERS frame that it got, a
   * client for the one that it sends.
   *
   * @returns OK, or the connection error for an even id or one that is not above all before.
   */
  open(id: number): number {
    if ((id & 1) === 0 || id <= this.lastId) return errorCodes.PROTOCOL_ERROR;
    const expected = this.lastId === 0 ? 1 : this.lastId + 2;
    if (id > expected) {
      this.#skippedFrom = expected;
      this.#skippedTo = id;
    }
    this.lastId = id;
    return OK;
  }

  /** A stream that was open is closed; of its state only the reset bits matter. */
  close(id: number, state: number): void {
    this.#entries[(id >> 1) & (REMEMBERED - 1)] = ((id >> 1) << 2) | ((state >> 4) & 3);
  }

  /** The state of a stream that is not live: IDLE, SKIPPED, closed for a known reason, or FORGOTTEN. */
  stateOf(id: number): number {
    // Even ids are a server's, and none of ours pushes: they stay idle for ever.
    if ((id & 1) === 0 || id > this.lastId) return IDLE;
    if (id >= this.#skippedFrom && id < this.#skippedTo) return SKIPPED;
    const entry = this.#entries[(id >> 1) & (REMEMBERED - 1)] as number;
    if (entry >>> 2 !== id >> 1) return FORGOTTEN;
    const resets = (entry & 3) << 4;
    return resets === 0 ? OPENED | HEAD_RECEIVED | BOTH_ENDED : OPENED | resets;
  }
}
