// One stream as a test's raw peer sees it (http2-peer.ts).
import { createHash } from "node:crypto";
import { type SendOptions, codes } from "./http2-frames.ts";
import type { Head, SentField } from "./http2-hpack.ts";
import type { Http2Peer } from "./http2-peer.ts";

/** What came on a stream, and how to send on it. */
export class PeerStream {
  readonly id: number;
  readonly peer: Http2Peer;
  /** Everything in HEADERS frames, in order: interim heads, the head, trailers. */
  readonly heads: Head[] = [];
  /** Bytes of DATA received, without padding. */
  bytesReceived = 0;
  /** The other side has sent END_STREAM. */
  ended = false;
  /** Code of the RST_STREAM that came. */
  resetCode: number | undefined;
  /** We have sent END_STREAM or RST_STREAM. */
  closedHere = false;
  /** Bytes of DATA sent by `pour`. */
  bytesSent = 0;
  /** What we may send and what we have allowed, bytes. */
  sendWindow: number;
  receiveWindow: number;
  /** Bytes received that have not been credited on the stream. */
  owed = 0;
  /** False: what is received counts without being kept. */
  keep = true;
  readonly hash = createHash("sha256");
  #chunks: Buffer[] = [];

  constructor(id: number, peer: Http2Peer, sendWindow: number, receiveWindow: number) {
    this.id = id;
    this.peer = peer;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  take(chunk: Buffer): void {
    this.bytesReceived += chunk.length;
    this.hash.update(chunk);
    if (this.keep) this.#chunks.push(chunk);
  }

  /** Everything received as DATA. */
  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** The same as latin1. */
  get body(): string {
    return this.bytes.toString("latin1");
  }

  /** Neither side will send on it any more. */
  get closed(): boolean {
    return (this.ended && this.closedHere) || this.resetCode !== undefined;
  }

  /** Sends a head, or trailers. */
  head(fields: readonly SentField[], options: SendOptions = {}): this {
    this.peer.head(this.id, fields, options);
    return this;
  }

  /** Answers with a status, fields and a body that fits into the windows. */
  respond(status: number, body = "", ...fields: readonly SentField[]): this {
    this.head([[":status", String(status)], ...fields], { endStream: body === "" });
    return body === "" ? this : this.data(body, { endStream: true });
  }

  /** Sends DATA, whatever the windows say. */
  data(bytes: string | Uint8Array, options: SendOptions = {}): this {
    this.peer.data(this.id, bytes, options);
    return this;
  }

  /** Sends an empty DATA frame with END_STREAM. */
  end(): this {
    return this.data("", { endStream: true });
  }

  reset(code: number = codes.cancel): void {
    this.peer.reset(this.id, code);
  }

  /** Allows so many more bytes on this stream alone. */
  allow(bytes: number): void {
    this.peer.allow(this.id, bytes);
  }

  /** The head number `n`, once it is there; a reset before it rejects. */
  async receivedHead(n = 0): Promise<Head> {
    return this.peer.until(() => {
      const head = this.heads[n];
      if (head === undefined && this.resetCode !== undefined) throw new Error(`reset with ${this.resetCode}`);
      return head;
    });
  }

  /** Resolves when the whole message is there; a reset before its end rejects. */
  async complete(): Promise<this> {
    return this.peer.until(() => {
      if (this.ended) return this;
      if (this.resetCode !== undefined) throw new Error(`reset with ${this.resetCode}`);
      return undefined;
    });
  }

  /** Resolves when so many bytes of DATA are there. */
  async received(bytes: number): Promise<this> {
    return this.peer.until(() => {
      if (this.bytesReceived >= bytes) return this;
      if (this.resetCode !== undefined) throw new Error(`reset with ${this.resetCode}`);
      return undefined;
    });
  }

  /** Resolves with the code of the RST_STREAM once it is there. */
  async wasReset(): Promise<number> {
    return this.peer.until(() => this.resetCode);
  }

  /** Resolves when nothing more comes: the message is complete, or the stream was reset. */
  async over(): Promise<this> {
    return this.peer.until(() => (this.ended || this.resetCode !== undefined ? this : undefined));
  }

  /** Sends bytes as the windows allow, then END_STREAM; `bytesSent` counts. Resolves when all is sent or the stream is over. */
  async pour(blocks: Iterable<Uint8Array>, options: { readonly endStream?: boolean } = {}): Promise<void> {
    for (const block of blocks) {
      for (let at = 0; at < block.length;) {
        const size = await this.peer.until(() => {
          if (this.resetCode !== undefined) return -1;
          const room = Math.min(this.sendWindow, this.peer.sendWindow, this.peer.maxFrameBytes, block.length - at);
          return room > 0 ? room : undefined;
        });
        if (size === -1) return;
        this.data(block.subarray(at, at + size));
        this.bytesSent += size;
        at += size;
        if (this.peer.socket.writableNeedDrain) await this.peer.drained();
      }
    }
    if (options.endStream !== false && this.resetCode === undefined) this.end();
  }
}
