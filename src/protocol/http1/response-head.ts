// The head of a response: status line (RFC 9112 §4), fields (§5) and how the body is delimited (§6.3).
import { CR, FIELD_VALUE, LF, SLASH, SPACE } from "../bytes.ts";
import { faults } from "./faults.ts";
import { cutField, cutNominated } from "./cuts.ts";
import type { FieldTable } from "../field-table.ts";
import { fieldIds } from "./field-ids.ts";
import { FAULTY, Head, type HeadLimits, INCOMPLETE } from "./head.ts";
import { putSentinel, scanFields } from "./scan-fields.ts";
import { concludeUpgrade } from "./upgrade.ts";

/** How the end of a body is told (RFC 9112 §6.3). */
export const bodyKinds = { none: 0, length: 1, chunked: 2, close: 3 } as const;
/** A value of `bodyKinds`. */
export type BodyKind = (typeof bodyKinds)[keyof typeof bodyKinds];

/** A parsed response head; see `Head` for how long the offsets are valid. */
export class ResponseHead extends Head {
  start = 0;
  status = 0;
  body: BodyKind = bodyKinds.none;
  /** The connection can serve another request once the body is complete. */
  keepAlive = true;
}

/**
 * Parses the response head that begins at `bytes[start]`.
 *
 * @param bytes must have room for one byte at `end`, which is overwritten.
 * @param toHead the request was HEAD: no body whatever the fields say.
 * @returns the offset behind the head, INCOMPLETE, or FAULTY with `head.fault`.
 */
export function parseResponseHead(
  head: ResponseHead,
  bytes: Uint8Array,
  start: number,
  end: number,
  table: FieldTable,
  limits: HeadLimits,
  toHead: boolean,
): number {
  head.reset();
  head.start = start;
  const bounded = end - start > limits.headBytesMax;
  const stop = bounded ? start + limits.headBytesMax : end;
  const saved = bytes[stop] as number;
  putSentinel(bytes, stop);
  let after = parseStatusLine(head, bytes, start, stop);
  if (after > 0) after = scanFields(head, bytes, after, stop, table, true, limits.headerCountMax);
  if (bounded) bytes[stop] = saved;
  if (after === INCOMPLETE) return end - start >= limits.headBytesMax ? head.fail(faults.headTooLarge) : INCOMPLETE;
  if (after === FAULTY) return FAULTY;
  if (!frame(head, toHead)) return FAULTY;
  // RFC 9110 §15.2.2, §15.5.22: these tell the client something. Elsewhere Upgrade advertises what is not relayed.
  if (head.upgradeLines > 0) concludeUpgrade(head, bytes, table, head.status === 101 || head.status === 426);
  // RFC 9110 §8.6: these never have a Content-Length; who believes it waits for a body that does not come.
  if (head.contentLength > 0 && (head.status < 200 || head.status === 204)) {
    head.contentLengthRewritten = false;
    cutField(head, bytes, table, fieldIds.contentLength);
  }
  if (head.nominates && !cutNominated(head, bytes, table, limits.headerCountMax)) return FAULTY;
  return after;
}

function parseStatusLine(head: ResponseHead, bytes: Uint8Array, at: number, end: number): number {
  // "HTTP/1.x SP 3DIGIT SP": 13 bytes. Some servers leave out the reason and its space; RFC 9112 §4 lets us accept that.
  const length = end - at;
  for (let n = 0; n < 12; n++) {
    if (n >= length) return INCOMPLETE;
    const byte = bytes[at + n] as number;
    const wanted = STATUS_LINE[n] as number;
    if (wanted !== 0 ? byte !== wanted : byte < 0x30 || byte > 0x39) return head.fail(faults.statusLine);
  }
  head.minor = (bytes[at + 7] as number) - 0x30;
  if (head.minor > 1) return head.fail(faults.version);
  head.status =
    ((bytes[at + 9] as number) - 0x30) * 100 +
    ((bytes[at + 10] as number) - 0x30) * 10 +
    ((bytes[at + 11] as number) - 0x30);
  if (head.status < 100) return head.fail(faults.statusLine);
  let i = at + 12;
  if (bytes[i] === SPACE) while (FIELD_VALUE[bytes[i] as number] === 1) i++;
  if (i >= end) return INCOMPLETE;
  if (bytes[i] === LF) return head.fail(faults.bareLineFeed);
  if (bytes[i] !== CR) return head.fail(faults.statusLine);
  if (i + 1 >= end) return INCOMPLETE;
  if (bytes[i + 1] !== LF) return head.fail(faults.bareCarriageReturn);
  return i + 2;
}

/** "HTTP/1." digit SP digit digit digit; 0 stands for a digit. */
const STATUS_LINE = Uint8Array.of(0x48, 0x54, 0x54, 0x50, SLASH, 0x31, 0x2e, 0, SPACE, 0, 0, 0);

/** RFC 9112 §6.3, in its order. */
function frame(head: ResponseHead, toHead: boolean): boolean {
  const status = head.status;
  // RFC 9112 §6.1: an endpoint that sends both is faulty or being used to smuggle; a sidecar need not guess which.
  if (head.codingLines > 0 && head.contentLength !== -1) return refuse(head, faults.bothLengths);
  if (head.codingLines > 0 && head.minor === 0) return refuse(head, faults.codingInHttp10);
  head.keepAlive = !head.connectionClose && (head.minor === 1 || head.connectionKeepAlive);
  // 1. No body: HEAD, 1xx, 204, 304. What the fields say about length is about the body that GET would have got.
  if (toHead || status < 200 || status === 204 || status === 304) {
    if (head.codingLines > 0 && (status < 200 || status === 204)) return refuse(head, faults.codingWithoutBody);
    head.body = bodyKinds.none;
    return true;
  }
  // 2. is CONNECT, which is never forwarded. 3. both lengths: above. 4. chunked; other codings were refused in the scan.
  if (head.chunked) head.body = bodyKinds.chunked;
  // 5. invalid Content-Length was refused in the scan. 6. valid Content-Length.
  else if (head.contentLength !== -1) head.body = bodyKinds.length;
  // 7. is about requests. 8. until the connection closes.
  else {
    head.body = bodyKinds.close;
    head.keepAlive = false;
  }
  return true;
}

function refuse(head: ResponseHead, fault: Head["fault"]): false {
  head.fault = fault;
  return false;
}
