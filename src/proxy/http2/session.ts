// One HTTP/2 connection, whichever side we are on: keeps the rules of the connection (settings, windows, PING, GOAWAY, abuse
// budgets) and leaves to its two subclasses what differs: a client's requests (downstream.ts), an endpoint's responses
// (upstream.ts). Frames come from frame-reader.ts, header blocks from field-blocks.ts; what leaves goes through send-queue.ts
// and frame-writer.ts. Long because every frame type, every deadline and every way to end is answered here, in one place.
//
// Guarantees: header blocks are always decoded; after `finish` nothing more is taken in, and every exchange has been told.
import { coarse } from "../../base/clock.ts";
import type { Limits, Timeouts } from "../../base/limits.ts";
import { latin1 } from "../../protocol/bytes.ts";
import {
  type BlockLimits,
  COMPRESSION_ERROR,
  type DecodeResult,
  LIST_TOO_LARGE,
} from "../../protocol/hpack/decoder.ts";
import type { Field } from "../../protocol/hpack/field.ts";
import type { StaticFields } from "../../protocol/hpack/static-fields.ts";
import { AbuseBudgets } from "../../protocol/http2/budgets.ts";
import { EXCEEDED, bodyMayEnd, takeBody } from "../../protocol/http2/body-length.ts";
import { CODE_MASK, IGNORE, OK, STREAM_ERROR, errorCodes, errorName } from "../../protocol/http2/error-codes.ts";
import { Payload, checkDependency, checkFrameHead, readHeadersPayload } from "../../protocol/http2/frame-check.ts";
import {
  FRAME_BYTES_DEFAULT,
  MAX_31_BITS,
  PING_BYTES,
  RST_STREAM_BYTES,
  SETTINGS_ACK_BYTES,
  WINDOW_UPDATE_BYTES,
  flags,
  frameTypes,
  readUint31,
  readUint32,
} from "../../protocol/http2/frames.ts";
import { ReceiveWindow } from "../../protocol/http2/flow.ts";
import { PeerSettings, WINDOW_BYTES_DEFAULT } from "../../protocol/http2/settings.ts";
import {
  LOCAL_RESET,
  REMOTE_ENDED,
  REMOTE_RESET,
  StreamHistory,
  frameVerdict,
  isClosed,
} from "../../protocol/http2/stream-state.ts";
import { StreamTable } from "../../protocol/http2/stream-table.ts";
import type { AbuseKind, Telemetry } from "../../telemetry/metrics.ts";
import type { Wire, WireOwner } from "../wire.ts";
import { FieldBlocks } from "./field-blocks.ts";
import { FrameReader, type FrameReceiver } from "./frame-reader.ts";
import { FrameWriter } from "./frame-writer.ts";
import { SendQueue } from "./send-queue.ts";
import type { Http2Stream } from "./stream.ts";

/** What a connection needs from its surroundings. */
export interface SessionContext {
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly telemetry: Telemetry;
  /** `headBytesMax` and `headerCountMax` as HPACK calls them. */
  readonly blockLimits: BlockLimits;
  /** Static table of the HPACK decoder, with the ids of the fields that this side watches. */
  readonly statics: StaticFields;
}

const payload = new Payload();
/** Of a PRIORITY frame (RFC 9113 §6.3). */
const PRIORITY_BYTES = 5;
/** So many times `lingerMs` an ended connection is kept at most for a peer that still talks. */
const PATIENCE = 10;
const PING_PAYLOAD = latin1("sidelane");

/** Why a connection ended: in the course of things, because its peer broke a rule, or exceeded a budget. */
export type EndCause = "closed" | "violated" | "abuse";

