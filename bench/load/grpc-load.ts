// The gRPC load: unary calls whose metadata changes with every call, as real ones do: a fresh traceparent, request id and
// time-out. Raw frames, because a gRPC client costs many times what a proxy does. A call counts when its trailers
// say `grpc-status: 0` and its message has come as a whole.
//
// Usage: node bench/load/grpc-load.ts PORT CONNECTIONS STREAMS SECONDS; prints a line of JSON (LoadResult). Bytes are those of the
// messages.

import { Buffer } from "node:buffer";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { GrpcStatusReader } from "./grpc-status-reader.ts";
import { field, HpackWriter } from "./hpack-writer.ts";
import {
  ACK,
  clientPreface,
  defaultWindowBytes,
  eachSetting,
  END_HEADERS,
  END_STREAM,
  FRAME_HEAD_BYTES,
  FrameReader,
  frameTypes,
  pingAckFrame,
  settingIds,
  settingsAckFrame,
  settingsFrame,
  windowUpdateFrame,
  writeFrameHead,
} from "./http2-frames.ts";
import { authority, grpcAnswer, grpcPath, grpcQuestion, requestFields } from "./http2-requests.ts";
import { sandboxBaggage } from "./requests.ts";
import { printResult } from "./load-result.ts";
import { Latencies } from "./latencies.ts";

const [port = 0, connections = 1, streams = 1, seconds = 1] = process.argv.slice(2).map(Number);

const connectionWindowBytes = 2 ** 30;
const answerBytes = grpcAnswer("sandbox").length;
/** A block of fields is no longer than this, neither is a call. */
const callBytesMax = 2048;
/** Calls that are still unanswered so long after the end are errors. */
const drainMs = 2_000;

const latencies = new Latencies();
let answered = 0;
let errors = 0;
let bytes = 0;
let firstError = "";
let hasEnded = false;

function fail(problem: string): void {
  errors++;
  if (firstError === "") firstError = problem;
}

// Hexadecimal digits without a call per digit; two words of an xorshift generator make one identifier of 64 bits.
const hexPairs = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));
let random = 0x9e3779b9;
function hex32(): string {
  random ^= random << 13;
  random ^= random >>> 17;
  random ^= random << 5;
  const pair = (shift: number): string => hexPairs[(random >>> shift) & 255] as string;
  return pair(24) + pair(16) + pair(8) + pair(0);
}

function requestId(): string {
  const a = hex32();
  const b = hex32();
  return `${hex32()}-${a.slice(0, 4)}-4${a.slice(5)}-9${b.slice(5)}-${b}${a.slice(0, 4)}`;
}

const constants = requestFields.filter(([name]) => name === "authorization");

class Connection {
  readonly #socket: Socket;
  readonly #writer = new HpackWriter();
  readonly #status = new GrpcStatusReader();
  readonly #reader = new FrameReader(this);
  readonly #path = field(":path", 4);
  readonly #authority = field(":authority", 1);
  readonly #contentType = field("content-type", 31);
  readonly #userAgent = field("user-agent", 58);
  readonly #te = field("te");
  readonly #timeout = field("grpc-timeout");
  readonly #baggage = field("baggage");
  readonly #traceparent = field("traceparent");
  readonly #requestId = field("x-request-id");
  readonly #constants = constants.map(([name, value]) => ({ of: field(name, 23), value }));
  readonly #out = Buffer.allocUnsafe(256 * 1024);
  #outEnd = 0;
  #nextStream = 1;
  #inFlight = 0;
  #allowed = streams;
  #window = defaultWindowBytes;
  #received = 0;
  /** Start of each call by (stream >>> 1) & mask, and the bytes of its message that have come. */
  readonly #startedMs = new Float64Array(1024);
  readonly #messageBytes = new Int32Array(1024);
  #isReady = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => this.#onData(chunk));
    socket.on("error", (error) => fail(error.message));
    socket.on("close", () => {
      if (!hasEnded) fail("the proxy closed the connection");
      for (; this.#inFlight > 0; this.#inFlight--) fail("a connection ended before its calls");
    });
  }

  static async open(): Promise<Connection> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await once(socket, "connect");
    const connection = new Connection(socket);
    const window = windowUpdateFrame(0, connectionWindowBytes - defaultWindowBytes);
    socket.write(Buffer.concat([clientPreface, settingsFrame([]), window]));
    return connection;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  close(): void {
    this.#socket.destroy();
  }

  wantsPayload(type: number): boolean {
    return type !== frameTypes.data;
  }

  onFrame(type: number, flags: number, streamId: number, length: number, payload: Buffer): void {
    switch (type) {
      case frameTypes.headers:
        this.#onHeaders(flags, streamId, payload);
        break;
      case frameTypes.data:
        bytes += length;
        this.#received += length;
        this.#messageBytes[(streamId >>> 1) & 1023] = (this.#messageBytes[(streamId >>> 1) & 1023] as number) + length;
        if ((flags & END_STREAM) !== 0) this.#onEnd(streamId, "an answer without trailers");
        break;
      case frameTypes.settings:
        if ((flags & ACK) === 0) this.#onSettings(payload);
        break;
      case frameTypes.windowUpdate:
        if (streamId === 0) this.#window += payload.readUInt32BE(0);
        break;
      case frameTypes.ping:
        if ((flags & ACK) === 0) this.#socket.write(pingAckFrame(payload));
        break;
      case frameTypes.rstStream:
        this.#onEnd(streamId, `RST_STREAM with code ${payload.readUInt32BE(0)}`);
        break;
      case frameTypes.goaway:
        fail(`GOAWAY with code ${payload.readUInt32BE(4)}: ${payload.toString("latin1", 8)}`);
        break;
    }
  }

