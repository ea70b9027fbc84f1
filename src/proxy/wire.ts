// A TCP connection as the relay needs it: bytes in by callback, bytes out in batches, backpressure as two calls.
//
// Guarantees: bytes given to `send` leave in order; the owner hears `onClose` exactly once, and nothing afterwards.
//
// Who owns the bytes. All sockets of the process read into one buffer (`readBuffer`): what `onBytes` gets is gone when it
// returns. Outgoing bytes are written into the outbox's arena, or lie in a buffer of the caller's that stays unchanged
// until the exchange ends. A write that the kernel does not take as a whole still points into its buffer; exactly then the
// arena is left to it and replaced by a new one.
//
// Flow control: `onBacklog` is called when a write is not taken as a whole: the owner pauses whoever feeds this connection;
// `onDrain` when all has been taken: it resumes them. Between the two at most two reads accumulate, 128 KiB: an arena that is
// full is written at once.
//
// Long because a wire is the same to its owner in each of its three ways: a bare handle, a socket of Node, TLS above one.
import net from "node:net";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { coarse, onTurnEnd, wantTurnEnd } from "../base/clock.ts";
import { copyBytes } from "../protocol/bytes.ts";
import {
  type NativeHandle,
  type WriteRequest,
  type WriteRequestConstructor,
  adopt,
  handleOf,
} from "./native-handle.ts";

/** What happens on a connection. A wire's owner may change: whoever reads the first bytes hands it on. */
export interface WireOwner {
  /** Received bytes[0, end), valid during the call only; `bytes[end]` may be overwritten. */
  onBytes(bytes: Uint8Array, end: number): void;
  /** The peer has closed its sending side. */
  onEnd(): void;
  onBacklog(): void;
  onDrain(): void;
  onClose(error: Error | undefined): void;
}

/** The owner of a wire until somebody else is: nothing is read before that. */
export const nobody: WireOwner = {
  onBytes: () => {},
  onEnd: () => {},
  onBacklog: () => {},
  onDrain: () => {},
  onClose: () => {},
};

/** libuv reads at most 64 KiB per callback. */
const READ_BYTES = 64 * 1024;
/** Small enough to stay in the processor's cache, large enough for a turn's worth of small answers. */
const ARENA_BYTES = 64 * 1024;

/** One buffer for all reads of the process, with room for the parser's sentinel behind it. */
const readBuffer = new Uint8Array(READ_BYTES + 1);
const readView = readBuffer.subarray(0, READ_BYTES);

let WriteRequestOf: WriteRequestConstructor | undefined;

/** Switches direct writes and adoption on (see native-handle.ts) or, with undefined, off. */
export function useNativeWrites(constructor: WriteRequestConstructor | undefined): void {
  WriteRequestOf = constructor;
}

/**
 * Outgoing bytes of one turn of the event loop. Reads of a turn come first, their writes afterwards in one go: that is one
 * write per connection and turn, and it keeps the kernel's receive path and its send path in the instruction cache each
 * in its turn (docs/performance.md has the figures).
 */
class Outbox {
  arena = new Uint8Array(ARENA_BYTES);
  /** Bytes of the arena that are spoken for. */
  used = 0;
  readonly #wires: (Wire | undefined)[] = [];
  readonly #buffers: (Uint8Array | undefined)[] = [];
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  #count = 0;

  /** Makes room for `bytes` in the arena and returns the offset where they may be written. */
  reserve(bytes: number): number {
    if (this.used + bytes > this.arena.length) {
      this.flush();
      if (bytes > this.arena.length) this.arena = new Uint8Array(bytes);
    }
    return this.used;
  }

  /** Queues arena[start, end), which was reserved, for a connection. */
  commit(wire: Wire, start: number, end: number): void {
    this.used = end;
    const last = this.#count - 1;
    if (last >= 0 && this.#wires[last] === wire && this.#buffers[last] === this.arena && this.#ends[last] === start) {
      this.#ends[last] = end;
      return;
    }
    this.push(wire, this.arena, start, end);
  }