/** One HTTP/2 connection. */
export abstract class Http2Session implements WireOwner, FrameReceiver {
  readonly wire: Wire;
  readonly context: SessionContext;
  readonly peer = new PeerSettings();
  readonly streams = new StreamTable<Http2Stream>();
  readonly history = new StreamHistory();
  readonly writer: FrameWriter;
  readonly queue: SendQueue;
  readonly budgets: AbuseBudgets;
  /** The first SETTINGS frame of the peer has come. */
  settingsSeen = false;
  /** The peer knows our settings: until then streams begin with the window of the protocol's default. */
  settingsAcked = false;
  /** Coarse time of the last bytes of the peer. */
  heardMs = coarse.nowMs;
  /** We have sent the GOAWAY that ends it, or the peer is gone: nothing more is taken in. */
  ended = false;
  /** Coarse time of `ended`, and why. */
  #endedMs = 0;
  #endCause: EndCause = "closed";
  protected readonly reader: FrameReader;
  readonly #blocks: FieldBlocks;
  /** Since when a header block is not complete; 0: none is open. */
  #blockMs = 0;
  readonly #receive = new ReceiveWindow(WINDOW_BYTES_DEFAULT);
  /** Who takes the DATA frame that is being read, undefined when its bytes are dropped; and whether it ends the stream. */
  #dataStream: Http2Stream | undefined = undefined;
  #dataEnds = false;
  /** By how much windows have grown for readers on this connection. */
  #widenedBytes = 0;
  /** What the peer will be ended for as soon as nobody is in the middle of anything. */
  #offence: AbuseKind | undefined = undefined;
  /** Bytes of answers to control frames since the peer last took all that was sent. */
  #controlBytes = 0;
  /** Coarse time when a PING of ours went out that is not answered; 0: none. */
  #pingSentMs = 0;

  protected constructor(wire: Wire, context: SessionContext) {
    this.wire = wire;
    this.context = context;
    this.writer = new FrameWriter(wire);
    this.queue = new SendQueue(this);
    this.budgets = new AbuseBudgets(context.limits, coarse.nowMs);
    this.reader = new FrameReader(this);
    this.#blocks = new FieldBlocks(context.statics, context.blockLimits);
  }

  /** The peer is a server. */
  protected abstract readonly peerServes: boolean;
  /** A header block is in `block`; `error` is OK or a stream error of its frame, and `tooLarge` says that fields are missing. */
  protected abstract headersReceived(id: number, ends: boolean, error: number, tooLarge: boolean): void;
  /** DATA without padding, or with `ends` its end. */
  protected abstract dataReceived(
    stream: Http2Stream,
    bytes: Uint8Array,
    start: number,
    end: number,
    ends: boolean,
  ): void;
  protected abstract resetReceived(stream: Http2Stream, code: number): void;
  protected abstract goawayReceived(lastId: number, code: number): void;
  /** The peer's settings have changed. */
  protected abstract settingsReceived(): void;
  /** A stream of ours has left the table. */
  protected abstract streamClosed(): void;
  /** The connection is of no more use: whatever runs on it has to hear of it. Called once. */
  protected abstract sessionEnded(detail: string, cause: EndCause): void;
  /** The wire is gone. */
  protected abstract sessionClosed(): void;

  // ---------------------------------------------------------------- receiving

  onBytes(received: Uint8Array, end: number): void {
    this.heardMs = coarse.nowMs;
    if (this.ended) return;
    this.reader.take(received, 0, end);
    this.judge();
    this.holdBack();
  }

