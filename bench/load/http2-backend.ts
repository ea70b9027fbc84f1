// The HTTP/2 backends of the bench: two servers (baseline, sandbox) in one process, prior knowledge, no TLS. Faster than any
// real one, so that the proxy is the bottleneck: the request's fields are not decoded, because the answer is always the same, and
// all answers to what one read brought leave with one write. To the proxy it looks like a real one: the fields of its
// answers are entries of the dynamic table from the second answer on, windows are kept, what is asked is answered.
//
// Kinds: `small` answers about 90 bytes; `grpc` a message and trailers; `bodies` 1 MiB to a request without a body and
// `small` to one with a body.
//
// Usage: node bench/load/http2-backend.ts KIND BASELINE_PORT SANDBOX_PORT COUNT_PORT

import { Buffer } from "node:buffer";
import { createServer, type Socket } from "node:net";
import { answerCounts } from "./counts.ts";
import { field, HpackWriter, type WrittenField } from "./hpack-writer.ts";
import {
  ACK,
  defaultTableBytes,
  defaultWindowBytes,
  eachSetting,
  clientPreface,
  END_HEADERS,
  END_STREAM,
  frameTypes,
  FrameReader,
  FRAME_HEAD_BYTES,
  pingAckFrame,
  settingIds,
  settingsAckFrame,
  settingsFrame,
  windowUpdateFrame,
  writeFrameHead,
} from "./http2-frames.ts";
import { backendBody, backendHeader, type Destination } from "./requests.ts";
import { grpcAnswer, largeBodyBytes, type Http2BackendKind } from "./http2-requests.ts";

/** As gRPC servers in Go allow. */
const concurrentStreamsMax = 250;
/** A whole upload fits into a stream's window; the connection's is refilled at its half. */
const streamWindowBytes = 4 * 2 ** 20;
const connectionWindowBytes = 2 ** 28;
/** What the default frame size allows (RFC 9113 §4.2); larger ones are never asked for. */
const dataFrameBytesMax = 16_384;
/** A download waits for the kernel when this much is queued. */
const queuedBytesMax = 256 * 1024;

const [kindArgument = "", ...portArguments] = process.argv.slice(2);
const kind = kindArgument as Http2BackendKind;
const [baselinePort, sandboxPort, countPort = 0] = portArguments.map(Number);

/** The frames of one answer, without the large body. */
interface AnswerPlan {
  readonly head: readonly (readonly [of: string, value: string, staticName: number])[];
  readonly body: Buffer;
  readonly trailers: readonly (readonly [of: string, value: string])[];
}

const largeBody = Buffer.alloc(dataFrameBytesMax, "sidelane ");
const counts = { baseline: 0, sandbox: 0 };

function planOf(destination: Destination, isLarge: boolean): AnswerPlan {
  const mark = [backendHeader.toLowerCase(), destination.padEnd(8, "-"), 0] as const;
  if (kind === "grpc") {
    return {
      head: [["content-type", "application/grpc", 31], mark],
      body: grpcAnswer(destination),
      trailers: [
        ["grpc-status", "0"],
        ["grpc-message", ""],
      ],
    };
  }
  const body = isLarge ? Buffer.alloc(0) : Buffer.from(backendBody(destination));
  return {
    head: [
      ["server", "backend", 54],
      ["date", "Mon, 23 Nov 2026 10:00:00 GMT", 33],
      ["content-type", "application/json", 31],
      ["content-length", String(isLarge ? largeBodyBytes : body.length), 28],
      ["cache-control", "private, max-age=0", 24],
      mark,
    ],
    body,
    trailers: [],
  };
}

/** A download that waits for credit. */
interface Download {
  bytesLeft: number;
  window: number;
}

