// Budgets of one connection against floods: every frame below is cheap to send and makes us work. Token buckets in whole
// numbers (thousandths of a token), filled by the clock of the caller.

/** Lets `burst` through at once and `perSecond` in the long run. */
export class Budget {
  readonly #perSecond: number;
  readonly #fullMilli: number;
  #milli: number;
  #atMs: number;

  /** @param nowMs of a clock that never goes back; the same one as in `take`. */
  constructor(burst: number, perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#fullMilli = burst * 1000;
    this.#milli = burst * 1000;
    this.#atMs = nowMs;
  }

  /** Takes `count` out of the budget; false when it is not there: the peer is an offender. */
  take(count: number, nowMs: number): boolean {
    const elapsedMs = nowMs - this.#atMs;
    if (elapsedMs > 0) {
      this.#atMs = nowMs;
      this.#milli = Math.min(this.#fullMilli, this.#milli + elapsedMs * this.#perSecond);
    }
    if (this.#milli < count * 1000) return false;
    this.#milli -= count * 1000;
    return true;
  }
}

/** What budgets are made from; see `limits` in base/limits.ts. */
export interface BudgetLimits {
  readonly http2ResetBurst: number;
  readonly http2ResetsPerSecond: number;
  readonly http2ControlBurst: number;
  readonly http2ControlsPerSecond: number;
  readonly http2EmptyFramesBurst: number;
  readonly http2EmptyFramesPerSecond: number;
  readonly http2ContinuationsMax: number;
}

/**
 * Frames that are free for each DATA frame we sent: WINDOW_UPDATE for the stream and for the connection, and a PING, by which
 * gRPC's libraries measure the path with nearly every answer; some to spare.
 */
const FREE_PER_DATA = 4;
/** DATA frames that a window cut to fewer bytes earn nothing. */
const EARNING_BYTES = 256;
/** Free frames that can be saved up; more than answers one full write. */
const FREE_SAVED_MAX = 4096;

/**
 * The budgets of one connection. Each method answers: may the peer go on? False means GOAWAY with ENHANCE_YOUR_CALM.
 *
 * - `reset`: streams that the peer resets, and resets that its faults make us send. The work of a request is spent either way
 *   (CVE-2023-44487, CVE-2025-8671).
 * - `control`: SETTINGS, PING, PRIORITY, unknown frames, HEADERS on closed streams, GOAWAY, acknowledgements nobody asked for.
 * - `response`: WINDOW_UPDATE and PING, and HEADERS on streams that we reset; free in proportion to the DATA and RST_STREAM that we
 *   sent, else control.
 * - `emptyFrame`: DATA and CONTINUATION without bytes and without an end flag (CVE-2019-9518).
 * - `continuation`: frames of one header block (CVE-2024-27316 and its like).
 */
export class AbuseBudgets {
  readonly #resets: Budget;
  readonly #controls: Budget;
  readonly #emptyFrames: Budget;
  readonly #continuationsMax: number;
  #freeFrames: number;
  #continuations: number;

  constructor(limits: BudgetLimits, nowMs: number) {
    this.#resets = new Budget(limits.http2ResetBurst, limits.http2ResetsPerSecond, nowMs);
    this.#controls = new Budget(limits.http2ControlBurst, limits.http2ControlsPerSecond, nowMs);
    this.#emptyFrames = new Budget(limits.http2EmptyFramesBurst, limits.http2EmptyFramesPerSecond, nowMs);
    this.#continuationsMax = limits.http2ContinuationsMax;
    this.#freeFrames = FREE_PER_DATA;
    this.#continuations = 0;
  }

  /** A stream was reset by the peer or for its fault. */
  reset(nowMs: number): boolean {
    return this.#resets.take(1, nowMs);
  }

  /** A frame that asks for work and carries no part of a message. */
  control(nowMs: number): boolean {
    return this.#controls.take(1, nowMs);
  }

  /**
   * We sent a DATA frame of `bytes`; `cut`: the peer's window did not allow what there was. A small one of these earns no
   * credit: its size was the peer's choice (CVE-2019-9511).
   */
  dataSent(bytes: number, cut: boolean): void {
    if (cut && bytes < EARNING_BYTES) return;
    if (this.#freeFrames < FREE_SAVED_MAX) this.#freeFrames += FREE_PER_DATA;
  }

  /** We sent RST_STREAM: what the peer had sent before it heard of that is not its fault. */
  resetSent(): void {
    if (this.#freeFrames < FREE_SAVED_MAX) this.#freeFrames += FREE_PER_DATA;
  }

  /** A frame came that DATA or RST_STREAM of ours may have caused: WINDOW_UPDATE, PING, HEADERS on a stream that we reset. */
  response(nowMs: number): boolean {
    if (this.#freeFrames === 0) return this.#controls.take(1, nowMs);
    this.#freeFrames--;
    return true;
  }

  /** A DATA or CONTINUATION frame came that has neither bytes nor an end flag. */
  emptyFrame(nowMs: number): boolean {
    return this.#emptyFrames.take(1, nowMs);
  }

  /** A HEADERS frame came whose block goes on in CONTINUATION frames. */
  blockBegins(): void {
    this.#continuations = 0;
  }

  /** A CONTINUATION frame came. */
  continuation(): boolean {
    return ++this.#continuations <= this.#continuationsMax;
  }
}