  /** Ends the connection of a peer that has been found out while others were being served. */
  protected judge(): void {
    if (this.#offence !== undefined) this.offend(this.#offence);
  }

  /** Reads no further from a client that asks and does not read: its requests wait in the kernel. */
  protected holdBack(): void {
    if (this.full && !this.peerServes && !this.ended) this.wire.pause();
  }

  /** More waits for the peer than is good. */
  get full(): boolean {
    return this.wire.backlogged && this.writer.waitingBytes > this.context.limits.http2OutgoingBytesMax;
  }

  admitFrame(type: number, flagBits: number, id: number, length: number): boolean {
    if (!this.settingsSeen && (type !== frameTypes.SETTINGS || (flagBits & flags.ACK) !== 0)) {
      // RFC 9113 §3.4: each side begins with SETTINGS.
      this.fail(errorCodes.PROTOCOL_ERROR, "the first frame is not SETTINGS");
      return false;
    }
    const error = checkFrameHead(type, flagBits, id, length, FRAME_BYTES_DEFAULT, this.#blocks.openId);
    // A PRIORITY frame of the wrong size is a matter of its stream: it is read to its end first.
    if (error === OK || (error & STREAM_ERROR) !== 0) return true;
    this.fail(error, `frame of type ${type} with ${length} bytes on stream ${id}`);
    return false;
  }

  frameReceived(type: number, flagBits: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    switch (type) {
      case frameTypes.HEADERS:
        this.#takeHeaders(bytes, start, end, flagBits, id);
        return;
      case frameTypes.CONTINUATION:
        this.#takeContinuation(bytes, start, end, flagBits);
        return;
      case frameTypes.WINDOW_UPDATE:
        this.#takeWindowUpdate(id, readUint31(bytes, start));
        return;
      case frameTypes.RST_STREAM:
        this.#takeReset(id, readUint32(bytes, start));
        return;
      case frameTypes.SETTINGS:
        this.#takeSettings(bytes, start, end, flagBits);
        return;
      case frameTypes.PING:
        this.#takePing(bytes, start, flagBits);
        return;
      case frameTypes.GOAWAY:
        if (this.#allowControl()) this.goawayReceived(readUint31(bytes, start), readUint32(bytes, start + 4));
        return;
      case frameTypes.PRIORITY:
        if (!this.#allowControl()) return;
        if (end - start !== PRIORITY_BYTES) this.resetUnlessIdle(id, errorCodes.FRAME_SIZE_ERROR);
        else if (checkDependency(bytes, start, id) !== OK) {
          this.fail(errorCodes.PROTOCOL_ERROR, `stream ${id} depends on itself`);
        }
        return;
      default:
        // RFC 9113 §5.5: unknown types are ignored, but not for ever.
        this.#allowControl();
    }
  }

  /** Counts a frame that only makes work; false: there were too many. */
  #allowControl(): boolean {
    if (this.budgets.control(coarse.nowMs)) return true;
    this.offend("control");
    return false;
  }

  // ---- DATA

  /** Windows, state and length are settled for the whole frame before its bytes are passed on. */
  dataBegins(id: number, flagBits: number, length: number, dataBytes: number): void {
    if (dataBytes < 0) {
      this.fail(errorCodes.PROTOCOL_ERROR, `padding is longer than the DATA frame on stream ${id}`);
      return;
    }
    if (!this.#receive.receive(length)) {
      this.fail(errorCodes.FLOW_CONTROL_ERROR, "more DATA than the connection's window allows");
      return;
    }
    // The connection's credit goes back at once: how much can lie here is bounded by the windows of the streams.
    const increment = this.#receive.consume(length);
    if (increment > 0) this.#sendWindowUpdate(0, increment);
    this.#dataEnds = (flagBits & flags.END_STREAM) !== 0;
    this.#dataStream = undefined;
    if (dataBytes === 0 && !this.#dataEnds && !this.budgets.emptyFrame(coarse.nowMs)) {
      this.offend("empty-frame");
      return;
    }
    this.#dataStream = this.#admitData(id, flagBits, length, dataBytes);
  }

  /** The stream that takes the frame, or undefined: its bytes are dropped. */
  #admitData(id: number, flagBits: number, length: number, dataBytes: number): Http2Stream | undefined {
    const stream = this.streams.get(id);
    const state = stream === undefined ? this.history.stateOf(id) : stream.state;
    const verdict = frameVerdict(state, frameTypes.DATA, flagBits);
    if (verdict !== OK || stream === undefined) {
      if (verdict !== IGNORE) this.#refuse(stream, id, verdict, "DATA on a stream that takes none");
      return undefined;
    }
    if (!stream.receive.receive(length)) {
      this.failStream(stream, errorCodes.FLOW_CONTROL_ERROR);
      return undefined;
    }
    stream.bodyRemaining = takeBody(stream.bodyRemaining, dataBytes);
    if (stream.bodyRemaining === EXCEEDED || (this.#dataEnds && !bodyMayEnd(stream.bodyRemaining))) {
      // RFC 9113 §8.1.1: the length that was announced is not the length that comes.
      this.failStream(stream, errorCodes.PROTOCOL_ERROR);
      return undefined;
    }
    stream.progressMs = coarse.nowMs;
    // Padding is nobody's to read.
    if (length > dataBytes) this.credit(stream, length - dataBytes);
    return stream;
  }

  dataContinues(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    const stream = this.#dataStream;
    if (last) this.#dataStream = undefined;
    if (stream === undefined || (stream.state & (LOCAL_RESET | REMOTE_RESET)) !== 0) return;
    const ends = last && this.#dataEnds;
    if (ends) stream.state |= REMOTE_ENDED;
    else if (end === start) return;
    this.dataReceived(stream, bytes, start, end, ends);
    if (ends) this.settle(stream);
  }

  // ---- HEADERS

  #takeHeaders(bytes: Uint8Array, start: number, end: number, flagBits: number, id: number): void {
    const error = readHeadersPayload(payload, bytes, start, end, flagBits, id);
    if (error !== OK && (error & STREAM_ERROR) === 0) {
      this.fail(error, `HEADERS of stream ${id} are not well-formed`);
      return;
    }
    const blocks = this.#blocks;
    blocks.flagBits = flagBits;
    blocks.error = error;
    if ((flagBits & flags.END_HEADERS) !== 0) {
      this.#takeBlock(blocks.decode(bytes, payload.start, payload.end), id);
      return;
    }
    blocks.open(id);
    this.#blockMs = coarse.nowMs;
    this.budgets.blockBegins();
    if (!blocks.add(bytes, payload.start, payload.end)) this.#refuseBlock(id);
  }

  #takeContinuation(bytes: Uint8Array, start: number, end: number, flagBits: number): void {
    const last = (flagBits & flags.END_HEADERS) !== 0;
    const blocks = this.#blocks;
    if (!this.budgets.continuation()) this.offend("continuation");
    else if (start === end && !last && !this.budgets.emptyFrame(coarse.nowMs)) this.offend("empty-frame");
    else if (!blocks.add(bytes, start, end)) this.#refuseBlock(blocks.openId);
    else if (last) {
      const id = blocks.openId;
      this.#blockMs = 0;
      this.#takeBlock(blocks.close(), id);
    }
  }

  /** A block that is too long to be honest, and too long to be decoded for the sake of the others. */
  #refuseBlock(id: number): void {
    if (this.peerServes) this.streams.get(id)?.exchange.upstreamBroke("upstream-head-too-large", "");
    this.offend("header-list");
  }

