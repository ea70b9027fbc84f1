import { COLON, CR, LF, SLASH, joined, latin1 } from "../bytes.ts";
import type { Amendment } from "../context/amendment.ts";
import type { RequestView } from "../context/request-view.ts";
import { sortCuts } from "./cuts.ts";
import type { RequestHead } from "./request-head.ts";

const BAGGAGE = latin1("baggage: ");
const BLANK = latin1(" ");
const LINE_END = Uint8Array.of(CR, LF);

/**
 * Makes `writeRequestHead` write the head as amended: changed field lines move behind the others, and with them the later ones of
 * their name, whose order means something (RFC 9110 §5.3).
 */
export function amendRequest(head: RequestHead, bytes: Uint8Array, view: RequestView, amendment: Amendment): void {
  const lines: Uint8Array[] = [];
  for (let i = 0; i < view.count; i++) {
    const value = amendment.values[i];
    if (value === undefined && !followsMoved(view, amendment, i)) continue;
    const lineStart = startOfLine(bytes, view.starts[i] as number);
    const lineEnd = endOfLine(bytes, view.ends[i] as number);
    head.cut(lineStart, lineEnd);
    if (value === undefined) lines.push(bytes.slice(lineStart, lineEnd));
    else if (value.length > 0)
      lines.push(bytes.slice(lineStart, colonBehind(bytes, lineStart) + 1), BLANK, value, LINE_END);
  }
  if (amendment.baggage.length > 0) lines.push(BAGGAGE, amendment.baggage, LINE_END);
  if (amendment.authority !== undefined && head.hostCount > 0 && head.form !== "absolute") {
    head.cut(head.hostLineStart, head.hostLineEnd);
  }
  sortCuts(head);
  head.added = joined(lines);
  head.newTarget = amendment.target === undefined ? undefined : originForm(head, amendment.target);
  head.newAuthority = amendment.authority;
}

/** Whether an earlier field of the same name moves. */
function followsMoved(view: RequestView, amendment: Amendment, index: number): boolean {
  const changed = Math.min(index, amendment.values.length);
  for (let i = 0; i < changed; i++) {
    if (view.numbers[i] === view.numbers[index] && (amendment.values[i]?.length ?? 0) > 0) return true;
  }
  return false;
}

/** RFC 9112 §3.2.2: of absolute-form the path goes on, and the authority as Host. */
function originForm(head: RequestHead, target: Uint8Array): Uint8Array {
  if (head.form !== "absolute") return target;
  const path = target.subarray(head.authorityEnd - head.targetStart);
  return path[0] === SLASH ? path : joined([latin1("/"), path]);
}

function startOfLine(bytes: Uint8Array, at: number): number {
  let start = at;
  while (bytes[start - 1] !== LF) start--;
  return start;
}

function endOfLine(bytes: Uint8Array, at: number): number {
  let end = at;
  while (bytes[end] !== LF) end++;
  return end + 1;
}

function colonBehind(bytes: Uint8Array, at: number): number {
  let colon = at;
  while (bytes[colon] !== COLON) colon++;
  return colon;
}
