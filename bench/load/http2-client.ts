// An HTTP/2 client on a raw socket, for measurements that need every request to be alike: prior knowledge, a fixed number of
// streams under way, fields that are entries of the dynamic table from the third request on.

import { Buffer } from "node:buffer";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { field, HpackWriter } from "./hpack-writer.ts";
import {
  ACK,
  clientPreface,
  defaultWindowBytes,
  END_HEADERS,
  END_STREAM,
  FRAME_HEAD_BYTES,
  FrameReader,
  frameTypes,
  pingAckFrame,
  settingsAckFrame,
  settingsFrame,
  windowUpdateFrame,
  writeFrameHead,
} from "./http2-frames.ts";
import { authority, path, requestFields } from "./http2-requests.ts";
import { loadBaggage } from "./requests.ts";

const connectionWindowBytes = 2 ** 30;
/** The first head is the longest. */
const headBytesMax = 2048;

/** A connection on which requests with and without the routing key take turns. */
export class RawHttp2Client {
  readonly #socket: Socket;
  readonly #streams: number;
  readonly #bodyBytes: number;
  readonly #writer = new HpackWriter();
  readonly #reader = new FrameReader(this);
  readonly #fields = [
    { of: field(":path", 4), value: path },
    { of: field(":authority", 1), value: authority },
    ...requestFields.map(([name, value]) => ({ of: field(name), value })),
  ];
  /** One for each value, so that both stay in the table. */
  readonly #baggage = [
    { of: field("baggage"), value: loadBaggage.baseline },
    { of: field("baggage"), value: loadBaggage.sandbox },
  ] as const;
  #streamId = 1;
  #unsent = 0;
  #unanswered = 0;
  #received = 0;
  /** Bytes of the bodies of all answers, and what they should be. */
  #bodies = 0;
  #bodiesWanted = 0;
  #problem = "";
  #wake: () => void = () => {};

  private constructor(socket: Socket, streams: number, bodyBytes: number) {
    this.#socket = socket;
    this.#streams = streams;
    this.#bodyBytes = bodyBytes;
    socket.on("data", (chunk) => this.#onData(chunk));
    socket.on("error", () => {});
    socket.on("close", () => this.#fail("the proxy closed the connection"));
  }

  /** @param bodyBytes of one answer; it is the same for both kinds of request. */
  static async connect(port: number, streams: number, bodyBytes: number): Promise<RawHttp2Client> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await once(socket, "connect");
    const client = new RawHttp2Client(socket, streams, bodyBytes);
    const window = windowUpdateFrame(0, connectionWindowBytes - defaultWindowBytes);
    socket.write(Buffer.concat([clientPreface, settingsFrame([]), window]));
    return client;
  }

  /** Sends so many requests. @throws Error when one of them is not answered, or not as it should be. */
  async send(count: number): Promise<void> {
    this.#unsent = count;
    this.#unanswered = count;
    this.#bodiesWanted += count * this.#bodyBytes;
    const done = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#request(Math.min(this.#streams, count));
    if (this.#problem === "") await done;
    if (this.#problem !== "") throw new Error(this.#problem);
    if (this.#bodies !== this.#bodiesWanted) {
      throw new Error(`${this.#bodies} bytes of bodies, ${this.#bodiesWanted} expected`);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  wantsPayload(type: number): boolean {
    return type === frameTypes.ping || type === frameTypes.goaway;
  }

  onFrame(type: number, flags: number, streamId: number, length: number, payload: Buffer): void {
    switch (type) {
      case frameTypes.data:
        this.#bodies += length;
        this.#received += length;
        if ((flags & END_STREAM) !== 0) this.#unanswered--;
        break;
      case frameTypes.headers:
        if ((flags & END_STREAM) !== 0) this.#unanswered--;
        break;
      case frameTypes.settings:
        if ((flags & ACK) === 0) this.#socket.write(settingsAckFrame());
        break;
      case frameTypes.ping:
        if ((flags & ACK) === 0) this.#socket.write(pingAckFrame(payload));
        break;
      case frameTypes.rstStream:
        this.#fail(`RST_STREAM for stream ${streamId}`);
        break;
      case frameTypes.goaway:
        this.#fail(`GOAWAY with code ${payload.readUInt32BE(4)}: ${payload.toString("latin1", 8)}`);
        break;
    }
  }

  #onData(chunk: Buffer): void {
    const before = this.#unanswered;
    this.#reader.read(chunk);
    if (this.#received > connectionWindowBytes / 2) {
      this.#socket.write(windowUpdateFrame(0, this.#received));
      this.#received = 0;
    }
    this.#request(Math.min(before - this.#unanswered, this.#unsent));
    if (this.#unanswered === 0) this.#wake();
  }

  #fail(problem: string): void {
    if (this.#problem === "") this.#problem = problem;
    this.#wake();
  }

  /** Sends so many requests in one write. */
  #request(count: number): void {
    if (count === 0) return;
    this.#unsent -= count;
    const out = Buffer.allocUnsafe(count * headBytesMax);
    let end = 0;
    for (let i = 0; i < count; i++) end = this.#writeRequest(out, end);
    this.#socket.write(out.subarray(0, end));
  }

  #writeRequest(out: Buffer, start: number): number {
    const writer = this.#writer;
    const streamId = this.#streamId;
    this.#streamId += 2;
    let at = writer.begin(out, start + FRAME_HEAD_BYTES);
    at = writer.writeStatic(2, out, at); // `:method: GET`
    at = writer.writeStatic(6, out, at); // `:scheme: http`
    for (const { of, value } of this.#fields) at = writer.write(of, value, out, at);
    const { of, value } = this.#baggage[((streamId >>> 1) & 1) as 0 | 1];
    at = writer.write(of, value, out, at);
    const flags = END_STREAM | END_HEADERS;
    writeFrameHead(out, start, at - start - FRAME_HEAD_BYTES, frameTypes.headers, flags, streamId);
    return at;
  }
}