  #takeBlock(result: DecodeResult, id: number): void {
    const { flagBits, error } = this.#blocks;
    if (result === COMPRESSION_ERROR) this.fail(errorCodes.COMPRESSION_ERROR, this.#blocks.errorDetail);
    else this.headersReceived(id, (flagBits & flags.END_STREAM) !== 0, error, result === LIST_TOO_LARGE);
  }

  /** Checks HEADERS against the state of the live stream and notes their end; false: refused or ignored. */
  protected admitHeaders(stream: Http2Stream, ends: boolean, error: number): boolean {
    const verdict = frameVerdict(stream.state, frameTypes.HEADERS, ends ? flags.END_STREAM : 0);
    if (verdict === IGNORE) return false;
    if (verdict !== OK || error !== OK) {
      this.#refuse(stream, stream.id, verdict === OK ? error : verdict, "HEADERS on a stream that takes none");
      return false;
    }
    stream.progressMs = coarse.nowMs;
    return !ends || this.admitEnd(stream);
  }

  /** Notes that HEADERS have ended the stream; false: its Content-Length promised more. */
  protected admitEnd(stream: Http2Stream): boolean {
    if (!bodyMayEnd(stream.bodyRemaining)) {
      this.failStream(stream, errorCodes.PROTOCOL_ERROR);
      return false;
    }
    stream.state |= REMOTE_ENDED;
    return true;
  }