  /** Queues bytes of a buffer that stays as it is until they are written. */
  push(wire: Wire, bytes: Uint8Array, start: number, end: number): void {
    const at = this.#count++;
    this.#wires[at] = wire;
    this.#buffers[at] = bytes;
    this.#starts[at] = start;
    this.#ends[at] = end;
    wantTurnEnd();
  }

  flush(): void {
    const count = this.#count;
    for (let at = 0; at < count; at++) {
      const wire = this.#wires[at] as Wire;
      const bytes = this.#buffers[at] as Uint8Array;
      this.#wires[at] = undefined;
      this.#buffers[at] = undefined;
      wire.writeNow(bytes, this.#starts[at] as number, this.#ends[at] as number);
    }
    // Writing calls back to owners only for backlog and errors, and they do not send.
    this.#count = 0;
    this.used = 0;
    if (this.arena.length > ARENA_BYTES) this.arena = new Uint8Array(ARENA_BYTES);
  }

  /** Leaves the arena to a write that still points into it. */
  retireArena(): void {
    this.arena = new Uint8Array(ARENA_BYTES);
  }
}

/** The outgoing bytes of this process. */
export const outbox = new Outbox();
onTurnEnd(() => outbox.flush());

/** One TCP connection. */
export class Wire {
  readonly socket: net.Socket;
  /** Hears what happens. */
  owner: WireOwner;
  /** `onClose` has been called. */
  closed = false;
  /** Bytes are waiting in this process because the peer does not read. */
  backlogged = false;
  /** When the last bytes came or went, coarse: for deadlines on progress. */
  lastProgressMs = coarse.nowMs;
  bytesSent = 0;
  /** Coarse time when the peer last took something that had been waiting for it; 0: it never did. */
  drainedMs = 0;
  #handle: NativeHandle | null = null;
  #request: WriteRequest | undefined;
  #queuedWrites = 0;
  /** What the last queued write points into. */
  #queuedBuffer: ArrayBufferLike | undefined;
  #paused = false;
  /** Destroyed by us; `onClose` follows. */
  #dead = false;
  /** Writing has failed, reading goes on until its end. */
  #mute = false;
  /** `end` was called. */
  #shut = false;
  /** We connected: what the other side said before it went away is still worth reading. */
  #readsOn = false;
  #error: Error | undefined;
  /** What a reset is sent on. */
  #beneath: net.Socket;

  /** Takes over an accepted socket; nothing has been read from it. */
  static accept(accepted: net.Socket, owner: WireOwner): Wire {
    if (WriteRequestOf === undefined) return Wire.acceptPublic(accepted, owner);
    // Nothing is read before the connection is established, so the callback always finds its wire.
    const socket = adopt(accepted, { buffer: readView, callback: (length) => wire.receive(length) });
    const wire = new Wire(socket, owner);
    wire.#established(true);
    return wire;
  }

  /**
   * Takes over an accepted socket that Node reads and writes: TLS, or where direct writes are off.
   *
   * @param beneath the TCP connection under a TLS connection: only that one can be reset.
   */
  static acceptPublic(accepted: net.Socket, owner: WireOwner, beneath?: net.Socket): Wire {
    const wire = new Wire(accepted, owner);
    wire.#beneath = beneath ?? accepted;
    wire.#receivePublic();
    wire.#established(false);
    return wire;
  }

