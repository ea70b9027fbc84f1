// One side of an exchange: a stream of one HTTP/2 connection, the client's or the endpoint's.
//
// Flow control is credit end to end. The peer may send what `receive` allows; it gets credit back only for bytes that the
// other side's connection has taken. What the other side cannot take now waits in *its* stream (`held`), at most one window.
// A slow reader therefore stops its own sender and nobody else; the window of the connection is credited at once.
import { coarse } from "../../base/clock.ts";
import { UNBOUNDED } from "../../protocol/http2/body-length.ts";
import { ReceiveWindow } from "../../protocol/http2/flow.ts";
import { WINDOW_BYTES_DEFAULT } from "../../protocol/http2/settings.ts";
import { LOCAL_ENDED, LOCAL_RESET, OPENED, REMOTE_RESET } from "../../protocol/http2/stream-state.ts";
import type { Field } from "../../protocol/hpack/field.ts";
import type { Http2Exchange } from "./exchange.ts";
import { type Piece, appendTo } from "./pieces.ts";
import type { Http2Session } from "./session.ts";

const NONE_HELD: Piece[] = [];

/** What all streams of the process hold. */
export const heldByAll = { bytes: 0 };

/** A stream. */
export class Http2Stream {
  readonly session: Http2Session;
  readonly exchange: Http2Exchange;
  readonly id: number;
  /** Bits of stream-state.ts. */
  state = OPENED;
  /** What the peer allows us to send; below zero after it lowered SETTINGS_INITIAL_WINDOW_SIZE. */
  sendWindow: number;
  /** What we allow the peer to send. */
  readonly receive: ReceiveWindow;
  /** Bytes of DATA that the peer still has to send by its Content-Length, or UNBOUNDED. */
  bodyRemaining = UNBOUNDED;
  /** Coarse time when bytes of the peer last came, or were last taken by it. */
  progressMs = coarse.nowMs;

  /** DATA for the peer that its windows or its connection do not take now. */
  held: Piece[] = NONE_HELD;
  heldBytes = 0;
  /** Of what is held: bytes whose sender has had its credit already, at an earlier attempt. */
  prepaidBytes = 0;
  /** END_STREAM follows what is held. */
  endHeld = false;
  /** Trailers follow what is held. */
  trailersHeld: Field[] | undefined = undefined;
  /** In the queue's list of those that wait. */
  blocked = false;
  /** The least of its window that is worth a frame: see send-queue.ts. */
  leastBytes = Number.POSITIVE_INFINITY;
  /** It was opened before the endpoint had told its settings, so that being refused says nothing about the endpoint. */
  early = false;
  /** By how much the window of the other side's sender has grown for this reader. */
  widenedBytes = 0;
  /** What was held when it was dropped: its sender has had no credit for it. */
  droppedBytes = 0;

  constructor(session: Http2Session, exchange: Http2Exchange, id: number) {
    this.session = session;
    this.exchange = exchange;
    this.id = id;
    this.sendWindow = session.peer.initialWindowBytes;
    const { http2StreamWindowBytes } = session.context.limits;
    this.receive = new ReceiveWindow(
      session.settingsAcked ? http2StreamWindowBytes : Math.max(http2StreamWindowBytes, WINDOW_BYTES_DEFAULT),
    );
  }

  /** We may still send on it. */
  get writable(): boolean {
    return (this.state & (LOCAL_ENDED | LOCAL_RESET | REMOTE_RESET)) === 0;
  }

  /** Something waits for the peer. */
  get holds(): boolean {
    return this.held.length > 0 || this.endHeld || this.trailersHeld !== undefined;
  }

  /** Keeps a copy of bytes for the peer. */
  hold(bytes: Uint8Array, start: number, end: number): void {
    if (end === start) return;
    if (this.held === NONE_HELD) this.held = [];
    if (this.held.length === 0) this.progressMs = coarse.nowMs;
    appendTo(this.held, bytes, start, end);
    this.heldBytes += end - start;
    heldByAll.bytes += end - start;
  }

  /** Keeps pieces that belong to the stream from now on; nothing was held. */
  holdPieces(pieces: Piece[], bytes: number): void {
    this.held = pieces;
    this.heldBytes = bytes;
    heldByAll.bytes += bytes;
    this.progressMs = coarse.nowMs;
  }

  /** `bytes` of the first piece have left. */
  release(first: Piece, bytes: number): void {
    this.heldBytes -= bytes;
    heldByAll.bytes -= bytes;
    first.from += bytes;
    if (first.from === first.end) this.held.shift();
  }

  /** Forgets what waits. */
  drop(): void {
    this.droppedBytes = this.heldBytes;
    heldByAll.bytes -= this.heldBytes;
    this.held = NONE_HELD;
    this.heldBytes = 0;
    this.endHeld = false;
    this.trailersHeld = undefined;
  }
}
