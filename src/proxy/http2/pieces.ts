// Bytes that wait, in pieces: copied once when they come, and written from where they lie. A piece is filled before another one
// is begun, so that many small frames cost no more than their bytes; in front of each is room for the head of a frame, so that
// both leave in one write.
import { copyBytes } from "../../protocol/bytes.ts";
import { FRAME_HEAD_BYTES } from "../../protocol/http2/frames.ts";

const PIECE_BYTES_MIN = 512;
const PIECE_BYTES_MAX = 16 * 1024;

/** Bytes in one buffer. */
export class Piece {
  readonly bytes: Uint8Array;
  /** What waits is `bytes[FRAME_HEAD_BYTES, end)`; behind it is room. */
  end: number;

  constructor(capacity: number) {
    this.bytes = new Uint8Array(FRAME_HEAD_BYTES + capacity);
    this.end = FRAME_HEAD_BYTES;
  }

  /** Appends as much of `from[start, end)` as there is room for; returns the offset behind that. */
  append(from: Uint8Array, start: number, end: number): number {
    const stop = Math.min(end, start + this.bytes.length - this.end);
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
    const grown = before === undefined ? 0 : Math.max(PIECE_BYTES_MIN, before.bytes.length * 2);
    const piece = new Piece(Math.max(Math.min(grown, PIECE_BYTES_MAX), Math.min(end - at, PIECE_BYTES_MAX * 4)));
    at = piece.append(from, at, end);
    pieces.push(piece);
  }
}
