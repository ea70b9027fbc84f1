// Bytes that wait, in pieces: copied once when they come, and written from where they lie. A piece is filled before another one
// is begun, so that many small frames cost no more than their bytes; in front of each is room for the head of a frame, so that
// both leave in one write.
//
// Small pieces share a slab: most requests of gRPC have a body of some hundred bytes, which is kept until the answer begins,
// and a buffer of its own for each would be half of what a request allocates (docs/performance.md).
import { copyBytes } from "../../protocol/bytes.ts";
import { FRAME_HEAD_BYTES } from "../../protocol/http2/frames.ts";

const PIECE_BYTES_MIN = 512;
const PIECE_BYTES_MAX = 16 * 1024;
const SLAB_BYTES = 32 * 1024;
/** A larger piece has a buffer of its own, so that one that stays keeps little else alive. */
const SHARED_BYTES_MAX = 1024;

let slab = new Uint8Array(0);
let slabUsed = 0;

/** Bytes in a part of a buffer that belongs to nobody else. */
export class Piece {
  readonly bytes: Uint8Array;
  /** What waits is `bytes[from, end)`; in front of it are `FRAME_HEAD_BYTES` that may be written. */
  from: number;
  end: number;
  /** Behind it is room up to here. */
  readonly limit: number;

  constructor(capacity: number) {
    const total = FRAME_HEAD_BYTES + capacity;
    let start = 0;
    if (capacity > SHARED_BYTES_MAX) this.bytes = new Uint8Array(total);
    else {
      if (slabUsed + total > slab.length) {
        slab = new Uint8Array(SLAB_BYTES);
        slabUsed = 0;
      }
      this.bytes = slab;
      start = slabUsed;
      slabUsed += total;
    }
    this.from = start + FRAME_HEAD_BYTES;
    this.end = this.from;
    this.limit = start + total;
  }

  /** Appends as much of `from[start, end)` as there is room for; returns the offset behind that. */
  append(from: Uint8Array, start: number, end: number): number {
    const stop = Math.min(end, start + this.limit - this.end);
    this.end = copyBytes(from, start, stop, this.bytes, this.end);
    return stop;
  }
}

/** Appends a copy of `from[start, end)` to pieces. */
export function appendTo(pieces: Piece[], from: Uint8Array, start: number, end: number): void {
  const last = pieces[pieces.length - 1];
  let at = last === undefined ? start : last.append(from, start, end);
  while (at < end) {
    const before = pieces[pieces.length - 1];
    // A single message takes its own size; what trickles in takes more each time.
    const grown = before === undefined ? 0 : Math.max(PIECE_BYTES_MIN, (before.end - before.from) * 2);
    const piece = new Piece(Math.max(Math.min(grown, PIECE_BYTES_MAX), Math.min(end - at, PIECE_BYTES_MAX * 4)));
    at = piece.append(from, at, end);
    pieces.push(piece);
  }
}
