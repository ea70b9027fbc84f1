// The forwarded form of a head: the bytes as they came, in order and case, without the cuts, with what RFC 9110 §7.6 asks
// to add. One pass, straight into the buffer that is written to the socket.
import { assert } from "../../base/assert.ts";
import { copyBytes, CR, LF, SPACE, latin1 } from "../bytes.ts";
import { sortCuts } from "./cuts.ts";
import type { Head } from "./head.ts";
import type { RequestHead } from "./request-head.ts";
import type { ResponseHead } from "./response-head.ts";
import { listOf } from "./upgrade.ts";

const VERSION_LINE_END = latin1(" HTTP/1.1\r\n");
const HOST = latin1("host: ");
const CODING = latin1("transfer-encoding: chunked\r\n");
const CONNECTION_TE = latin1("connection: TE\r\nte: trailers\r\n");
const CONNECTION_UPGRADE = latin1("connection: Upgrade\r\n");
const UPGRADE = latin1("upgrade: ");
const CONNECTION_CLOSE = latin1("connection: close\r\n");
const CONNECTION_KEEP_ALIVE = latin1("connection: keep-alive\r\n");

/** Where the minor version stands in the line `via: 1.1 <token>`. */
const VIA_MINOR_AT = 7;

/** Bytes a forwarded request head can be longer than the received one, beside `via`, `authority` and what was amended. */
export const REQUEST_HEAD_GROWTH = 160;
/** Bytes a forwarded response head can be longer than the received one, beside `extra`. */
export const RESPONSE_HEAD_GROWTH = 120;

/**
 * Writes the forwarded request head.
 *
 * @param after the offset behind the head, as `parseRequestHead` returned it.
 * @param via the whole line `via: 1.1 <token>` to add (RFC 9110 §7.6.3 demands one in requests).
 * @param authority Host to use when the request has none (HTTP/1.0): bytes of `host[:port]`.
 * @returns the offset behind the written head.
 */
export function writeRequestHead(
  head: RequestHead,
  bytes: Uint8Array,
  after: number,
  to: Uint8Array,
  start: number,
  via: Uint8Array,
  authority: Uint8Array,
): number {
  let at = start;
  let from = head.start;
  const { newAuthority } = head;
  if (head.form === "absolute" || head.minor === 0 || head.newTarget !== undefined || newAuthority !== undefined) {
    at = writeRequestLine(head, bytes, to, at);
    from = head.fieldsStart;
    if (newAuthority !== undefined) {
      at = copyBytes(HOST, 0, HOST.length, to, at);
      at = copyBytes(newAuthority, 0, newAuthority.length, to, at);
      at = writeLineEnd(to, at);
    } else if (head.form === "absolute") {
      // RFC 9112 §3.2.2: it takes the place of the received Host, which is cut.
      at = copyBytes(HOST, 0, HOST.length, to, at);
      at = copyBytes(bytes, head.authorityStart, head.authorityEnd, to, at);
      at = writeLineEnd(to, at);
    } else if (head.hostCount === 0) {
      at = copyBytes(HOST, 0, HOST.length, to, at);
      at = copyBytes(authority, 0, authority.length, to, at);
      at = writeLineEnd(to, at);
    }
  }
  at = writeWithoutCuts(head, bytes, from, head.fieldsEnd, to, at);
  at = writeFraming(head, to, at);
  if (head.maxForwards > 0 && (head.isOptions || head.isTrace)) {
    // RFC 9110 §7.6.2; the received line was cut by the caller.
    const line = latin1(`max-forwards: ${head.maxForwards - 1}\r\n`);
    at = copyBytes(line, 0, line.length, to, at);
  }
  if (head.added.length > 0) at = copyBytes(head.added, 0, head.added.length, to, at);
  if (head.switches) at = writeUpgrade(head, to, at);
  if (head.teTrailers) at = copyBytes(CONNECTION_TE, 0, CONNECTION_TE.length, to, at);
  // RFC 9110 §7.6.3: the version is the one in which the message came.
  const viaStart = at;
  at = copyBytes(via, 0, via.length, to, at);
  if (head.minor === 0) to[viaStart + VIA_MINOR_AT] = 0x30;
  return finish(bytes, after, to, at);
}

