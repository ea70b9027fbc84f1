import type { ServerResponse } from "node:http";

/** How soon a reader that has lost its stream may come back (WHATWG HTML §9.2.3). */
const RECONNECT_MS = 1000;

/** One reader of server-sent events (WHATWG HTML §9.2), whose answer has been begun. */
export class EventStream {
  readonly #response: ServerResponse;
  #blocked = false;

  /** `onReady` is called whenever the reader has caught up, `onClose` when it is gone, whoever ended it. */
  constructor(response: ServerResponse, onReady: () => void, onClose: () => void) {
    this.#response = response;
    response.on("drain", () => {
      this.#blocked = false;
      onReady();
    });
    // Not that of the response, which does not come when the connection ends before its turn in a pipeline.
    response.req.socket.once("close", onClose);
    response.write(`retry: ${RECONNECT_MS}\n\n`);
  }

  /** Whether it has taken all that was written before, so that no more than one event ever waits for a reader. */
  get ready(): boolean {
    return !this.#response.writableNeedDrain;
  }

  /** Writes an event whose data is JSON on one line; `pieces` are written one after the other and not copied. */
  send(name: string, ...pieces: readonly (string | Buffer)[]): void {
    const response = this.#response;
    response.cork();
    response.write(`event: ${name}\ndata: `);
    for (const piece of pieces) response.write(piece);
    response.write("\n\n");
    response.uncork();
  }

  /** A sign of life; false: the reader has not caught up since the last one. */
  beat(): boolean {
    if (!this.ready) {
      if (this.#blocked) return false;
      this.#blocked = true;
    } else this.#response.write(": \n\n");
    return true;
  }

  /** Ends it in good order, behind what was written. */
  end(): void {
    this.#response.end();
  }

  /** Ends it at once, whatever was written. */
  drop(): void {
    this.#response.req.socket.destroy();
  }
}
