// What one head said, as offsets into the bytes that were parsed. Filled in by `scanFields` (scan-fields.ts) and by
// `parseRequestHead` or `parseResponseHead`, read by the relay and by serialise.ts.
import { type Fault, faults } from "./faults.ts";

/** What one head may take; see `limits` in base/limits.ts. */
export interface HeadLimits {
  readonly headBytesMax: number;
  readonly headerCountMax: number;
  readonly uriBytesMax: number;
}

/** Returned in place of an offset: the head is not complete yet. */
export const INCOMPLETE = 0;
/** Returned in place of an offset: `head.fault` says what is wrong. */
export const FAULTY = -1;

/** Cuts and watched fields that fit without growing; a head with more grows the array once. */
const CUTS_INITIAL = 16;

/**
 * What one head said, as offsets into the buffer that was parsed: valid only while that buffer is unchanged. One object
 * is reused for all heads of a process, because a head is parsed and serialised in one go.
 */
export class Head {
  fault: Fault = faults.requestLine;
  /** 0 or 1: HTTP/1.minor. */
  minor = 1;
  fieldsStart = 0;
  /** Behind the last field line, before the empty line. */
  fieldsEnd = 0;

  /** -1 when there is no Content-Length. */
  contentLength = -1;
  /** Content-Length stood in an unusual form: all its lines are cut and a plain one is to be added. */
  contentLengthRewritten = false;
  chunked = false;
  /** Transfer-Encoding stood in an unusual form: its line is cut and a plain one is to be added. */
  codingRewritten = false;
  /** Transfer-Encoding lines seen, and where the (only) one stands. */
  codingLines = 0;
  codingLineStart = 0;
  codingLineEnd = 0;

  /** Connection options (RFC 9110 §7.6.1). */
  connectionClose = false;
  connectionKeepAlive = false;
  /** Connection named fields beyond those that are hop-by-hop anyway. */
  nominates = false;
  connectionUpgrade = false;
  /** Upgrade lines (RFC 9110 §7.8), and the protocols in them that are passed on. */
  upgradeLines = 0;
  upgradeOffers: Uint8Array[] = [];
  /** They also name protocols that are not passed on. */
  upgradeConceals = false;
  /** They are cut, and one line with `upgradeOffers` is to be added. */
  upgradeRewritten = false;
  /** A request that asks to switch protocols, a response that names what to switch to: goes on with `Connection: Upgrade`. */
  switches = false;
  teTrailers = false;

  hostStart = -1;
  hostEnd = -1;
  hostLineStart = -1;
  hostLineEnd = -1;
  hostCount = 0;
  expectContinue = false;
  debug = false;
  /** -1: none. NOT_A_NUMBER: not one decimal number, which matters to OPTIONS and TRACE only (RFC 9110 §7.6.2). */
  maxForwards = -1;
  maxForwardsLineStart = -1;
  maxForwardsLineEnd = -1;

  /** Pairs [start, end): not forwarded. In ascending order. */
  cuts: Int32Array = new Int32Array(CUTS_INITIAL * 2);
  cutCount = 0;
  /** Triples (field id, value start, value end) of Via and watched fields, in order. */
  watched: Int32Array = new Int32Array(CUTS_INITIAL * 3);
  watchedCount = 0;

  /** Forgets the previous head. */
  reset(): void {
    this.minor = 1;
    this.contentLength = -1;
    this.contentLengthRewritten = false;
    this.chunked = false;
    this.codingRewritten = false;
    this.codingLines = 0;
    this.connectionClose = false;
    this.connectionKeepAlive = false;
    this.nominates = false;
    this.connectionUpgrade = false;
    this.switches = false;
    if (this.upgradeLines > 0) {
      this.upgradeLines = 0;
      this.upgradeOffers = [];
      this.upgradeConceals = false;
      this.upgradeRewritten = false;
    }
    this.teTrailers = false;
    this.hostStart = -1;
    this.hostEnd = -1;
    this.hostCount = 0;
    this.expectContinue = false;
    this.debug = false;
    this.maxForwards = -1;
    this.cutCount = 0;
    this.watchedCount = 0;
  }

  cut(start: number, end: number): void {
    const at = this.cutCount * 2;
    if (at === this.cuts.length) this.cuts = grown(this.cuts);
    this.cuts[at] = start;
    this.cuts[at + 1] = end;
    this.cutCount++;
  }

  /** Cuts the line that is being scanned, and with it the cut inside it that blanks before its colon left behind. */
  cutLine(start: number, end: number): void {
    if (this.cutCount > 0 && (this.cuts[this.cutCount * 2 - 2] as number) >= start) this.cutCount--;
    this.cut(start, end);
  }

  watch(id: number, start: number, end: number): void {
    const at = this.watchedCount * 3;
    if (at === this.watched.length) this.watched = grown(this.watched);
    this.watched[at] = id;
    this.watched[at + 1] = start;
    this.watched[at + 2] = end;
    this.watchedCount++;
  }

  fail(fault: Fault): number {
    this.fault = fault;
    return FAULTY;
  }
}

function grown(array: Int32Array): Int32Array {
  const larger = new Int32Array(array.length * 4);
  larger.set(array);
  return larger;
}