  /** HEADERS on a stream that is not live any more. */
  protected refuseClosed(id: number, ends: boolean): void {
    const verdict = frameVerdict(this.history.stateOf(id), frameTypes.HEADERS, ends ? flags.END_STREAM : 0);
    if (verdict === OK || verdict === IGNORE) {
      if (!this.budgets.response(coarse.nowMs)) this.offend("control");
    } else this.#refuse(undefined, id, verdict, "HEADERS on a closed stream");
  }

  // ---- the others

  #takeWindowUpdate(id: number, increment: number): void {
    if (!this.budgets.response(coarse.nowMs)) {
      this.offend("control");
      return;
    }
    if (id === 0) {
      // RFC 9113 §6.9: zero is an error; §6.9.1: so is more than 2^31-1.
      if (increment === 0) this.fail(errorCodes.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
      else if (this.queue.grow(increment)) this.queue.pump();
      else this.fail(errorCodes.FLOW_CONTROL_ERROR, "the connection's window exceeds 2^31-1");
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      const verdict = frameVerdict(this.history.stateOf(id), frameTypes.WINDOW_UPDATE, 0);
      if (verdict !== OK && verdict !== IGNORE) this.fail(verdict & CODE_MASK, "WINDOW_UPDATE on an idle stream");
      return;
    }
    if (increment === 0) this.failStream(stream, errorCodes.PROTOCOL_ERROR);
    else if (stream.sendWindow + increment > MAX_31_BITS) this.failStream(stream, errorCodes.FLOW_CONTROL_ERROR);
    else {
      stream.sendWindow += increment;
      if (stream.blocked) this.queue.pump();
    }
  }

