// One HTTP/2 connection, whichever side we are on: takes frames apart, keeps the rules of the connection (settings, windows,
// PING, GOAWAY, abuse budgets) and leaves to its two subclasses what differs: a client's requests (downstream.ts) and an
// endpoint's responses (upstream.ts). Longer than most files: it is the one place where every frame type is answered.
//
// Guarantees: a frame is checked by its head before its payload is waited for; header blocks are always decoded, since HPACK
// state depends on it; after `fail` nothing more is taken in, and every exchange has been told.
//
// DATA is passed on as it arrives, cut through: a frame that spans two reads becomes two frames. Everything else is held
// until it is whole, which `headBytesMax` and our SETTINGS_MAX_FRAME_SIZE bound.
import { coarse } from "../../base/clock.ts";
import type { Limits, Timeouts } from "../../base/limits.ts";
import { latin1 } from "../../protocol/bytes.ts";
import { type BlockLimits, HpackDecoder, COMPRESSION_ERROR, LIST_TOO_LARGE } from "../../protocol/hpack/decoder.ts";
import { HpackEncoder } from "../../protocol/hpack/encoder.ts";
import { type Field, FieldBlock } from "../../protocol/hpack/field.ts";
import type { StaticFields } from "../../protocol/hpack/static-fields.ts";
import { AbuseBudgets } from "../../protocol/http2/budgets.ts";
import { EXCEEDED, bodyMayEnd, takeBody } from "../../protocol/http2/body-length.ts";
import { CODE_MASK, IGNORE, OK, STREAM_ERROR, errorCodes, errorName } from "../../protocol/http2/error-codes.ts";
import { Payload, checkDependency, checkFrameHead, readHeadersPayload } from "../../protocol/http2/frame-check.ts";
import {
  FRAME_BYTES_DEFAULT,
  FRAME_HEAD_BYTES,
  GOAWAY_BYTES,
  MAX_31_BITS,
  PING_BYTES,
  RST_STREAM_BYTES,
  SETTINGS_ACK_BYTES,
  SETTING_BYTES,
  WINDOW_UPDATE_BYTES,
  flags,
  frameTypes,
  readUint24,
  readUint31,
  readUint32,
  writeFrameHead,
  writeGoaway,
  writePing,
  writeRstStream,
  writeSettings,
  writeSettingsAck,
  writeWindowUpdate,
} from "../../protocol/http2/frames.ts";
import { ReceiveWindow } from "../../protocol/http2/flow.ts";
import { PeerSettings, WINDOW_BYTES_DEFAULT } from "../../protocol/http2/settings.ts";
import {
  LOCAL_ENDED,
  LOCAL_RESET,
  REMOTE_ENDED,
  REMOTE_RESET,
  StreamHistory,
  frameVerdict,
  isClosed,
} from "../../protocol/http2/stream-state.ts";
import { StreamTable } from "../../protocol/http2/stream-table.ts";
import { copyBytes } from "../../protocol/bytes.ts";
import type { AbuseKind, Telemetry } from "../../telemetry/metrics.ts";
import { HeldBytes } from "../held-bytes.ts";
import type { Wire, WireOwner } from "../wire.ts";
import { FrameOutput } from "./output.ts";
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

/** The fields of the header block that was received last. One for all connections: a block is read and passed on in one go. */
export const block = new FieldBlock();
const payload = new Payload();
const NO_BYTES = new Uint8Array(0);
/** A held piece smaller than this is copied once more on its way out: a system call of its own would cost more. */
const PUSH_BYTES_MIN = 4096;
/** The capacity of our dynamic tables, both ways: the default of the protocol. */
const TABLE_BYTES = 4096;
/** Compressed blocks are never larger than what they decompress to by more than a table can hide; beyond, it is an attack. */
const FRAGMENT_SLACK_BYTES = 1024;

/** One HTTP/2 connection. */
export abstract class Http2Session implements WireOwner {
  readonly wire: Wire;
  readonly output: FrameOutput;
  readonly context: SessionContext;
  readonly peer = new PeerSettings();
  readonly streams = new StreamTable<Http2Stream>();
  readonly history = new StreamHistory();
  /** The first SETTINGS frame of the peer has come. */
  settingsSeen = false;
  /** The peer knows our settings: until then streams begin with the window of the protocol's default. */
  settingsAcked = false;
  /** Coarse time of the last frame of the peer. */
  heardMs = coarse.nowMs;
  /** Since when an incomplete frame or header block waits for its rest; 0: none does. */
  partialMs = 0;
  /** We have sent the GOAWAY that ends it, or the peer is gone: nothing more is taken in. */
  ended = false;
  protected readonly budgets: AbuseBudgets;
  readonly #decoder: HpackDecoder;
  readonly #encoder = new HpackEncoder(TABLE_BYTES);
  readonly #held = new HeldBytes();
  readonly #receive: ReceiveWindow;
  #sendWindow = WINDOW_BYTES_DEFAULT;
  /** Streams that have something for the peer which has to wait. */
  #blocked: Http2Stream[] = [];

