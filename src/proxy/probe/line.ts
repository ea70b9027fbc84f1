// One end of a probe's connection: what arrives, piece by piece, and an orderly end, so that the exchange of a probe is counted as
// what it was and not as one that its client broke off.
import type { Socket } from "node:net";

/** What is still read after the answer is known: the rest of a small page. */
const REST_BYTES_MAX = 64 * 1024;
const REST_MS = 250;

/** A connection that is read when somebody asks. */
export class Line {
  readonly #socket: Socket;
  readonly #pieces: Buffer[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket;
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on("data", (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#wake?.();
    });
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", end);
    signal.addEventListener("abort", end, { once: true });
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** The next bytes; undefined when nothing more comes, or the time is up. */
  async next(): Promise<Buffer | undefined> {
    while (this.#pieces.length === 0 && !this.#ended) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    return this.#pieces.shift();
  }

  /** Reads on for a moment, so that the other side can end what it has begun. */
  finish(): void {
    const socket = this.#socket;
    let bytes = 0;
    socket.removeAllListeners("data");
    socket.on("data", (piece: Buffer) => {
      bytes += piece.length;
      if (bytes > REST_BYTES_MAX) socket.destroy();
    });
    socket.end();
    setTimeout(() => socket.destroy(), REST_MS).unref();
  }
}
