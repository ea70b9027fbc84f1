// The chunked transfer coding (RFC 9112 §7.1), checked byte by byte while the bytes pass through.
//
// Guarantees: what `segments` names is safe to forward as it is. With `framing` kept that is the coding itself without
// chunk extensions; without it, the payload alone (for HTTP/1.0 clients, which do not know chunks). The last chunk is never
// forwarded before it is known to be one, so that after an error the other side has a message that is visibly cut off.
// Trailers are collected, checked and handed out whole.
//
// Limits: sizes below 2^53, extension bytes per message, trailer bytes and fields. Memory: the trailer section only.
import { CR, FIELD_VALUE, HEX, LF, SEMICOLON, isBlank } from "../bytes.ts";
import { faults, type Fault } from "./faults.ts";
import { FieldTable } from "../field-table.ts";
import { FAULTY, Head, INCOMPLETE } from "./head.ts";
import { putSentinel, scanFields } from "./scan-fields.ts";
import { forwardableTrailer } from "./trailer-fields.ts";

/** What one chunked body may take. */
export interface ChunkLimits {
  readonly chunkExtensionBytesMax: number;
  readonly trailerBytesMax: number;
  readonly headerCountMax: number;
}

const states = {
  sizeStart: 0,
  size: 1,
  extension: 2,
  sizeLf: 3,
  data: 4,
  dataCr: 5,
  dataLf: 6,
  trailer: 7,
  done: 8,
  failed: 9,
} as const;
type State = (typeof states)[keyof typeof states];

const EMPTY = new Uint8Array(0);
/** 2^53 has 14 hexadecimal digits; more than 16 with leading zeros is nobody's honest chunk. */
const SIZE_DIGITS_MAX = 16;

/** One chunked body on its way through. Reused: `reset` before each message. */
export class ChunkScanner {
  fault: Fault | undefined;
  /** Pairs [start, end) of the bytes of the last `scan` that are to be forwarded. */
  readonly segments: number[] = [];
  /** The trailer section with its final CR LF, once the message is done and if it has trailers; empty otherwise. */
  trailer: Uint8Array = EMPTY;
  /** Payload bytes so far. */
  payloadBytes = 0;

  #state: State = states.sizeStart;
  #framing = true;
  #remaining = 0;
  #digits = 0;
  #blankInExtension = false;
  #extensionBytes = 0;
  #trailerHeld: Uint8Array = EMPTY;
  #trailerLength = 0;
  readonly #limits: ChunkLimits;
  readonly #forbidden: readonly Uint8Array[];

  /** @param forbidden names of trailer fields, in small letters, that are not forwarded beside those that never are. */
  constructor(limits: ChunkLimits, forbidden: readonly Uint8Array[] = []) {
    this.#limits = limits;
    this.#forbidden = forbidden;
  }

  /** Prepares for a new message; `framing` false leaves only the payload in `segments`. */
  reset(framing: boolean): void {
    this.fault = undefined;
    this.segments.length = 0;
    this.trailer = EMPTY;
    this.payloadBytes = 0;
    this.#state = states.sizeStart;
    this.#framing = framing;
    this.#remaining = 0;
    this.#digits = 0;
    this.#extensionBytes = 0;
    this.#trailerHeld = EMPTY;
    this.#trailerLength = 0;
  }

  get done(): boolean {
    return this.#state === states.done;
  }