  // The DATA frame that is being passed on.
  #dataStream: Http2Stream | undefined = undefined;
  #dataRemaining = 0;
  #padRemaining = 0;
  #dataEnds = false;

  // The header block that is being put together.
  #blockOf = 0;
  #blockFlags = 0;
  #blockError = OK;
  #fragments: Uint8Array = NO_BYTES;
  #fragmentBytes = 0;

  /** Bytes of answers to control frames since the peer last took all that was sent. */
  #controlBytes = 0;
  /** Coarse time when a PING of ours went out that is not answered; 0: none. */
  #pingSentMs = 0;

  protected constructor(wire: Wire, context: SessionContext) {
    this.wire = wire;
    this.context = context;
    this.output = new FrameOutput(wire);
    this.budgets = new AbuseBudgets(context.limits, coarse.nowMs);
    this.#decoder = new HpackDecoder(context.statics, TABLE_BYTES);
    this.#receive = new ReceiveWindow(WINDOW_BYTES_DEFAULT);
  }

  /** A header block is in `block`; `verdict` is OK, a stream error of its frame, and `tooLarge` says that fields are missing. */
  protected abstract headersReceived(id: number, ends: boolean, verdict: number, tooLarge: boolean): void;
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
  /** The connection is of no more use: whatever runs on it has to hear of it. Called once. `violated`: the peer broke rules. */
  protected abstract sessionEnded(detail: string, violated: boolean): void;
  /** The peer is a server. */
  protected abstract readonly peerServes: boolean;

  // ---------------------------------------------------------------- receiving

