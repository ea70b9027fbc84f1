// One end of an HTTP/2 connection in the hands of a test: sends exactly the frames it is told to, keeps what it gets, and
// watches the other side as it does: what comes must keep to the windows, frame size, stream limit and table size that this
// peer has announced, and to the order of frames. A violation fails the test, whatever the test is about.
//
// Long because both directions of a connection share its settings, windows and streams.
import { type Socket, connect } from "node:net";
import { onTestFinished } from "vitest";
import {
  type Frame,
  FrameReader,
  PREFACE,
  type SendOptions,
  codes,
  flags,
  frame,
  goawayFrame,
  headFrames,
  numberFrame,
  padded,
  settingIds,
  settingsFrame,
  types,
  unpadded,
} from "./http2-frames.ts";
import { HpackReader, type SentField, writeBlock } from "./http2-hpack.ts";
import { PeerStream } from "./http2-stream.ts";
import type { Ending } from "./peer.ts";

const DEFAULT_WINDOW_BYTES = 65_535;
const MAX_FRAME_BYTES = 16_384;
/** A wait that takes longer says what there is instead of nothing. */
const PATIENCE_MS = 15_000;

/** One end of an HTTP/2 connection. */
export type Role = "client" | "server";
type Setting = readonly [id: number, value: number];

/** A GOAWAY that came. */
export interface Goaway {
  readonly lastId: number;
  readonly code: number;
  readonly debug: string;
}

/** How a peer begins. */
export interface PeerOptions {
  /** Its first SETTINGS. */
  readonly settings?: readonly Setting[];
  /** Extra credit of the connection beyond 65,535 bytes, given at once. */
  readonly connectionCredit?: number;
  /** False: nothing is sent at the beginning. */
  readonly preface?: boolean;
  /** From the beginning, see `Http2Peer.segment`. */
  readonly segment?: () => number;
}

/** A connection of a test. */
export class Http2Peer {
  readonly socket: Socket;
  readonly role: Role;
  /** Everything received except DATA, in order. */
  readonly frames: Frame[] = [];
  readonly streams = new Map<number, PeerStream>();
  readonly goaways: Goaway[] = [];
  /** The other side's settings, by id. */
  readonly settings = new Map<number, number>();
  /** PING answers received. */
  pongs = 0;
  /** SETTINGS acknowledgements received. */
  settingsAcks = 0;
  /** Bytes of everything received. */
  bytesReceived = 0;
  /** Bytes that we may send on the connection. */
  sendWindow = DEFAULT_WINDOW_BYTES;
  /** Bytes that we have allowed on the connection. */
  receiveWindow = DEFAULT_WINDOW_BYTES;
  /** For which windows received DATA is credited at once. */
  credit: "both" | "connection" | "none" = "both";
  /** Bytes that are credited together, as common clients do; 1: after each frame. */
  creditStep = 16_384;
  /** SETTINGS and PING are acknowledged. */
  acknowledges = true;
  /** False: violations are what the test is about. */
  strict = true;
  /** Cuts everything that is sent into segments of these lengths. */
  segment: (() => number) | undefined;
  #ending: Ending | undefined;
  #fault: Error | undefined;
  #wake: (() => void)[] = [];
  readonly #reader = new FrameReader();
  readonly #hpack = new HpackReader();
  #prefaceLeft = 0;
  #owed = 0;
  #block: { readonly streamId: number; readonly endStream: boolean; readonly parts: Buffer[] } | undefined;
  #highestRemoteId = 0;
  #nextId = 1;
  /** A server's requests go here once their head is there. */
  onRequest: (stream: PeerStream) => void = () => {};
  readonly #owedSettings: (readonly Setting[])[] = [];
  /** What we have announced, the laxer of acknowledged and underway. */
  #windowBytes = DEFAULT_WINDOW_BYTES;
  #frameBytes = MAX_FRAME_BYTES;
  #streamsMax = Number.POSITIVE_INFINITY;
  #segments: Promise<void> = Promise.resolve();

