// What one HTTP/2 connection sends in one turn of the event loop. Frames of many streams, wherever they come from, are
// written one behind the other into the connection's buffer, and the buffer leaves in one system call when the turn ends.
//
// Guarantees: frames leave in the order in which they were written; a frame that is being written is never torn.
//
// Who owns the bytes. A buffer is taken from the spares at the first frame of a turn and goes back when the kernel has taken
// all of it, so that there are as many as connections write in one turn, and the next turn finds them in the cache. A write
// that the kernel does not take as a whole still points into its buffer: exactly then it is left to it.
import { onTurnEnd, wantTurnEnd } from "../../base/clock.ts";
import type { Wire } from "../wire.ts";

/** What one read can become in one go: 64 KiB of frames, and room for heads that are split differently. */
const BUFFER_BYTES = 66 * 1024;
/** Spare buffers that are kept for the next turn. */
const SPARES_MAX = 64;

const NO_BYTES = new Uint8Array(0);
const spares: Uint8Array[] = [];
const dirty: (FrameOutput | undefined)[] = [];
let dirtyCount = 0;

onTurnEnd(() => {
  // Writing calls back to owners for backlog and errors, and those may write to further connections.
  for (let at = 0; at < dirtyCount; at++) {
    const output = dirty[at] as FrameOutput;
    dirty[at] = undefined;
    output.queued = false;
    output.flush();
  }
  dirtyCount = 0;
});

/** The outgoing frames of one connection. */
export class FrameOutput {
  /** Where frames are written; `reserve` may replace it. */
  bytes: Uint8Array = NO_BYTES;
  /** Behind the last frame. */
  end = 0;
  /** The stream of the last HEADERS frame that was written here, and of the last that has left. */
  writtenId = 0;
  sentId = 0;
  /** Bytes that were written behind a write that waits, since the wire last took all. */
  waitingBytes = 0;
  /** In the list of outputs that are written when the turn ends. */
  queued = false;
  readonly #wire: Wire;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  /** Makes room for `count` bytes and returns the offset in `bytes` where they may be written; `commit` follows at once. */
  reserve(count: number): number {
    if (this.end + count > this.bytes.length) {
      if (this.end > 0) this.flush();
      if (count > this.bytes.length) {
        this.bytes = count > BUFFER_BYTES ? new Uint8Array(count) : (spares.pop() ?? new Uint8Array(BUFFER_BYTES));
      }
    }
    return this.end;
  }

  /** What was written up to `end` is to be sent. */
  commit(end: number): void {
    this.end = end;
    if (this.queued) return;
    this.queued = true;
    dirty[dirtyCount++] = this;
    wantTurnEnd();
  }

  /** Sends `bytes[start, end)`, which stay as they are until they have left, behind what was committed. */
  push(bytes: Uint8Array, start: number, end: number): void {
    this.flush();
    this.#wire.writeNow(bytes, start, end);
  }

  /** Writes what was committed. */
  flush(): void {
    const { bytes, end } = this;
    if (end === 0) return;
    const sentBefore = this.#wire.bytesSent;
    this.bytes = NO_BYTES;
    this.end = 0;
    // Behind a write that waits this one waits, too: at its own size, not at that of the buffer.
    if (this.#wire.backlogged) {
      this.waitingBytes += end;
      this.#wire.writeNow(bytes.slice(0, end), 0, end);
    } else this.#wire.writeNow(bytes, 0, end);
    if (this.#wire.bytesSent > sentBefore) this.sentId = this.writtenId;
    if (!this.#wire.holds(bytes) && bytes.length === BUFFER_BYTES && spares.length < SPARES_MAX) spares.push(bytes);
  }
}