  #onData(chunk: Buffer): void {
    try {
      this.#reader.read(chunk);
    } catch (error) {
      fail(error instanceof Error ? error.message : String(error));
      this.#socket.destroy();
      return;
    }
    if (this.#received > connectionWindowBytes / 2) {
      this.#socket.write(windowUpdateFrame(0, this.#received));
      this.#received = 0;
    }
    if (this.#isReady) this.#call();
  }

  #onHeaders(flags: number, streamId: number, payload: Buffer): void {
    if ((flags & ~(END_STREAM | END_HEADERS)) !== 0 || (flags & END_HEADERS) === 0) {
      throw new Error(`HEADERS with flags ${flags}, which this client does not read`);
    }
    // Both blocks are read: the dynamic table is the connection's.
    const isOk = this.#status.saysOk(payload);
    if ((flags & END_STREAM) === 0) return;
    const seen = this.#messageBytes[(streamId >>> 1) & 1023] as number;
    if (!isOk) this.#onEnd(streamId, "an answer without grpc-status 0");
    else if (seen !== answerBytes) this.#onEnd(streamId, `${seen} bytes of a message of ${answerBytes}`);
    else this.#onEnd(streamId, "");
  }

  #onSettings(payload: Buffer): void {
    eachSetting(payload, (id, value) => {
      if (id === settingIds.maxConcurrentStreams) this.#allowed = Math.min(streams, value);
      if (id === settingIds.headerTableSize) this.#writer.setTableBytesMax(value);
    });
    this.#socket.write(settingsAckFrame());
    this.#isReady = true;
  }

  #onEnd(streamId: number, problem: string): void {
    this.#inFlight--;
    if (problem !== "") return fail(problem);
    answered++;
    latencies.add(performance.now() - (this.#startedMs[(streamId >>> 1) & 1023] as number));
  }

  /** Begins as many calls as may be; all in one write. */
  #call(): void {
    if (hasEnded) return;
    const nowMs = performance.now();
    while (this.#inFlight < this.#allowed && this.#window >= grpcQuestion.length) {
      if (this.#outEnd + callBytesMax > this.#out.length) break;
      this.#writeCall(this.#nextStream, nowMs);
      this.#nextStream += 2;
      this.#inFlight++;
    }
    if (this.#outEnd === 0) return;
    this.#socket.write(Buffer.from(this.#out.subarray(0, this.#outEnd)));
    this.#outEnd = 0;
  }

  #writeCall(streamId: number, nowMs: number): void {
    const out = this.#out;
    const writer = this.#writer;
    const start = this.#outEnd;
    let at = writer.begin(out, start + FRAME_HEAD_BYTES);
    at = writer.writeStatic(3, out, at); // `:method: POST`
    at = writer.writeStatic(6, out, at); // `:scheme: http`
    at = writer.write(this.#path, grpcPath, out, at);
    at = writer.write(this.#authority, authority, out, at);
    at = writer.write(this.#contentType, "application/grpc", out, at);
    at = writer.write(this.#userAgent, "grpc-go/1.80.0", out, at);
    at = writer.write(this.#te, "trailers", out, at);
    // What is left of two seconds: never the same.
    at = writer.write(this.#timeout, `${1_999_999 - ((streamId * 7) % 900_000)}u`, out, at);
    for (const { of, value } of this.#constants) at = writer.write(of, value, out, at);
    at = writer.write(this.#baggage, sandboxBaggage, out, at);
    const traceparent = `00-${hex32()}${hex32()}${hex32()}${hex32()}-${hex32()}${hex32()}-01`;
    at = writer.write(this.#traceparent, traceparent, out, at);
    at = writer.write(this.#requestId, requestId(), out, at);
    writeFrameHead(out, start, at - start - FRAME_HEAD_BYTES, frameTypes.headers, END_HEADERS, streamId);
    at = writeFrameHead(out, at, grpcQuestion.length, frameTypes.data, END_STREAM, streamId);
    this.#outEnd = at + grpcQuestion.copy(out, at);
    this.#window -= grpcQuestion.length;
    this.#messageBytes[(streamId >>> 1) & 1023] = 0;
    this.#startedMs[(streamId >>> 1) & 1023] = nowMs;
  }
}

const startMs = performance.now();
const all = await Promise.all(Array.from({ length: connections }, () => Connection.open()));
await delay(seconds * 1000);
hasEnded = true;
const deadlineMs = performance.now() + drainMs;
while (all.some((connection) => connection.inFlight > 0) && performance.now() < deadlineMs) await delay(1);
for (const connection of all) for (let i = connection.inFlight; i > 0; i--) fail("no answer");
const durationUs = (performance.now() - startMs) * 1000;
for (const connection of all) connection.close();
printResult({ operations: answered, durationUs, bytes, errors, firstError, ...latencies.percentiles() });