  constructor(socket: Socket, role: Role, options: PeerOptions = {}) {
    this.socket = socket;
    this.role = role;
    // One for each stream that waits for room.
    socket.setMaxListeners(0);
    if (role === "server") this.#prefaceLeft = PREFACE.length;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("end", () => this.#end("fin"));
    socket.on("error", () => this.#end("reset"));
    socket.on("close", () => this.#end("reset"));
    this.segment = options.segment;
    if (options.preface === false) return;
    if (role === "client") this.send(PREFACE);
    this.configure(...(options.settings ?? []));
    if (options.connectionCredit !== undefined) this.allow(0, options.connectionCredit);
  }

  /** Connects to a port of this machine; closed when the test is over, and then it fails for what the peer has seen. */
  static async connect(port: number, options: PeerOptions = {}): Promise<Http2Peer> {
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    const peer = new Http2Peer(socket, "client", options);
    onTestFinished(() => {
      socket.destroy();
      peer.expectSound();
    });
    return peer;
  }

  /** Fails when the other side has violated the protocol. */
  expectSound(): void {
    if (this.strict && this.#fault !== undefined) throw this.#fault;
  }

  // --- sending

  /** Sends bytes as they are. */
  send(...parts: readonly Uint8Array[]): void {
    // Credit and answers go on being due after the end of our sending side.
    if (this.socket.writableEnded) return;
    const bytes = Buffer.concat(parts);
    const { segment } = this;
    if (segment === undefined) {
      this.socket.write(bytes);
      return;
    }
    this.#segments = this.#sendSegments(bytes, segment, this.#segments);
  }

  async #sendSegments(bytes: Buffer, segment: () => number, before: Promise<void>): Promise<void> {
    await before;
    for (let at = 0; at < bytes.length;) {
      const end = at + Math.max(1, segment());
      this.socket.write(bytes.subarray(at, end));
      at = end;
      await new Promise<void>((resolve) => {
        setImmediate(() => setImmediate(resolve));
      });
    }
  }

  /** Announces settings; they bind the other side once it has acknowledged them. */
  configure(...settings: readonly Setting[]): void {
    this.#owedSettings.push(settings);
    for (const [id, value] of settings) {
      if (id === settingIds.maxFrameSize) this.#frameBytes = Math.max(this.#frameBytes, value);
      if (id === settingIds.initialWindowSize && value > this.#windowBytes) this.#resizeWindows(value);
      if (id === settingIds.maxConcurrentStreams) this.#streamsMax = Math.max(this.#streamsMax, value);
    }
    this.send(settingsFrame(...settings));
  }

  /** Opens a stream with a request; `fields` as they are. */
  request(fields: readonly SentField[], options: SendOptions = { endStream: true }): PeerStream {
    const stream = this.stream(this.#nextId);
    this.#nextId += 2;
    return stream.head(fields, options);
  }

  /** Id of the next request. */
  get nextId(): number {
    return this.#nextId;
  }

  set nextId(id: number) {
    this.#nextId = id;
  }

  head(streamId: number, fields: readonly SentField[], options: SendOptions = {}): void {
    this.block(streamId, writeBlock(fields), options);
  }

  /** Sends an encoded block. */
  block(streamId: number, block: Buffer, options: SendOptions = {}): void {
    this.send(...headFrames(streamId, block, options));
    if (options.endStream === true) this.stream(streamId).closedHere = true;
  }

  data(streamId: number, bytes: string | Uint8Array, options: SendOptions = {}): void {
    const payload = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
    const end = options.endStream === true ? flags.endStream : 0;
    const stream = this.stream(streamId);
    const { padBytes } = options;
    const whole = padBytes === undefined ? payload : padded(payload, padBytes);
    this.send(frame(types.data, end | (padBytes === undefined ? 0 : flags.padded), streamId, whole));
    stream.sendWindow -= whole.length;
    this.sendWindow -= whole.length;
    if (end !== 0) stream.closedHere = true;
  }

  reset(streamId: number, code: number): void {
    this.stream(streamId).closedHere = true;
    this.send(numberFrame(types.rstStream, streamId, code));
  }

  /** Allows more bytes on a stream, or with 0 on the connection. */
  allow(streamId: number, bytes: number): void {
    if (streamId === 0) this.receiveWindow += bytes;
    else this.stream(streamId).receiveWindow += bytes;
    this.send(numberFrame(types.windowUpdate, streamId, bytes));
  }

  ping(text = "12345678", ack = false): void {
    this.send(frame(types.ping, ack ? flags.ack : 0, 0, Buffer.from(text)));
  }

  goaway(lastId: number, code: number = codes.noError): void {
    this.send(goawayFrame(lastId, code));
  }

  /** Ends our sending side, behind everything that was sent. */
  finish(): void {
    void this.#segments.finally(() => this.socket.end());
  }

  /** Ends the connection with a reset. */
  abort(): void {
    this.socket.resetAndDestroy();
  }

  drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.socket.off("drain", done).off("close", done);
        resolve();
      };
      this.socket.on("drain", done).on("close", done);
      if (this.socket.destroyed || !this.socket.writableNeedDrain) done();
    });
  }