  /**
   * Connects; `onConnect` is called once when the connection is established, `onClose` when that fails.
   *
   * @param secure makes the TLS connection on top of the TCP connection, which it is given; then both count as one.
   */
  static connect(
    host: string,
    port: number,
    owner: WireOwner,
    onConnect: () => void,
    secure?: (options: ConnectionOptions) => TLSSocket,
  ): Wire {
    if (secure !== undefined) {
      const secured = secure({ host, port, allowHalfOpen: true } as ConnectionOptions);
      secured.setNoDelay(true);
      secured.setKeepAlive(true, 60_000);
      const overTls = new Wire(secured, owner);
      overTls.#readsOn = true;
      overTls.#receivePublic();
      // Paused until somebody wants what comes behind the handshake; pausing does not hinder the handshake.
      secured.pause();
      secured.once("secureConnect", () => {
        // Trusted, and still not what was asked for: another protocol was settled on.
        if (secured.destroyed) return;
        overTls.#established(false);
        onConnect();
      });
      return overTls;
    }
    const socket = net.connect({
      host,
      port,
      noDelay: true,
      allowHalfOpen: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      onread: { buffer: readView, callback: (length) => wire.receive(length) },
    });
    const wire = new Wire(socket, owner);
    wire.#readsOn = true;
    socket.once("connect", () => {
      wire.#established(true);
      onConnect();
    });
    return wire;
  }