class Connection {
  readonly #socket: Socket;
  readonly #destination: Destination;
  readonly #reader = new FrameReader(this);
  readonly #writer = new HpackWriter();
  readonly #fields = new Map<string, WrittenField>();
  readonly #plan: AnswerPlan;
  readonly #largePlan: AnswerPlan;
  readonly #downloads = new Map<number, Download>();
  #prefaceLeft: number = clientPreface.length;
  #out = Buffer.allocUnsafe(64 * 1024);
  #outEnd = 0;
  #receivedSinceUpdate = 0;
  #window = defaultWindowBytes;
  #streamWindow = defaultWindowBytes;
  /** Streams whose request has ended but whose answer waits for credit of the connection. */
  #waiting: number[] = [];

  constructor(socket: Socket, destination: Destination) {
    this.#socket = socket;
    this.#destination = destination;
    this.#plan = planOf(destination, false);
    this.#largePlan = planOf(destination, true);
    this.#append(
      settingsFrame([
        [settingIds.maxConcurrentStreams, concurrentStreamsMax],
        [settingIds.initialWindowSize, streamWindowBytes],
      ]),
    );
    this.#append(windowUpdateFrame(0, connectionWindowBytes - defaultWindowBytes));
    socket.on("data", (chunk) => this.#onData(chunk));
    socket.on("drain", () => this.#sendDownloads());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#downloads.clear());
  }

  wantsPayload(type: number): boolean {
    return type === frameTypes.settings || type === frameTypes.windowUpdate || type === frameTypes.ping;
  }

  onFrame(type: number, flags: number, streamId: number, length: number, payload: Buffer): void {
    switch (type) {
      case frameTypes.headers:
        if ((flags & END_HEADERS) === 0) throw new Error("a request head of more than one frame");
        if ((flags & END_STREAM) !== 0) this.#onRequest(streamId, false);
        break;
      case frameTypes.data:
        this.#receivedSinceUpdate += length;
        if ((flags & END_STREAM) !== 0) this.#onRequest(streamId, true);
        break;
      case frameTypes.settings:
        if ((flags & ACK) === 0) this.#onSettings(payload);
        break;
      case frameTypes.ping:
        if ((flags & ACK) === 0) this.#append(pingAckFrame(payload));
        break;
      case frameTypes.windowUpdate:
        this.#onWindowUpdate(streamId, payload.readUInt32BE(0));
        break;
      case frameTypes.rstStream:
        this.#downloads.delete(streamId);
        break;
    }
  }

  #onData(chunk: Buffer): void {
    if (this.#prefaceLeft > 0) {
      const here = Math.min(this.#prefaceLeft, chunk.length);
      this.#prefaceLeft -= here;
      if (here === chunk.length) return;
      this.#reader.read(chunk.subarray(here));
    } else {
      this.#reader.read(chunk);
    }
    if (this.#receivedSinceUpdate > connectionWindowBytes / 2) {
      this.#append(windowUpdateFrame(0, this.#receivedSinceUpdate));
      this.#receivedSinceUpdate = 0;
    }
    this.#flush();
    this.#sendDownloads();
  }

  #onSettings(payload: Buffer): void {
    let tableBytes = defaultTableBytes;
    let hasTableBytes = false;
    eachSetting(payload, (id, value) => {
      if (id === settingIds.initialWindowSize) {
        for (const download of this.#downloads.values()) download.window += value - this.#streamWindow;
        this.#streamWindow = value;
      } else if (id === settingIds.headerTableSize) {
        tableBytes = value;
        hasTableBytes = true;
      }
    });
    if (hasTableBytes) this.#writer.setTableBytesMax(tableBytes);
    if (this.#streamWindow < 1024) throw new Error("a stream window that is smaller than a small answer");
    this.#append(settingsAckFrame());
  }

  #onWindowUpdate(streamId: number, bytes: number): void {
    if (streamId !== 0) {
      const download = this.#downloads.get(streamId);
      if (download !== undefined) download.window += bytes;
      return;
    }
    this.#window += bytes;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const id of waiting) this.#answer(id);
  }

  #onRequest(streamId: number, hasBody: boolean): void {
    counts[this.#destination]++;
    if (kind === "bodies" && !hasBody) this.#beginDownload(streamId);
    else this.#answer(streamId);
  }

  #answer(streamId: number): void {
    const { head, body, trailers } = this.#plan;
    if (body.length > this.#window) {
      this.#waiting.push(streamId);
      return;
    }
    this.#window -= body.length;
    this.#reserve(1024);
    this.#writeHead(streamId, head, 0);
    const last = trailers.length === 0 ? END_STREAM : 0;
    this.#outEnd = writeFrameHead(this.#out, this.#outEnd, body.length, frameTypes.data, last, streamId);
    this.#outEnd += body.copy(this.#out, this.#outEnd);
    if (last !== 0) return;
    const start = this.#outEnd;
    let at = this.#writer.begin(this.#out, start + FRAME_HEAD_BYTES);
    for (const [name, value] of trailers) at = this.#writer.write(this.#field(name, 0), value, this.#out, at);
    this.#endHead(start, at, END_STREAM, streamId);
  }