function writeRequestLine(head: RequestHead, bytes: Uint8Array, to: Uint8Array, start: number): number {
  let at = copyBytes(bytes, head.start, head.methodEnd, to, start);
  to[at++] = SPACE;
  const { newTarget } = head;
  if (newTarget !== undefined) at = copyBytes(newTarget, 0, newTarget.length, to, at);
  else if (head.form !== "absolute") at = copyBytes(bytes, head.targetStart, head.targetEnd, to, at);
  else if (head.authorityEnd === head.targetEnd) {
    // RFC 9112 §3.2.4: OPTIONS without a path is about the server itself; everything else about "/".
    to[at++] = head.isOptions ? 0x2a : 0x2f;
  } else {
    if (bytes[head.authorityEnd] === 0x3f) to[at++] = 0x2f;
    at = copyBytes(bytes, head.authorityEnd, head.targetEnd, to, at);
  }
  return copyBytes(VERSION_LINE_END, 0, VERSION_LINE_END.length, to, at);
}

/** Leaves out Transfer-Encoding: the body goes on without chunks, to an HTTP/1.0 client. */
export function cutTransferEncoding(head: ResponseHead): void {
  head.codingRewritten = false;
  head.cut(head.codingLineStart, head.codingLineEnd);
  sortCuts(head);
}

/** Leaves out the received Max-Forwards, which `writeRequestHead` replaces by one less. */
export function cutMaxForwards(head: RequestHead): void {
  head.cut(head.maxForwardsLineStart, head.maxForwardsLineEnd);
  sortCuts(head);
}

/** What happens to the connection to the client after this response. */
export type ConnectionWord = "none" | "close" | "keep-alive";

/**
 * Writes the forwarded response head.
 *
 * @param after the offset behind the head, as `parseResponseHead` returned it.
 * @param extra whole lines to add.
 */
export function writeResponseHead(
  head: ResponseHead,
  bytes: Uint8Array,
  after: number,
  to: Uint8Array,
  start: number,
  connection: ConnectionWord,
  extra: Uint8Array | undefined,
): number {
  let at = writeWithoutCuts(head, bytes, head.start, head.fieldsEnd, to, start);
  // RFC 9110 §2.5: an intermediary sends its own version.
  to[start + 7] = 0x31;
  at = writeFraming(head, to, at);
  if (head.switches) at = writeUpgrade(head, to, at);
  if (connection === "close") at = copyBytes(CONNECTION_CLOSE, 0, CONNECTION_CLOSE.length, to, at);
  else if (connection === "keep-alive") at = copyBytes(CONNECTION_KEEP_ALIVE, 0, CONNECTION_KEEP_ALIVE.length, to, at);
  if (extra !== undefined) at = copyBytes(extra, 0, extra.length, to, at);
  return finish(bytes, after, to, at);
}

function writeWithoutCuts(
  head: Head,
  bytes: Uint8Array,
  start: number,
  end: number,
  to: Uint8Array,
  at: number,
): number {
  let from = start;
  for (let c = 0; c < head.cutCount; c++) {
    const cutStart = head.cuts[c * 2] as number;
    if (cutStart > from) at = copyBytes(bytes, from, cutStart, to, at);
    from = head.cuts[c * 2 + 1] as number;
  }
  return end > from ? copyBytes(bytes, from, end, to, at) : at;
}

/** Adds the framing fields that did not come in plain form, in plain form. */
function writeFraming(head: Head, to: Uint8Array, at: number): number {
  if (head.codingRewritten) return copyBytes(CODING, 0, CODING.length, to, at);
  if (!head.contentLengthRewritten) return at;
  const line = latin1(`content-length: ${head.contentLength}\r\n`);
  return copyBytes(line, 0, line.length, to, at);
}

/** RFC 9110 §7.8: whoever sends Upgrade also sends it as a connection option. */
function writeUpgrade(head: Head, to: Uint8Array, start: number): number {
  const at = copyBytes(CONNECTION_UPGRADE, 0, CONNECTION_UPGRADE.length, to, start);
  if (!head.upgradeRewritten) return at;
  const list = listOf(head.upgradeOffers);
  const valueAt = copyBytes(UPGRADE, 0, UPGRADE.length, to, at);
  return writeLineEnd(to, copyBytes(list, 0, list.length, to, valueAt));
}

function writeLineEnd(to: Uint8Array, at: number): number {
  to[at] = CR;
  to[at + 1] = LF;
  return at + 2;
}

/** The empty line that ends the head. */
function finish(bytes: Uint8Array, after: number, to: Uint8Array, at: number): number {
  const end = copyBytes(bytes, after - 2, after, to, at);
  assert(end <= to.length, "no room for the forwarded head");
  return end;
}