  onBytes(received: Uint8Array, receivedEnd: number): void {
    if (this.ended) return;
    this.heardMs = coarse.nowMs;
    let at = 0;
    if (this.#held.length > 0) {
      at = this.#completeHeld(received, receivedEnd);
      if (at < 0) return;
    }
    at = this.#takeFrames(received, at, receivedEnd);
    if (this.ended) return;
    if (at < receivedEnd) {
      this.#held.keep(received, at, receivedEnd);
      if (this.partialMs === 0) this.partialMs = coarse.nowMs;
    } else if (this.#blockOf === 0) this.partialMs = 0;
  }

  /** Adds what is missing to the frame that is held, and takes it; the offset behind it, or -1 when it is still not whole. */
  #completeHeld(received: Uint8Array, end: number): number {
    const held = this.#held;
    let at = 0;
    for (;;) {
      const wanted = wantedBytes(held.bytes, held.length);
      const take = Math.min(wanted - held.length, end - at);
      held.append(received, at, at + take);
      at += take;
      if (held.length < wanted) return -1;
      if (wantedBytes(held.bytes, held.length) === held.length) break;
      // Its head is whole now and says how long it is; one that is too long is not waited for.
      if (!this.#admitFrame(held.bytes, 0)) return -1;
    }
    const { bytes, length } = held;
    const after = this.#takeFrames(bytes, 0, length);
    held.clear();
    return this.ended || after < length ? -1 : at;
  }

  /** Takes all whole frames, and DATA as far as it is there; returns the offset of what has to wait for more. */
  #takeFrames(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end) {
      if (this.#dataRemaining > 0 || this.#padRemaining > 0) {
        at = this.#takeData(bytes, at, end);
        if (this.ended) return end;
        continue;
      }
      if (end - at < FRAME_HEAD_BYTES) return at;
      const length = readUint24(bytes, at);
      const type = bytes[at + 3] as number;
      if (!this.#admitFrame(bytes, at)) return end;
      const from = at + FRAME_HEAD_BYTES;
      if (type === frameTypes.DATA) {
        const padded = ((bytes[at + 4] as number) & flags.PADDED) !== 0;
        if (padded && from === end) return at;
        this.#beginData(bytes, at, length, padded);
        at = padded ? from + 1 : from;
        if (this.#dataRemaining === 0) this.#endOfData();
      } else {
        if (end - from < length) return at;
        this.#takeFrame(bytes, at, from, from + length);
        at = from + length;
      }
      if (this.ended) return end;
    }
    return at;
  }

  /** False when the frame whose head begins at `at` breaks a rule that its head shows: the connection has failed. */
  #admitFrame(bytes: Uint8Array, at: number): boolean {
    const type = bytes[at + 3] as number;
    const id = readUint31(bytes, at + 5);
    const length = readUint24(bytes, at);
    if (!this.settingsSeen && (type !== frameTypes.SETTINGS || ((bytes[at + 4] as number) & flags.ACK) !== 0)) {
      // RFC 9113 §3.4: each side begins with SETTINGS.
      this.fail(errorCodes.PROTOCOL_ERROR, "the first frame is not SETTINGS");
      return false;
    }
    const error = checkFrameHead(type, bytes[at + 4] as number, id, length, FRAME_BYTES_DEFAULT, this.#blockOf);
    if (error === OK) return true;
    // A PRIORITY frame of the wrong size is a matter of its stream: it is read to its end first.
    if ((error & STREAM_ERROR) !== 0) return true;
    this.fail(error, `frame of type ${type} with ${length} bytes on stream ${id}`);
    return false;
  }

  #takeFrame(bytes: Uint8Array, head: number, start: number, end: number): void {
    const type = bytes[head + 3] as number;
    const flagBits = bytes[head + 4] as number;
    const id = readUint31(bytes, head + 5);
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
        if (!this.budgets.control(coarse.nowMs)) this.offend("control");
        else this.goawayReceived(readUint31(bytes, start), readUint32(bytes, start + 4));
        return;
      case frameTypes.PRIORITY:
        if (!this.budgets.control(coarse.nowMs)) this.offend("control");
        else if (end - start !== PRIORITY_BYTES) this.resetUnlessIdle(id, errorCodes.FRAME_SIZE_ERROR);
        else if (checkDependency(bytes, start, id) !== OK) {
          this.fail(errorCodes.PROTOCOL_ERROR, `stream ${id} depends on itself`);
        }
        return;
      default:
        // RFC 9113 §5.5: unknown types are ignored, but not for ever.
        if (!this.budgets.control(coarse.nowMs)) this.offend("control");
    }
  }

  // ---- DATA

  /** The head of a DATA frame: windows, state and length are settled for the whole frame before its bytes are passed on. */
  #beginData(bytes: Uint8Array, at: number, length: number, padded: boolean): void {
    const flagBits = bytes[at + 4] as number;
    const id = readUint31(bytes, at + 5);
    const padBytes = padded ? (bytes[at + FRAME_HEAD_BYTES] as number) : 0;
    const dataBytes = length - (padded ? 1 : 0) - padBytes;
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
    this.#dataRemaining = dataBytes;
    this.#padRemaining = padBytes;
    if (dataBytes === 0 && !this.#dataEnds && !this.budgets.emptyFrame(coarse.nowMs)) {
      this.offend("empty-frame");
      return;
    }
    this.#dataStream = this.#admitData(id, flagBits, length, dataBytes, padded ? padBytes + 1 : 0);
  }

  /** The stream that takes the frame, or undefined: its bytes are dropped. */
  #admitData(
    id: number,
    flagBits: number,
    length: number,
    dataBytes: number,
    overhead: number,
  ): Http2Stream | undefined {
    const stream = this.streams.get(id);
    const verdict = frameVerdict(
      stream === undefined ? this.history.stateOf(id) : stream.state,
      frameTypes.DATA,
      flagBits,
    );
    if (verdict !== OK) {
      if (verdict !== IGNORE) this.#refuse(stream, id, verdict, "DATA on a stream that takes none");
      return undefined;
    }
    const live = stream as Http2Stream;
    if (!live.receive.receive(length)) {
      this.failStream(live, errorCodes.FLOW_CONTROL_ERROR);
      return undefined;
    }
    live.bodyRemaining = takeBody(live.bodyRemaining, dataBytes);
    if (live.bodyRemaining === EXCEEDED || (this.#dataEnds && !bodyMayEnd(live.bodyRemaining))) {
      // RFC 9113 §8.1.1: the length that was announced is not the length that comes.
      this.failStream(live, errorCodes.PROTOCOL_ERROR);
      return undefined;
    }
    live.progressMs = coarse.nowMs;
    if (overhead > 0) this.credit(live, overhead);
    return live;
  }

  /** Passes on what is there of the DATA frame; returns the offset behind it. */
  #takeData(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    if (this.#dataRemaining > 0) {
      const stop = Math.min(end, start + this.#dataRemaining);
      this.#dataRemaining -= stop - start;
      const whole = this.#dataRemaining === 0;
      const stream = this.#dataStream;
      if (stream !== undefined && (stream.state & (LOCAL_RESET | REMOTE_RESET)) === 0) {
        const ends = whole && this.#dataEnds;
        if (ends) this.#endRemote(stream);
        this.dataReceived(stream, bytes, start, stop, ends);
        if (ends) this.settle(stream);
      }
      at = stop;
      if (whole && this.#dataEnds) this.#dataStream = undefined;
    }
    const skip = Math.min(this.#padRemaining, end - at);
    this.#padRemaining -= skip;
    if (this.#dataRemaining === 0 && this.#padRemaining === 0) this.#dataStream = undefined;
    return at + skip;
  }

  /** A DATA frame without a byte of data. */
  #endOfData(): void {
    const stream = this.#dataStream;
    this.#dataStream = undefined;
    if (stream === undefined || !this.#dataEnds || this.ended) return;
    this.#endRemote(stream);
    this.dataReceived(stream, NO_BYTES, 0, 0, true);
    this.settle(stream);
  }

  #endRemote(stream: Http2Stream): void {
    stream.state |= REMOTE_ENDED;
  }

  // ---- HEADERS

  #takeHeaders(bytes: Uint8Array, start: number, end: number, flagBits: number, id: number): void {
    const error = readHeadersPayload(payload, bytes, start, end, flagBits, id);
    if (error !== OK && (error & STREAM_ERROR) === 0) {
      this.fail(error, `HEADERS of stream ${id} are not well-formed`);
      return;
    }
    this.#blockFlags = flagBits;
    this.#blockError = error;
    if ((flagBits & flags.END_HEADERS) !== 0) {
      this.#takeBlock(bytes, payload.start, payload.end, id);
      return;
    }
    this.#blockOf = id;
    this.#fragmentBytes = 0;
    this.partialMs = coarse.nowMs;
    this.budgets.blockBegins();
    this.#addFragment(bytes, payload.start, payload.end);
  }

  #takeContinuation(bytes: Uint8Array, start: number, end: number, flagBits: number): void {
    const last = (flagBits & flags.END_HEADERS) !== 0;
    if (!this.budgets.continuation()) {
      this.offend("continuation");
      return;
    }
    if (start === end && !last && !this.budgets.emptyFrame(coarse.nowMs)) {
      this.offend("empty-frame");
      return;
    }
    if (!this.#addFragment(bytes, start, end) || !last) return;
    const id = this.#blockOf;
    this.#blockOf = 0;
    this.#takeBlock(this.#fragments, 0, this.#fragmentBytes, id);
    if (this.#fragments.length > FRAME_BYTES_DEFAULT) this.#fragments = NO_BYTES;
  }

  #addFragment(bytes: Uint8Array, start: number, end: number): boolean {
    const length = this.#fragmentBytes + (end - start);
    if (length > this.context.limits.headBytesMax + FRAGMENT_SLACK_BYTES) {
      this.offend("header-list");
      return false;
    }
    if (length > this.#fragments.length) {
      const larger = new Uint8Array(Math.max(1024, length * 2));
      copyBytes(this.#fragments, 0, this.#fragmentBytes, larger, 0);
      this.#fragments = larger;
    }
    copyBytes(bytes, start, end, this.#fragments, this.#fragmentBytes);
    this.#fragmentBytes = length;
    return true;
  }

  #takeBlock(bytes: Uint8Array, start: number, end: number, id: number): void {
    const result = this.#decoder.decode(bytes, start, end, block, this.context.blockLimits);
    if (result === COMPRESSION_ERROR) {
      this.fail(errorCodes.COMPRESSION_ERROR, this.#decoder.errorDetail);
      return;
    }
    const ends = (this.#blockFlags & flags.END_STREAM) !== 0;
    this.headersReceived(id, ends, this.#blockError, result === LIST_TOO_LARGE);
  }

  /** Checks HEADERS against the state of the live stream and notes their end; false: refused or ignored, or not live. */
  protected admitHeaders(stream: Http2Stream, ends: boolean, error: number): boolean {
    const verdict = frameVerdict(stream.state, frameTypes.HEADERS, ends ? flags.END_STREAM : 0);
    if (verdict === IGNORE) return false;
    if (verdict !== OK || error !== OK) {
      this.#refuse(stream, stream.id, verdict === OK ? error : verdict, "HEADERS on a stream that takes none");
      return false;
    }
    stream.progressMs = coarse.nowMs;
    if (!ends) return true;
    if (!bodyMayEnd(stream.bodyRemaining)) {
      this.failStream(stream, errorCodes.PROTOCOL_ERROR);
      return false;
    }
    this.#endRemote(stream);
    return true;
  }

  /** Notes that the response head has ended the stream; false: its Content-Length promised more. */
  protected admitEnd(stream: Http2Stream): boolean {
    if (!bodyMayEnd(stream.bodyRemaining)) {
      this.failStream(stream, errorCodes.PROTOCOL_ERROR);
      return false;
    }
    this.#endRemote(stream);
    return true;
  }

  /** HEADERS on a stream that is not live any more. */
  protected refuseClosed(id: number, ends: boolean): void {
    const verdict = frameVerdict(this.history.stateOf(id), frameTypes.HEADERS, ends ? flags.END_STREAM : 0);
    if (verdict === OK || verdict === IGNORE) {
      if (!this.budgets.control(coarse.nowMs)) this.offend("control");
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
      else if (this.#sendWindow + increment > MAX_31_BITS) {
        this.fail(errorCodes.FLOW_CONTROL_ERROR, "the connection's window exceeds 2^31-1");
      } else {
        this.#sendWindow += increment;
        if (this.#blocked.length > 0) this.#pump();
      }
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
      if (stream.blocked) this.#pump();
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
    if (stream?.exchange.responseStarted !== true && !this.budgets.reset(coarse.nowMs)) {
      this.offend("reset");
      return;
    }
    if (stream === undefined) return;
    stream.state |= REMOTE_RESET;
    this.#forget(stream);
    this.resetReceived(stream, code);
    this.streamClosed();
  }

  #takeSettings(bytes: Uint8Array, start: number, end: number, flagBits: number): void {
    if ((flagBits & flags.ACK) !== 0) {
      if (!this.settingsAcked) this.settingsAcked = true;
      else if (!this.budgets.control(coarse.nowMs)) this.offend("control");
      return;
    }
    if (this.settingsSeen && !this.budgets.control(coarse.nowMs)) {
      this.offend("control");
      return;
    }
    const before = this.peer.initialWindowBytes;
    const error = this.peer.apply(bytes, start, end, this.peerServes);
    if (error !== OK) {
      this.fail(error, "a setting has a value that is not allowed");
      return;
    }
    this.settingsSeen = true;
    const { headerTableBytes, headerTableBytesLowest } = this.peer;
    if (headerTableBytesLowest < headerTableBytes) this.#encoder.setPeerTableBytesMax(headerTableBytesLowest);
    this.#encoder.setPeerTableBytesMax(headerTableBytes);
    const delta = this.peer.initialWindowBytes - before;
    if (delta !== 0 && !this.#adjustWindows(delta)) return;
    const at = this.output.reserve(SETTINGS_ACK_BYTES);
    this.#commitControl(writeSettingsAck(this.output.bytes, at), SETTINGS_ACK_BYTES);
    if (this.ended) return;
    this.settingsReceived();
    if (delta > 0 && this.#blocked.length > 0) this.#pump();
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
      if (this.#pingSentMs === 0 && !this.budgets.control(coarse.nowMs)) this.offend("control");
      this.#pingSentMs = 0;
      return;
    }
    if (!this.budgets.response(coarse.nowMs)) {
      this.offend("control");
      return;
    }
    const at = this.output.reserve(PING_BYTES);
    this.#commitControl(writePing(this.output.bytes, at, true, bytes, start), PING_BYTES);
  }

  // ---------------------------------------------------------------- sending

  /** Sends the bytes that begin a connection: SETTINGS, and the connection's window. */
  protected sendSettings(pairs: readonly number[]): void {
    const at = this.output.reserve(FRAME_HEAD_BYTES + (pairs.length / 2) * SETTING_BYTES);
    this.output.commit(writeSettings(this.output.bytes, at, pairs));
  }

  /** Opens the connection's receive window to its full size. */
  protected widenWindow(): void {
    const increment = this.#receive.widen(this.context.limits.http2ConnectionWindowBytes);
    if (increment > 0) this.#sendWindowUpdate(0, increment);
  }

  /** An answer to a control frame. A peer that asks and does not read is an offender. */
  #commitControl(end: number, bytes: number): void {
    this.output.commit(end);
    if (!this.wire.backlogged) return;
    this.#controlBytes += bytes;
    if (this.#controlBytes > this.context.limits.http2OutgoingControlBytesMax) this.offend("outgoing-control");
  }

  #sendWindowUpdate(id: number, increment: number): void {
    const at = this.output.reserve(WINDOW_UPDATE_BYTES);
    this.#commitControl(writeWindowUpdate(this.output.bytes, at, id, increment), WINDOW_UPDATE_BYTES);
  }

  /**
   * The other side has taken `bytes` of what this stream's peer sent: gives it credit, and a larger window as long as
   * nothing has to wait.
   */
  credit(stream: Http2Stream, bytes: number): void {
    const { receive } = stream;
    const increment = receive.consume(bytes);
    if (increment === 0 || (stream.state & (REMOTE_ENDED | LOCAL_RESET | REMOTE_RESET)) !== 0) return;
    const max = this.context.limits.http2StreamWindowBytesMax;
    let more = 0;
    if (receive.sizeBytes < max) {
      const other = stream.exchange.otherOf(stream);
      if (other !== undefined && !other.holds) more = receive.widen(Math.min(max, receive.sizeBytes * 2));
    }
    this.#sendWindowUpdate(stream.id, increment + more);
  }

  /**
   * Sends HEADERS: `fields[0, count)` and then the extra one. Split into CONTINUATION frames when they are larger than
   * what the peer takes.
   *
   * @param listBytes of the fields by HPACK's counting: more than encoding them can take.
   */
  sendHeaders(
    stream: Http2Stream,
    fields: readonly Field[],
    count: number,
    listBytes: number,
    ends: boolean,
    extra?: Field,
  ): void {
    if (!stream.writable) return;
    this.#writeHeaders(stream.id, fields, count, listBytes, ends, extra);
    if (ends) this.#endLocal(stream);
  }

  #writeHeaders(
    id: number,
    fields: readonly Field[],
    count: number,
    listBytes: number,
    ends: boolean,
    extra?: Field,
  ): void {
    const { output } = this;
    const room = listBytes + (extra === undefined ? 0 : extra.size) + HEADERS_ROOM_BYTES;
    const at = output.reserve(room);
    const { bytes } = output;
    const from = at + FRAME_HEAD_BYTES;
    let end = this.#encoder.begin(bytes, from);
    for (let i = 0; i < count; i++) end = this.#encoder.write(fields[i] as Field, bytes, end);
    if (extra !== undefined) end = this.#encoder.write(extra, bytes, end);
    const length = end - from;
    if (length <= this.peer.maxFrameBytes) {
      writeFrameHead(
        bytes,
        at,
        length,
        frameTypes.HEADERS,
        ends ? flags.END_HEADERS | flags.END_STREAM : flags.END_HEADERS,
        id,
      );
      output.commit(end);
    } else this.#sendSplit(bytes.slice(from, end), id, ends);
  }

  #sendSplit(fragments: Uint8Array, id: number, ends: boolean): void {
    const { output } = this;
    const max = this.peer.maxFrameBytes;
    for (let from = 0; from < fragments.length; from += max) {
      const to = Math.min(fragments.length, from + max);
      const at = output.reserve(FRAME_HEAD_BYTES + (to - from));
      const type = from === 0 ? frameTypes.HEADERS : frameTypes.CONTINUATION;
      const last = to === fragments.length ? flags.END_HEADERS : 0;
      const body = writeFrameHead(
        output.bytes,
        at,
        to - from,
        type,
        from === 0 && ends ? last | flags.END_STREAM : last,
        id,
      );
      output.commit(copyBytes(fragments, from, to, output.bytes, body));
    }
  }

  /** Answers on a stream that never got an exchange. The body is small, and left out when even that exceeds a window. */
  protected sendAnswer(id: number, fields: readonly Field[], listBytes: number, body: Uint8Array): void {
    const fits = body.length <= Math.min(this.peer.initialWindowBytes, this.#sendWindow);
    this.#writeHeaders(id, fields, fields.length, listBytes, body.length === 0 || !fits);
    if (body.length === 0 || !fits) return;
    this.#sendWindow -= body.length;
    const at = this.output.reserve(FRAME_HEAD_BYTES + body.length);
    const from = writeFrameHead(this.output.bytes, at, body.length, frameTypes.DATA, flags.END_STREAM, id);
    this.output.commit(copyBytes(body, 0, body.length, this.output.bytes, from));
  }

  /** Sends DATA, or holds what the windows and the connection do not take now. */
  sendData(stream: Http2Stream, bytes: Uint8Array, start: number, end: number, ends: boolean): void {
    if (!stream.writable) return;
    let at = start;
    if (!stream.holds && !this.wire.backlogged) {
      const { output } = this;
      for (;;) {
        // An end without bytes needs no credit, even under a window below zero (RFC 9113 §6.9.1).
        const take = at === end ? 0 : Math.min(end - at, stream.sendWindow, this.#sendWindow, this.peer.maxFrameBytes);
        if (take <= 0 && !(ends && at === end)) break;
        const last = ends && at + take === end;
        const frame = output.reserve(FRAME_HEAD_BYTES + take);
        const body = writeFrameHead(output.bytes, frame, take, frameTypes.DATA, last ? flags.END_STREAM : 0, stream.id);
        output.commit(copyBytes(bytes, at, at + take, output.bytes, body));
        stream.sendWindow -= take;
        this.#sendWindow -= take;
        this.budgets.dataSent();
        at += take;
        if (at === end) break;
      }
      if (at > start) this.#noteTaken(stream, at - start);
      if (at === end) {
        if (ends) this.#endLocal(stream);
        return;
      }
    }
    stream.hold(bytes, at, end);
    if (ends) stream.endHeld = true;
    this.block(stream);
  }

  /** Sends trailers, behind what is held. */
  sendTrailers(stream: Http2Stream, fields: readonly Field[], count: number, listBytes: number): void {
    if (!stream.writable) return;
    if (!stream.holds) {
      this.sendHeaders(stream, fields, count, listBytes, true);
      return;
    }
    stream.trailersHeld = fields.slice(0, count);
    this.block(stream);
  }

  /** Has the stream served when there is room again. */
  block(stream: Http2Stream): void {
    if (stream.blocked || !stream.holds) return;
    stream.blocked = true;
    this.#blocked.push(stream);
  }

  /** Sends what was held, a frame of each stream in turn, as far as windows and connection allow. */
  #pump(): void {
    let idle = 0;
    while (this.#blocked.length > idle && !this.wire.backlogged && !this.ended) {
      const stream = this.#blocked[idle] as Http2Stream;
      if (!stream.writable || !stream.holds) {
        stream.blocked = false;
        this.#blocked.splice(idle, 1);
      } else if (this.#sendHeldFrame(stream)) {
        this.#blocked.splice(idle, 1);
        if (stream.holds && stream.writable) this.#blocked.push(stream);
        else stream.blocked = false;
      } else idle++;
    }
  }

  /** Something can be sent now that waited: for a stream that was given held data, or after a change of windows. */
  pumpNow(): void {
    if (this.#blocked.length > 0) this.#pump();
  }

  /** Sends one frame of what a stream holds; false when its window or the connection's does not allow any. */
  #sendHeldFrame(stream: Http2Stream): boolean {
    const { output } = this;
    const first = stream.held[0];
    if (first === undefined) {
      const trailers = stream.trailersHeld;
      stream.drop();
      if (trailers === undefined) this.sendData(stream, NO_BYTES, 0, 0, true);
      else this.sendHeaders(stream, trailers, trailers.length, listBytesOf(trailers), true);
      this.settle(stream);
      return true;
    }
    const take = Math.min(first.length - stream.heldFrom, stream.sendWindow, this.#sendWindow, this.peer.maxFrameBytes);
    if (take <= 0) return false;
    const from = stream.heldFrom;
    const whole = from + take === first.length;
    const last = whole && stream.held.length === 1 && stream.endHeld && stream.trailersHeld === undefined;
    // In front of them is room for a head: made for it, or left by bytes that have gone.
    const start = from - FRAME_HEAD_BYTES;
    writeFrameHead(first, start, take, frameTypes.DATA, last ? flags.END_STREAM : 0, stream.id);
    if (take < PUSH_BYTES_MIN) {
      const at = output.reserve(FRAME_HEAD_BYTES + take);
      output.commit(copyBytes(first, start, from + take, output.bytes, at));
    } else output.push(first, start, from + take);
    stream.sendWindow -= take;
    this.#sendWindow -= take;
    this.budgets.dataSent();
    stream.heldBytes -= take;
    stream.heldFrom = whole ? FRAME_HEAD_BYTES : from + take;
    if (whole) stream.held.shift();
    stream.progressMs = coarse.nowMs;
    this.#noteTaken(stream, take);
    if (last) {
      stream.endHeld = false;
      this.#endLocal(stream);
      this.settle(stream);
    }
    return true;
  }

  /** `bytes` for this stream's peer have left: whoever sent them gets credit. */
  #noteTaken(stream: Http2Stream, bytes: number): void {
    const prepaid = Math.min(stream.prepaidBytes, bytes);
    stream.prepaidBytes -= prepaid;
    if (prepaid === bytes) return;
    const from = stream.exchange.otherOf(stream);
    if (from !== undefined) from.session.credit(from, bytes - prepaid);
  }

  #endLocal(stream: Http2Stream): void {
    stream.state |= LOCAL_ENDED;
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

  /** Takes a stream out of the table without a frame: the peer knows. */
  protected abandon(stream: Http2Stream): void {
    stream.state |= REMOTE_RESET;
    this.#forget(stream);
  }

  #writeReset(id: number, code: number): void {
    if (this.ended) return;
    const at = this.output.reserve(RST_STREAM_BYTES);
    this.#commitControl(writeRstStream(this.output.bytes, at, id, code), RST_STREAM_BYTES);
  }

  #forget(stream: Http2Stream): void {
    stream.drop();
    this.streams.delete(stream.id);
    this.history.close(stream.id, stream.state);
  }

  /** Sends GOAWAY; the connection goes on. */
  sendGoaway(lastId: number, code: number, detail: string): void {
    const debug = latin1(detail.slice(0, 200));
    const at = this.output.reserve(GOAWAY_BYTES + debug.length);
    this.output.commit(writeGoaway(this.output.bytes, at, lastId, code, debug));
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
    this.sendGoaway(this.peerServes ? 0 : this.history.lastId, errorCodes.ENHANCE_YOUR_CALM, kind);
    this.finish(`${errorName(errorCodes.ENHANCE_YOUR_CALM)}: ${kind}`);
  }

  /** Ends the connection because of an error (RFC 9113 §5.4.1). */
  fail(code: number, detail: string): void {
    if (this.ended) return;
    this.sendGoaway(this.peerServes ? 0 : this.history.lastId, code, detail);
    if (code === errorCodes.NO_ERROR) this.finish(detail);
    else this.finish(`${errorName(code)}: ${detail}`, true);
  }

  /** Takes nothing more in, tells all exchanges, and closes once what was written has left. */
  protected finish(detail: string, violated = false): void {
    if (this.ended) return;
    this.ended = true;
    this.endedMs = coarse.nowMs;
    this.sessionEnded(detail, violated);
    this.output.flush();
    this.wire.end();
    // What still comes is read and dropped, so that the peer gets the GOAWAY instead of a reset.
    this.wire.resume();
  }

  /** Coarse time of `finish`. */
  endedMs = 0;

  // ---------------------------------------------------------------- the wire

  onEnd(): void {
    if (this.ended) this.wire.destroy();
    else this.finish("the connection was closed");
  }

  onClose(error: Error | undefined): void {
    if (!this.ended) {
      this.ended = true;
      this.sessionEnded(error === undefined ? "the connection was closed" : error.message, false);
    }
    this.sessionClosed();
  }

  /** The wire is gone. */
  protected abstract sessionClosed(): void;

  onBacklog(): void {}

  onDrain(): void {
    this.#controlBytes = 0;
    if (this.#blocked.length > 0) this.#pump();
  }

  /** Deadlines that both sides share: incomplete frames, silence, and the end. True when the connection has ended. */
  protected sweepSession(nowMs: number): boolean {
    const { timeouts } = this.context;
    if (this.ended) {
      if (nowMs - this.endedMs >= Math.max(timeouts.lingerMs, 1)) this.wire.destroy();
      return true;
    }
    if (this.partialMs !== 0 && timeouts.headMs > 0 && nowMs - this.partialMs >= timeouts.headMs) {
      this.fail(errorCodes.ENHANCE_YOUR_CALM, `a frame or header block was not complete within ${timeouts.headMs} ms`);
      return true;
    }
    return this.#sweepPing(nowMs);
  }

  /** Asks a peer that has been silent while streams wait for it, and gives up one that does not answer. */
  #sweepPing(nowMs: number): boolean {
    const { http2PingMs, http2PingTimeoutMs } = this.context.timeouts;
    if (this.#pingSentMs !== 0) {
      // Any frame shows that it lives.
      if (this.heardMs > this.#pingSentMs) this.#pingSentMs = 0;
      else if (http2PingTimeoutMs > 0 && nowMs - this.#pingSentMs >= http2PingTimeoutMs) {
        this.fail(errorCodes.NO_ERROR, `no answer to PING within ${http2PingTimeoutMs} ms`);
        return true;
      }
      return false;
    }
    if (http2PingMs === 0 || this.streams.size === 0 || nowMs - this.heardMs < http2PingMs) return false;
    this.#pingSentMs = nowMs;
    const at = this.output.reserve(PING_BYTES);
    this.output.commit(writePing(this.output.bytes, at, false, PING_PAYLOAD, 0));
    return false;
  }
}

/** Of a PRIORITY frame (RFC 9113 §6.3). */
const PRIORITY_BYTES = 5;
const PING_PAYLOAD = latin1("sidelane");
/** A frame head, and what begins a block. */
const HEADERS_ROOM_BYTES = 64;

/** How many bytes are wanted before a frame of which `length` are there can be taken, or its length be known. */
function wantedBytes(bytes: Uint8Array, length: number): number {
  if (length < FRAME_HEAD_BYTES) return FRAME_HEAD_BYTES;
  // DATA is passed on as it comes: only its head has to be whole, with the length of its padding.
  if (bytes[3] === frameTypes.DATA) {
    return ((bytes[4] as number) & flags.PADDED) === 0 ? FRAME_HEAD_BYTES : FRAME_HEAD_BYTES + 1;
  }
  return FRAME_HEAD_BYTES + readUint24(bytes, 0);
}

/** What fields count by HPACK's measure, which is more than encoding them takes. */
export function listBytesOf(fields: readonly Field[]): number {
  let bytes = 0;
  for (const field of fields) bytes += field.size;
  return bytes;
}