  #writeHead(streamId: number, head: AnswerPlan["head"], flags: number): void {
    const start = this.#outEnd;
    let at = this.#writer.begin(this.#out, start + FRAME_HEAD_BYTES);
    // `:status: 200`
    at = this.#writer.writeStatic(8, this.#out, at);
    for (const [name, value, staticName] of head) {
      at = this.#writer.write(this.#field(name, staticName), value, this.#out, at);
    }
    this.#endHead(start, at, flags, streamId);
  }

  #endHead(start: number, end: number, flags: number, streamId: number): void {
    const length = end - start - FRAME_HEAD_BYTES;
    writeFrameHead(this.#out, start, length, frameTypes.headers, END_HEADERS | flags, streamId);
    this.#outEnd = end;
  }

  #field(name: string, staticName: number): WrittenField {
    let known = this.#fields.get(name);
    if (known === undefined) {
      known = field(name, staticName);
      this.#fields.set(name, known);
    }
    return known;
  }

  #beginDownload(streamId: number): void {
    this.#reserve(1024);
    this.#writeHead(streamId, this.#largePlan.head, 0);
    this.#downloads.set(streamId, { bytesLeft: largeBodyBytes, window: this.#streamWindow });
  }

  /** A frame for each download in turn, as far as credit and the kernel allow. */
  #sendDownloads(): void {
    const socket = this.#socket;
    if (this.#downloads.size === 0 || socket.writableNeedDrain) return;
    let hasSent = true;
    socket.cork();
    while (hasSent && socket.writableLength < queuedBytesMax) {
      hasSent = false;
      for (const [streamId, download] of this.#downloads) {
        const bytes = Math.min(dataFrameBytesMax, download.bytesLeft, download.window, this.#window);
        if (bytes <= 0) continue;
        hasSent = true;
        download.bytesLeft -= bytes;
        download.window -= bytes;
        this.#window -= bytes;
        const isLast = download.bytesLeft === 0;
        if (isLast) this.#downloads.delete(streamId);
        const head = Buffer.allocUnsafe(FRAME_HEAD_BYTES);
        writeFrameHead(head, 0, bytes, frameTypes.data, isLast ? END_STREAM : 0, streamId);
        socket.write(head);
        socket.write(bytes === dataFrameBytesMax ? largeBody : largeBody.subarray(0, bytes));
      }
    }
    socket.uncork();
  }

  #append(bytes: Buffer): void {
    this.#reserve(bytes.length);
    this.#outEnd += bytes.copy(this.#out, this.#outEnd);
  }

  #reserve(bytes: number): void {
    if (this.#outEnd + bytes > this.#out.length) this.#flush();
  }

  #flush(): void {
    if (this.#outEnd === 0) return;
    this.#socket.write(Buffer.from(this.#out.subarray(0, this.#outEnd)));
    this.#outEnd = 0;
  }
}

for (const [destination, port] of [
  ["baseline", baselinePort],
  ["sandbox", sandboxPort],
] as const) {
  createServer({ noDelay: true }, (socket) => new Connection(socket, destination)).listen({
    port,
    host: "127.0.0.1",
    backlog: 4096,
  });
}
answerCounts(countPort, () => counts);
process.once("SIGTERM", () => process.exit(0));