  /**
   * Takes `bytes[start, end)`.
   *
   * @returns the offset behind the last byte of the body (`done` tells whether that was its end), or FAULTY with `fault`.
   */
  scan(bytes: Uint8Array, start: number, end: number): number {
    this.segments.length = 0;
    let i = start;
    // Where the bytes to forward begin; -1 while the present bytes are not forwarded.
    let from = this.#framing || this.#state === states.data ? start : -1;
    if (this.#state === states.extension || this.#state === states.trailer) from = -1;
    while (i < end) {
      switch (this.#state) {
        case states.sizeStart:
        case states.size: {
          const byte = bytes[i] as number;
          const digit = HEX[byte] as number;
          if (digit !== 255) {
            this.#remaining = this.#remaining * 16 + digit;
            if (++this.#digits > SIZE_DIGITS_MAX || this.#remaining > Number.MAX_SAFE_INTEGER) {
              return this.#fail(faults.chunkSize);
            }
            this.#state = states.size;
            i++;
            break;
          }
          if (this.#state === states.sizeStart) return this.#fail(faults.chunkSize);
          if (byte === CR) {
            this.#state = states.sizeLf;
            i++;
          } else if (byte === SEMICOLON || isBlank(byte)) {
            if (from !== -1) this.#forward(from, i);
            from = -1;
            this.#blankInExtension = true;
            this.#state = states.extension;
          } else return this.#fail(faults.chunkSize);
          break;
        }
        case states.extension: {
          const byte = bytes[i] as number;
          if (byte === CR) {
            // "5 " CR LF: white space alone is no extension.
            if (this.#blankInExtension) return this.#fail(faults.chunkExtension);
            if (this.#framing) from = i;
            this.#state = states.sizeLf;
            i++;
            break;
          }
          if (FIELD_VALUE[byte] === 0) return this.#fail(faults.chunkExtension);
          if (this.#blankInExtension && !isBlank(byte)) {
            if (byte !== SEMICOLON) return this.#fail(faults.chunkExtension);
            this.#blankInExtension = false;
          }
          if (++this.#extensionBytes > this.#limits.chunkExtensionBytesMax) return this.#fail(faults.chunkExtension);
          i++;
          break;
        }
        case states.sizeLf:
          if (bytes[i] !== LF) return this.#fail(faults.chunkLine);
          i++;
          this.#digits = 0;
          if (this.#remaining === 0) {
            // The last chunk's line is forwarded; the trailer section follows as a whole.
            if (from !== -1) this.#forward(from, i);
            from = -1;
            this.#state = states.trailer;
          } else {
            if (!this.#framing) from = i;
            this.#state = states.data;
          }
          break;
        case states.data: {
          const taken = Math.min(this.#remaining, end - i);
          i += taken;
          this.#remaining -= taken;
          this.payloadBytes += taken;
          if (this.#remaining === 0) {
            if (!this.#framing) {
              this.#forward(from, i);
              from = -1;
            }
            this.#state = states.dataCr;
          }
          break;
        }
        case states.dataCr:
          if (bytes[i] !== CR) return this.#fail(faults.chunkLine);
          i++;
          this.#state = states.dataLf;
          break;
        case states.dataLf:
          if (bytes[i] !== LF) return this.#fail(faults.chunkLine);
          i++;
          this.#state = states.sizeStart;
          break;
        case states.trailer:
          return this.#scanTrailer(bytes, i, end);
        case states.done:
          return i;
        case states.failed:
          return FAULTY;
      }
    }
    if (from !== -1) this.#forward(from, i);
    return i;
  }

  #forward(from: number, to: number): void {
    if (to > from) this.segments.push(from, to);
  }

  #fail(fault: Fault): number {
    this.#state = states.failed;
    this.fault = fault;
    // Nothing of this call is forwarded: the peer is cut off, and less is safer than more.
    this.segments.length = 0;
    return FAULTY;
  }

  #scanTrailer(bytes: Uint8Array, start: number, end: number): number {
    // Nearly always there are no trailers: the section is just CR LF.
    if (this.#trailerLength === 0 && end - start >= 2 && bytes[start] === CR && bytes[start + 1] === LF) {
      this.#state = states.done;
      if (this.#framing) this.segments.push(start, start + 2);
      return start + 2;
    }
    const before = this.#trailerLength;
    const bound = this.#limits.trailerBytesMax + 2;
    const taken = Math.min(end - start, bound - before);
    this.#hold(bytes, start, start + taken);
    // Whole lines only: a section that trickles in is not parsed once per byte, and any split gives the same verdict.
    const newLines = this.#trailerHeld.subarray(before, this.#trailerLength).lastIndexOf(LF) + 1;
    const full = this.#trailerLength === bound;
    if (newLines === 0 && !full) return end;
    const stop = full ? bound : before + newLines;
    const saved = this.#trailerHeld[stop] as number;
    putSentinel(this.#trailerHeld, stop);
    trailerHead.reset();
    const { headerCountMax } = this.#limits;
    const after = scanFields(trailerHead, this.#trailerHeld, 0, stop, trailerTable, false, headerCountMax);
    this.#trailerHeld[stop] = saved;
    if (after === FAULTY) {
      return this.#fail(trailerHead.fault === faults.tooManyFields ? faults.trailerTooLarge : faults.trailer);
    }
    if (after === INCOMPLETE) return full ? this.#fail(faults.trailerTooLarge) : end;
    this.#state = states.done;
    if (this.#framing) this.trailer = forwardableTrailer(this.#trailerHeld, after, this.#forbidden);
    return start + (after - before);
  }

  #hold(bytes: Uint8Array, start: number, end: number): void {
    const length = this.#trailerLength + (end - start);
    if (length + 1 > this.#trailerHeld.length) {
      const larger = new Uint8Array(Math.max(256, length * 2 + 1));
      larger.set(this.#trailerHeld.subarray(0, this.#trailerLength));
      this.#trailerHeld = larger;
    }
    this.#trailerHeld.set(bytes.subarray(start, end), this.#trailerLength);
    this.#trailerLength = length;
  }
}

const trailerHead = new Head();

/** Knows no names: trailer fields have no meaning for the relay. Not a class of its own, which would slow `scanFields`. */
const trailerTable = new FieldTable([], []);
