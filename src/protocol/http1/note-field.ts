// What the fields that a relay has to know mean, taken into the `Head` as the scan meets them.
import { DIGIT_0, NOT_A_NUMBER, eachListElement, equalsToken, latin1, parseDecimal } from "../bytes.ts";
import { fixedId } from "../field-table.ts";
import { faults } from "./faults.ts";
import { fieldIds } from "./field-ids.ts";
import { noteContentLength, noteTransferEncoding } from "./framing-fields.ts";
import type { Head } from "./head.ts";
import { noteUpgrade } from "./upgrade.ts";

/**
 * Takes in one field that matters; false when it breaks the rules (`head.fault` is set).
 *
 * @param start of the value, without the white space around it.
 */
export function noteField(
  head: Head,
  bytes: Uint8Array,
  id: number,
  lineStart: number,
  lineEnd: number,
  start: number,
  end: number,
  response: boolean,
): boolean {
  if (id >= fieldIds.watched) head.watch(id, start, end);
  switch (fixedId(id)) {
    case fieldIds.plain:
      return true;
    case fieldIds.host:
      head.hostCount++;
      head.hostStart = start;
      head.hostEnd = end;
      head.hostLineStart = lineStart;
      head.hostLineEnd = lineEnd;
      return true;
    case fieldIds.connection:
      head.cutLine(lineStart, lineEnd);
      noteConnection(head, bytes, start, end);
      return true;
    case fieldIds.contentLength:
      return noteContentLength(head, bytes, lineStart, lineEnd, start, end);
    case fieldIds.transferEncoding:
      return noteTransferEncoding(head, bytes, lineStart, lineEnd, start, end);
    case fieldIds.hopByHop:
      head.cutLine(lineStart, lineEnd);
      return true;
    case fieldIds.upgrade:
      return noteUpgrade(head, bytes, start, end) || response;
    case fieldIds.te:
      head.cutLine(lineStart, lineEnd);
      eachListElement(bytes, start, end, (from, to) => {
        if (equalsToken(bytes, from, to, TRAILERS)) head.teTrailers = true;
      });
      return true;
    case fieldIds.expect:
      if (response) return true;
      if (!equalsToken(bytes, start, end, CONTINUE)) {
        head.fault = faults.expectation;
        return false;
      }
      head.expectContinue = true;
      return true;
    case fieldIds.maxForwards:
      head.maxForwards = head.maxForwards === -1 ? parseDecimal(bytes, start, end) : NOT_A_NUMBER;
      head.maxForwardsLineStart = lineStart;
      head.maxForwardsLineEnd = lineEnd;
      return true;
    case fieldIds.debug:
      head.debug = end - start === 1 && bytes[start] === DIGIT_0 + 1;
      return true;
    default:
      head.watch(fixedId(id), start, end);
      return true;
  }
}

const TRAILERS = latin1("trailers");
const CONTINUE = latin1("100-continue");
const CLOSE = latin1("close");
const KEEP_ALIVE = latin1("keep-alive");
const UPGRADE = latin1("upgrade");

/** Options that are dealt with by their own field lines. */
const handledOptions = ["te", "proxy-connection", "http2-settings"].map(latin1);

function noteConnection(head: Head, bytes: Uint8Array, start: number, end: number): void {
  if (equalsToken(bytes, start, end, KEEP_ALIVE)) {
    head.connectionKeepAlive = true;
    return;
  }
  if (equalsToken(bytes, start, end, CLOSE)) {
    head.connectionClose = true;
    return;
  }
  eachListElement(bytes, start, end, (from, to) => {
    if (equalsToken(bytes, from, to, KEEP_ALIVE)) head.connectionKeepAlive = true;
    else if (equalsToken(bytes, from, to, CLOSE)) head.connectionClose = true;
    else if (equalsToken(bytes, from, to, UPGRADE)) head.connectionUpgrade = true;
    else if (!handledOptions.some((option) => equalsToken(bytes, from, to, option))) head.nominates = true;
  });
}