  #takeReset(id: number, code: number): void {
    const stream = this.streams.get(id);
    const state = stream === undefined ? this.history.stateOf(id) : stream.state;
    const verdict = frameVerdict(state, frameTypes.RST_STREAM, 0);
    if (verdict !== OK && verdict !== IGNORE) {
      this.fail(verdict & CODE_MASK, `RST_STREAM on idle stream ${id}`);
      return;
    }
    // What is cancelled after its answer began is everyday life; before, it is how work is made for nothing (CVE-2023-44487).
    // An endpoint that is overloaded refuses streams of many clients: to end its connection would make that worse.
    const counts = !this.peerServes && stream?.exchange.responseStarted !== true;
    if (counts && !this.budgets.reset(coarse.nowMs)) {
      this.offend("reset");
      return;
    }
    if (stream === undefined) {
      if (this.peerServes && !this.budgets.response(coarse.nowMs)) this.offend("control");
      return;
    }
    this.abandon(stream);
    this.resetReceived(stream, code);
    this.streamClosed();
  }

  #takeSettings(bytes: Uint8Array, start: number, end: number, flagBits: number): void {
    if ((flagBits & flags.ACK) !== 0) {
      if (this.settingsAcked) this.#allowControl();
      else this.#moveWindows();
      this.settingsAcked = true;
      return;
    }
    if (this.settingsSeen && !this.#allowControl()) return;
    const before = this.peer.initialWindowBytes;
    const error = this.peer.apply(bytes, start, end, this.peerServes);
    if (error !== OK) {
      this.fail(error, "a setting has a value that is not allowed");
      return;
    }
    this.settingsSeen = true;
    this.writer.follow(this.peer);
    const delta = this.peer.initialWindowBytes - before;
    if (delta !== 0 && !this.#adjustWindows(delta)) return;
    this.writer.settingsAck();
    this.#noteControl(SETTINGS_ACK_BYTES);
    if (this.ended) return;
    this.settingsReceived();
    if (delta > 0) this.queue.pump();
  }

  /** The peer has applied our initial window, which may be smaller than the one that its first streams began with. */
  #moveWindows(): void {
    const { http2StreamWindowBytes } = this.context.limits;
    const delta = http2StreamWindowBytes - WINDOW_BYTES_DEFAULT;
    if (delta >= 0) return;
    this.streams.forEach((stream) => {
      stream.receive.move(delta);
      // What is owed may be more than half of the smaller window.
      this.credit(stream, 0);
    });
  }

  /** RFC 9113 §6.9.2: a new initial window moves the windows of all streams, below zero if need be. */
  #adjustWindows(delta: number): boolean {
    let fits = true;
    this.streams.forEach((stream) => {
      stream.sendWindow += delta;
      if (stream.sendWindow > MAX_31_BITS) fits = false;
    });
    if (!fits) this.fail(errorCodes.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE makes a window exceed 2^31-1");
    return fits;
  }

  #takePing(bytes: Uint8Array, start: number, flagBits: number): void {
    if ((flagBits & flags.ACK) !== 0) {
      if (this.#pingSentMs === 0) this.#allowControl();
      this.#pingSentMs = 0;
      return;
    }
    if (!this.budgets.response(coarse.nowMs)) {
      this.offend("control");
      return;
    }
    this.writer.ping(true, bytes, start);
    this.#noteControl(PING_BYTES);
  }

  // ---------------------------------------------------------------- sending

  /** Opens the connection's receive window to its full size. */
  protected widenWindow(): void {
    const increment = this.#receive.widen(this.context.limits.http2ConnectionWindowBytes);
    if (increment > 0) this.#sendWindowUpdate(0, increment);
  }

  /** Bytes that the peer's frames have made us write. One that asks and does not read is an offender. */
  #noteControl(bytes: number): void {
    if (!this.wire.backlogged) return;
    this.#controlBytes += bytes;
    // Not at once: whoever is writing now may be in the middle of something that concerns many exchanges.
    if (this.#controlBytes > this.context.limits.http2OutgoingControlBytesMax) this.#offence = "outgoing-control";
  }

  #sendWindowUpdate(id: number, increment: number): void {
    this.writer.windowUpdate(id, increment);
    this.#noteControl(WINDOW_UPDATE_BYTES);
  }

  /**
   * The other side has taken `bytes` of what this stream's peer sent: gives it credit, and a larger window as long as
   * nothing has to wait.
   */
  credit(stream: Http2Stream, bytes: number): void {
    const { receive } = stream;
    const increment = receive.consume(bytes);
    if (increment === 0 || (stream.state & (REMOTE_ENDED | LOCAL_RESET | REMOTE_RESET)) !== 0) return;
    const reader = stream.exchange.otherOf(stream);
    const more = reader === undefined || reader.holds ? 0 : reader.session.widen(stream, reader);
    this.#sendWindowUpdate(stream.id, increment + more);
    // Before that it may not have been allowed to send.
    stream.progressMs = coarse.nowMs;
  }

  /**
   * Widens the window of a stream whose reader, a stream of this connection, keeps up. All readers of a connection share what
   * their senders' windows may grow by: if they stop reading, that is what lies here.
   */
  widen(sender: Http2Stream, reader: Http2Stream): number {
    const { http2StreamWindowBytesMax, http2ConnectionWindowBytes } = this.context.limits;
    const { receive } = sender;
    const size = Math.min(http2StreamWindowBytesMax, receive.sizeBytes * 2);
    const growth = size - receive.sizeBytes;
    if (growth <= 0 || this.#widenedBytes + growth > http2ConnectionWindowBytes) return 0;
    this.#widenedBytes += growth;
    reader.widenedBytes += growth;
    return receive.widen(size);
  }

  /** Gives a sender credit for all that it has sent: nobody will read it. */
  creditAll(stream: Http2Stream): void {
    const { outstandingBytes } = stream.receive;
    if (outstandingBytes > 0) this.credit(stream, outstandingBytes);
  }

  /** Answers on a stream that never got an exchange. The body is small, and left out when even that exceeds a window. */
  protected sendAnswer(id: number, fields: readonly Field[], listBytes: number, body: Uint8Array): void {
    const fits = body.length > 0 && body.length <= Math.min(this.peer.initialWindowBytes, this.queue.window);
    this.writer.headers(id, fields, fields.length, listBytes, !fits);
    if (!fits) return;
    this.queue.take(body.length);
    this.writer.data(id, body, 0, body.length, true);
  }

  /** Takes the stream out of the table when both sides have ended; whoever has ended one of them calls it last. */
  settle(stream: Http2Stream): void {
    if (!isClosed(stream.state) || this.streams.get(stream.id) !== stream) return;
    this.#forget(stream);
    stream.exchange.sideClosed(stream);
    this.streamClosed();
  }

  /** Sends RST_STREAM and forgets the stream. */
  sendReset(stream: Http2Stream, code: number): void {
    if (this.streams.get(stream.id) !== stream) return;
    stream.state |= LOCAL_RESET;
    this.#forget(stream);
    this.#writeReset(stream.id, code);
    this.streamClosed();
  }

  #writeReset(id: number, code: number): void {
    if (this.ended) return;
    this.writer.reset(id, code);
    this.budgets.resetSent();
    this.#noteControl(RST_STREAM_BYTES);
  }

  /** Takes a stream out of the table without a frame: the peer knows. */
  protected abandon(stream: Http2Stream): void {
    stream.state |= REMOTE_RESET;
    this.#forget(stream);
  }

  #forget(stream: Http2Stream): void {
    this.#widenedBytes -= stream.widenedBytes;
    stream.widenedBytes = 0;
    stream.drop();
    this.streams.delete(stream.id);
    this.history.close(stream.id, stream.state);
  }

  // ---------------------------------------------------------------- errors

  /** A frame that the state of its stream does not allow. */
  #refuse(stream: Http2Stream | undefined, id: number, verdict: number, detail: string): void {
    if ((verdict & STREAM_ERROR) === 0) this.fail(verdict & CODE_MASK, `${detail}: ${id}`);
    else if (stream !== undefined) this.failStream(stream, verdict & CODE_MASK);
    else this.refuseStream(id, verdict & CODE_MASK);
  }

  /** A stream error on a stream that may be closed already (RFC 9113 §5.4.2). */
  protected resetUnlessIdle(id: number, code: number): void {
    const stream = this.streams.get(id);
    if (stream !== undefined) this.failStream(stream, code);
    else if (id > this.history.lastId) this.fail(code, `on idle stream ${id}`);
    else this.refuseStream(id, code);
  }

  /** Resets a stream that has no exchange. For the peer's fault, unless `kind` is undefined: that is counted. */
  protected refuseStream(id: number, code: number, kind: AbuseKind | undefined = "reset"): void {
    if (kind !== undefined && !this.budgets.reset(coarse.nowMs)) {
      this.offend(kind);
      return;
    }
    this.#writeReset(id, code);
    if (id <= this.history.lastId) this.history.close(id, LOCAL_RESET);
  }

  /** The peer broke a rule that concerns one stream: it is reset, and the exchange ends. */
  failStream(stream: Http2Stream, code: number): void {
    const within = this.budgets.reset(coarse.nowMs);
    this.sendReset(stream, code);
    stream.exchange.sideFailed(stream, code);
    if (!within) this.offend("reset");
  }

  /** The peer does what only an attacker does, or somebody who is broken in the same way. */
  offend(kind: AbuseKind): void {
    if (this.ended) return;
    this.context.telemetry.http2Abuse[kind]++;
    this.goaway(errorCodes.ENHANCE_YOUR_CALM, kind);
    this.finish(`${errorName(errorCodes.ENHANCE_YOUR_CALM)}: ${kind}`, "abuse");
  }

  /** Ends the connection because of an error (RFC 9113 §5.4.1). */
  fail(code: number, detail: string): void {
    if (this.ended) return;
    this.goaway(code, detail);
    if (code === errorCodes.NO_ERROR) this.finish(detail);
    else this.finish(`${errorName(code)}: ${detail}`, "violated");
  }

  /** Sends the GOAWAY that names what was processed: nothing of a server's, as it pushes nothing. */
  protected goaway(code: number, detail: string): void {
    this.writer.goaway(this.peerServes ? 0 : this.history.lastId, code, detail);
  }

  /**
   * Takes nothing more in, tells all exchanges, and closes once what was written has left.
   *
   * @param atOnce nothing that was written will be read.
   */
  protected finish(detail: string, cause: EndCause = "closed", atOnce = false): void {
    if (this.ended) return;
    this.ended = true;
    this.#endedMs = coarse.nowMs;
    this.#endCause = cause;
    this.sessionEnded(detail, cause);
    if (atOnce) {
      this.wire.reset();
      return;
    }
    this.writer.flush();
    this.wire.end();
    // What still comes is read and dropped, so that the peer gets the GOAWAY instead of a reset.
    this.wire.resume();
  }

  // ---------------------------------------------------------------- the wire

  onEnd(): void {
    if (this.ended) this.wire.destroy();
    else this.finish("the connection was closed");
  }

  onClose(error: Error | undefined): void {
    if (!this.ended) {
      this.ended = true;
      this.sessionEnded(error === undefined ? "the connection was closed" : error.message, "closed");
    }
    this.sessionClosed();
  }

  onBacklog(): void {}

  onDrain(): void {
    this.#controlBytes = 0;
    this.writer.waitingBytes = 0;
    this.wire.resume();
    this.queue.pump();
  }

  /** Deadlines that both sides share: incomplete frames, silence, and the end. True when the connection has ended. */
  protected sweepSession(nowMs: number): boolean {
    const { headMs, stalledMs } = this.context.timeouts;
    if (this.ended) {
      this.#sweepEnded(nowMs);
      return true;
    }
    this.judge();
    const partialMs = this.#blockMs === 0 ? this.reader.partialMs : this.#blockMs;
    if (partialMs !== 0 && headMs > 0 && nowMs - partialMs >= headMs) {
      this.fail(errorCodes.ENHANCE_YOUR_CALM, `a frame or header block was not complete within ${headMs} ms`);
      return true;
    }
    if (this.wire.backlogged && stalledMs > 0 && nowMs - this.wire.lastProgressMs >= stalledMs) {
      this.context.telemetry.http2Abuse.stalled++;
      this.finish(`nothing was read for ${stalledMs} ms`, "abuse", true);
      return true;
    }
    return this.#sweepPing(nowMs);
  }

  /** What was sent last may take a while to be read, and closing before the peer has read it would destroy it (RFC 9112 §9.6). */
  #sweepEnded(nowMs: number): void {
    const { lingerMs, stalledMs } = this.context.timeouts;
    const patient = this.#endCause === "closed";
    const lastMs = patient ? Math.max(this.#endedMs, this.heardMs, this.wire.lastProgressMs) : this.#endedMs;
    const limitMs = patient && this.wire.backlogged ? stalledMs : Math.max(lingerMs, 1);
    // A peer that goes on talking for long has got what it was sent.
    const late = !this.wire.backlogged && nowMs - this.#endedMs >= Math.max(lingerMs, 1) * PATIENCE;
    if (late || (limitMs > 0 && nowMs - lastMs >= limitMs)) this.wire.destroy();
  }

  /** Asks a peer that has been silent while streams wait for it, and gives up one that does not answer. */
  #sweepPing(nowMs: number): boolean {
    const { http2PingMs, http2PingTimeoutMs } = this.context.timeouts;
    // What it takes shows that it lives as well as what it says; behind what it does not take, a PING would not be heard.
    const aliveMs = Math.max(this.heardMs, this.wire.drainedMs);
    if (this.wire.backlogged || this.wire.paused) {
      this.#pingSentMs = 0;
      return false;
    }
    if (this.#pingSentMs !== 0) {
      if (aliveMs > this.#pingSentMs) this.#pingSentMs = 0;
      else if (http2PingTimeoutMs > 0 && nowMs - this.#pingSentMs >= http2PingTimeoutMs) {
        this.fail(errorCodes.NO_ERROR, `no answer to PING within ${http2PingTimeoutMs} ms`);
        return true;
      }
      return false;
    }
    if (http2PingMs === 0 || this.streams.size === 0 || nowMs - aliveMs < http2PingMs) return false;
    this.#pingSentMs = nowMs;
    this.writer.ping(false, PING_PAYLOAD, 0);
    return false;
  }
}