  private constructor(socket: net.Socket, owner: WireOwner) {
    this.socket = socket;
    this.#beneath = socket;
    this.owner = owner;
    socket.on("error", (error) => {
      // The handle is gone already; `close` follows in another turn, and until then nobody must write.
      this.#error ??= error;
      this.#dead = true;
    });
    socket.on("end", () => {
      if (this.#mute) this.#fail(this.#error ?? new Error("the connection was reset"));
      else if (!this.#dead && !this.closed) this.owner.onEnd();
    });
    socket.on("close", () => this.#close());
  }

  /** The public way: a fresh buffer per read. */
  #receivePublic(): void {
    this.socket.on("data", (chunk: Uint8Array) => {
      for (let at = 0; at < chunk.length && !this.#dead && !this.closed; at += READ_BYTES) {
        const part = chunk.subarray(at, at + READ_BYTES);
        readBuffer.set(part);
        this.receive(part.length);
      }
    });
  }

  /** @param direct writes may go to the handle. */
  #established(direct: boolean): void {
    if (direct && WriteRequestOf !== undefined) {
      this.#handle = handleOf(this.socket);
      this.#request = new WriteRequestOf();
    }
    this.lastProgressMs = coarse.nowMs;
    if (!this.#paused) this.socket.resume();
  }

  #close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#handle = null;
    this.owner.onClose(this.#error);
  }

  /** Bytes have arrived in the read buffer. False stops reading. */
  receive(length: number): boolean {
    if (this.#dead || this.closed) return false;
    this.lastProgressMs = coarse.nowMs;
    this.owner.onBytes(readBuffer, length);
    return !this.#paused;
  }

  /** Queues a copy of `bytes[start, end)`. */
  send(bytes: Uint8Array, start: number, end: number): void {
    if (this.closed || end <= start) return;
    const at = outbox.reserve(end - start);
    copyBytes(bytes, start, end, outbox.arena, at);
    outbox.commit(this, at, at + (end - start));
  }

  /** Writes at once; for the outbox and for HTTP/2, which collects what one turn sends by itself. */
  writeNow(bytes: Uint8Array, start: number, end: number): void {
    if (this.#dead || this.closed || this.#mute) return;
    const handle = this.#handle;
    if (handle === null) {
      this.bytesSent += end - start;
      this.#writePublic(bytes, start, end);
      return;
    }
    // A write that was queued owns its request until it completes.
    const request = this.#queuedWrites === 0 ? (this.#request as WriteRequest) : newRequest();
    const view = new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
    const status = handle.writeBuffer(request, view);
    if (status !== 0) {
      // Nothing of it has been taken: not counted, so that a request that never left can be sent elsewhere.
      this.#failWrite(status);
      return;
    }
    this.bytesSent += end - start;
    if (handle.writeQueueSize !== 0) this.#noteQueued(request, view);
  }

  /** Whether a write to the kernel may still point into `bytes`, which were the last to be given to `writeNow`. */
  holds(bytes: Uint8Array): boolean {
    return this.#queuedBuffer === bytes.buffer;
  }

  #noteQueued(request: WriteRequest, view: Uint8Array): void {
    if (request === this.#request) this.#request = newRequest();
    this.#queuedWrites++;
    request.bytes = view;
    request.oncomplete = (status) => {
      this.#queuedWrites--;
      if (status !== 0) this.#failWrite(status);
      else this.#noteWritten();
    };
    this.#queuedBuffer = view.buffer;
    if (view.buffer === outbox.arena.buffer) outbox.retireArena();
    this.#setBacklogged();
  }

  #writePublic(bytes: Uint8Array, start: number, end: number): void {
    this.#queuedWrites++;
    this.socket.write(bytes.slice(start, end), (error) => {
      this.#queuedWrites--;
      if (error === undefined || error === null) this.#noteWritten();
    });
    if (this.socket.writableLength > 0) this.#setBacklogged();
  }

  #setBacklogged(): void {
    if (this.backlogged || this.#dead || this.closed) return;
    this.backlogged = true;
    this.lastProgressMs = coarse.nowMs;
    this.owner.onBacklog();
  }

  #noteWritten(): void {
    this.lastProgressMs = coarse.nowMs;
    if (this.backlogged) this.drainedMs = coarse.nowMs;
    if (this.#queuedWrites === 0) this.#queuedBuffer = undefined;
    if (!this.backlogged || this.#queuedWrites > 0 || this.#dead || this.closed) return;
    this.backlogged = false;
    this.owner.onDrain();
  }

  /**
   * An endpoint may answer early and close; closing with unread bytes becomes a reset, and our next write fails before we
   * have read the answer that lies in the kernel (RFC 9112 §9.6). So an upstream connection reads on; its end, which is
   * orderly to see because the failed write has taken the error, counts as the error it is.
   */
  #failWrite(status: number): void {
    const error = new Error(`write failed with errno ${-status}`);
    if (!this.#readsOn) {
      this.#fail(error);
      return;
    }
    this.#mute = true;
    this.#error = error;
  }

  #fail(error: Error): void {
    if (this.#dead || this.closed) return;
    this.#dead = true;
    this.#error = error;
    this.socket.destroy();
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (!this.#dead && !this.closed) this.socket.resume();
  }

  /** Whether nothing can be sent or received any more. */
  get gone(): boolean {
    return this.#dead || this.closed || this.#mute;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Closes our sending side once everything queued has left. */
  end(): void {
    if (this.#dead || this.closed) return;
    outbox.flush();
    this.#shut = true;
    this.socket.end();
  }

  /** Closes both sides; what was queued for the outbox still leaves if the kernel takes it. */
  destroy(): void {
    if (this.#dead || this.closed) return;
    outbox.flush();
    this.#dead = true;
    this.socket.destroy();
  }

  /** Closes both sides at once; what was queued for the outbox must not leave any more. */
  discard(): void {
    if (this.#dead || this.closed) return;
    this.#dead = true;
    this.socket.destroy();
  }

  /** Aborts with RST, so that the peer cannot take what it got so far for the whole (RFC 9112 §8). */
  reset(): void {
    if (this.#dead || this.closed) return;
    outbox.flush();
    this.#dead = true;
    const secured = this.#beneath === this.socket && "encrypted" in this.socket;
    // libuv refuses to reset a connection whose sending side is being shut down, and the handle would stay open.
    if (secured || this.#shut) this.socket.destroy();
    else this.#beneath.resetAndDestroy();
    if (this.#beneath !== this.socket) this.socket.destroy();
  }

  /** The process need not stay for it. */
  unref(): void {
    this.socket.unref();
  }

  /** `address:port` of the peer; "" when it is gone. */
  get peer(): string {
    const { remoteAddress, remotePort } = this.socket;
    return remoteAddress === undefined ? "" : `${remoteAddress}:${remotePort}`;
  }
}

function newRequest(): WriteRequest {
  return new (WriteRequestOf as WriteRequestConstructor)();
}