  // --- what came

  /** The stream of that id, as if it existed. */
  stream(id: number): PeerStream {
    let stream = this.streams.get(id);
    if (stream === undefined) {
      const initial = this.settings.get(settingIds.initialWindowSize) ?? DEFAULT_WINDOW_BYTES;
      stream = new PeerStream(id, this, initial, this.#windowBytes);
      this.streams.set(id, stream);
    }
    return stream;
  }

  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** Resolves with what `look` finds as soon as it finds something; rejects when the connection ends before. */
  async until<T>(look: () => T | undefined): Promise<T> {
    const late = AbortSignal.timeout(PATIENCE_MS);
    const wake = (): void => this.wake();
    late.addEventListener("abort", wake);
    try {
      for (;;) {
        const found = look();
        if (found !== undefined) return found;
        if (this.#fault !== undefined && this.strict) throw this.#fault;
        if (this.#ending !== undefined) throw new Error(`ended (${this.#ending}): ${this.describe()}`);
        if (late.aborted) throw new Error(`waited in vain: ${this.describe()}`);
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
    } finally {
      late.removeEventListener("abort", wake);
    }
  }

  /** Resolves with the first GOAWAY, or the first one with that code. */
  async goneAway(code?: number): Promise<Goaway> {
    return this.until(() => this.goaways.find((each) => code === undefined || each.code === code));
  }

  /** Resolves when everything sent so far has been taken in: a PING has come back. */
  async settled(): Promise<void> {
    const wanted = this.pongs + 1;
    this.ping();
    await this.until(() => (this.pongs >= wanted ? true : undefined));
  }

  /** Resolves when the other side has ended, to how. */
  async ended(): Promise<Ending> {
    return this.until(() => this.#ending);
  }

  /** Looks again at what everybody waits for. */
  wake(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }

  /** For messages of failures. */
  describe(): string {
    const streams = [...this.streams.values()].slice(-5).map(({ id, heads, bytesReceived, ended, resetCode }) => ({
      id,
      heads: heads.map(({ fields }) => fields.slice(0, 6)),
      bytesReceived,
      ended,
      resetCode,
    }));
    const frames = this.frames.slice(-8).map(({ type, streamId, payload }) => `${type}:${streamId}:${payload.length}`);
    const { goaways, role, settingsAcks } = this;
    return JSON.stringify({ role, goaways, settingsAcks, frames, streams });
  }

  #end(ending: Ending): void {
    this.#ending ??= ending;
    this.wake();
  }

  #receive(chunk: Buffer): void {
    this.bytesReceived += chunk.length;
    let bytes = chunk;
    if (this.#prefaceLeft > 0) {
      const at = PREFACE.length - this.#prefaceLeft;
      const size = Math.min(this.#prefaceLeft, bytes.length);
      if (!PREFACE.subarray(at, at + size).equals(bytes.subarray(0, size))) this.#blame("no connection preface");
      this.#prefaceLeft -= size;
      bytes = bytes.subarray(size);
    }
    for (const each of this.#reader.read(bytes)) {
      try {
        this.#take(each);
      } catch (error) {
        this.#fault ??= error as Error;
      }
    }
    this.wake();
  }

  #blame(what: string): void {
    this.#fault ??= new Error(`the other side of this ${this.role}: ${what}`);
  }

  #take(one: Frame): void {
    const { type, streamId, payload } = one;
    if (payload.length > this.#frameBytes) this.#blame(`a frame of ${payload.length} bytes`);
    if (this.frames.length === 0 && type !== types.settings) this.#blame("the first frame is not SETTINGS");
    if (this.#block !== undefined && (type !== types.continuation || streamId !== this.#block.streamId)) {
      this.#blame(`frame ${type} within a header block`);
    }
    if (type === types.data) {
      this.#takeData(one);
      return;
    }
    this.frames.push(one);
    switch (type) {
      case types.headers:
        this.#open(streamId);
        this.#block = { streamId, endStream: (one.flags & flags.endStream) !== 0, parts: [] };
        this.#takeBlock(unpadded(one), one.flags);
        return;
      case types.continuation:
        this.#takeBlock(payload, one.flags);
        return;
      case types.rstStream: {
        if (!this.streams.has(streamId)) this.#blame(`RST_STREAM on idle stream ${streamId}`);
        const stream = this.stream(streamId);
        if (stream.resetCode !== undefined) this.#blame(`a second RST_STREAM on ${streamId}`);
        stream.resetCode ??= payload.readUInt32BE(0);
        return;
      }
      case types.settings:
        this.#takeSettings(one);
        return;
      case types.ping:
        if ((one.flags & flags.ack) !== 0) this.pongs++;
        else if (this.acknowledges) this.send(frame(types.ping, flags.ack, 0, payload));
        return;
      case types.goaway: {
        const lastId = payload.readUInt32BE(0) & 0x7fffffff;
        const last = this.goaways.at(-1);
        if (last !== undefined && lastId > last.lastId) this.#blame("a GOAWAY with a higher last id");
        this.goaways.push({ lastId, code: payload.readUInt32BE(4), debug: payload.subarray(8).toString("latin1") });
        return;
      }
      case types.windowUpdate: {
        const more = payload.readUInt32BE(0);
        if (more === 0) this.#blame("a WINDOW_UPDATE of nothing");
        if (streamId === 0) this.sendWindow += more;
        else if (this.streams.has(streamId)) this.stream(streamId).sendWindow += more;
        else this.#blame(`WINDOW_UPDATE on idle stream ${streamId}`);
        return;
      }
      default:
        this.#blame(`frame type ${type}, which no relay sends`);
    }
  }

  #open(streamId: number): void {
    const isNew = !this.streams.has(streamId);
    if (!isNew) {
      const stream = this.stream(streamId);
      if (stream.ended || stream.resetCode !== undefined) this.#blame(`HEADERS on closed stream ${streamId}`);
      return;
    }
    if (this.role === "client") {
      this.#blame(`HEADERS on idle stream ${streamId}`);
      return;
    }
    if (streamId % 2 === 0 || streamId <= this.#highestRemoteId) this.#blame(`stream ${streamId} out of order`);
    this.#highestRemoteId = streamId;
    const active = [...this.streams.values()].filter(({ closed }) => !closed).length;
    if (active >= this.#streamsMax) this.#blame(`${active + 1} streams, allowed are ${this.#streamsMax}`);
  }

  #takeBlock(part: Buffer, set: number): void {
    const block = this.#block;
    if (block === undefined) {
      this.#blame("CONTINUATION without HEADERS");
      return;
    }
    block.parts.push(part);
    if ((set & flags.endHeaders) === 0) return;
    this.#block = undefined;
    const stream = this.stream(block.streamId);
    const head = this.#hpack.read(Buffer.concat(block.parts));
    head.endStream = block.endStream;
    stream.heads.push(head);
    if (block.endStream) stream.ended = true;
    if (this.role === "server" && stream.heads.length === 1) this.onRequest(stream);
  }

  #takeData(one: Frame): void {
    const { streamId, payload } = one;
    const stream = this.streams.get(streamId);
    if (stream === undefined || stream.heads.length === 0) {
      this.#blame(`DATA before HEADERS on ${streamId}`);
      return;
    }
    if (stream.ended || stream.resetCode !== undefined) this.#blame(`DATA on closed stream ${streamId}`);
    this.receiveWindow -= payload.length;
    stream.receiveWindow -= payload.length;
    if (this.receiveWindow < 0) this.#blame(`DATA beyond the connection's window by ${-this.receiveWindow}`);
    if (stream.receiveWindow < 0 && payload.length > 0) {
      this.#blame(`DATA beyond the window of ${streamId} by ${-stream.receiveWindow}`);
    }
    stream.take(unpadded(one));
    if ((one.flags & flags.endStream) !== 0) stream.ended = true;
    this.#owed += payload.length;
    stream.owed += payload.length;
    const { creditStep } = this;
    if (this.credit !== "none" && this.#owed > 0 && (this.#owed >= creditStep || this.receiveWindow < this.#owed)) {
      this.allow(0, this.#owed);
      this.#owed = 0;
    }
    if (this.credit !== "both" || stream.ended || stream.owed === 0) return;
    if (stream.owed < creditStep && stream.receiveWindow >= stream.owed) return;
    this.allow(streamId, stream.owed);
    stream.owed = 0;
  }

  #takeSettings(one: Frame): void {
    if ((one.flags & flags.ack) !== 0) {
      this.settingsAcks++;
      const settings = this.#owedSettings.shift();
      if (settings === undefined) this.#blame("a SETTINGS acknowledgement too many");
      for (const [id, value] of settings ?? []) this.#bind(id, value);
      return;
    }
    for (let at = 0; at < one.payload.length; at += 6) {
      const id = one.payload.readUInt16BE(at);
      const value = one.payload.readUInt32BE(at + 2);
      if (id === settingIds.initialWindowSize) {
        const delta = value - (this.settings.get(id) ?? DEFAULT_WINDOW_BYTES);
        for (const stream of this.streams.values()) stream.sendWindow += delta;
      }
      this.settings.set(id, value);
    }
    if (this.acknowledges) this.send(frame(types.settings, flags.ack, 0));
  }

  /** The other side keeps to this setting from here on. */
  #bind(id: number, value: number): void {
    if (id === settingIds.headerTableSize) this.#hpack.acknowledged(value);
    if (id === settingIds.maxFrameSize) this.#frameBytes = value;
    if (id === settingIds.initialWindowSize) this.#resizeWindows(value);
    if (id === settingIds.maxConcurrentStreams) this.#streamsMax = value;
  }

  #resizeWindows(bytes: number): void {
    for (const stream of this.streams.values()) stream.receiveWindow += bytes - this.#windowBytes;
    this.#windowBytes = bytes;
  }

  /** Bytes of the largest frame that the other side takes. */
  get maxFrameBytes(): number {
    return this.settings.get(settingIds.maxFrameSize) ?? MAX_FRAME_BYTES;
  }

  /** Bytes that the encoder of the other side may use for its dynamic table, by its own choice. */
  get remoteTableBytes(): number {
    return this.#hpack.capacity;
  }
}
