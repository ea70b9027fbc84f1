import type { RequestView } from "../context/request-view.ts";
import { watchedNumber } from "../field-table.ts";
import { fieldIds } from "./field-ids.ts";
import type { RequestHead } from "./request-head.ts";

/** Fills the view in from a parsed head. */
export function viewRequest(head: RequestHead, bytes: Uint8Array, view: RequestView): void {
  view.protocol = head.minor === 0 ? "HTTP/1.0" : "HTTP/1.1";
  view.methodBytes = bytes;
  view.methodStart = head.start;
  view.methodEnd = head.methodEnd;
  view.targetBytes = bytes;
  view.targetStart = head.targetStart;
  view.targetEnd = head.targetEnd;
  view.hostBytes = bytes;
  view.hostStart = head.hostNameStart;
  view.hostEnd = head.hostNameEnd;
  view.hostPort = head.hostPort;
  view.portDefault = 80;
  view.isGrpc = false;
  view.count = 0;
  const { watched } = head;
  for (let w = 0; w < head.watchedCount; w++) {
    const id = watched[w * 3] as number;
    if (id < fieldIds.watched) continue;
    view.add(watchedNumber(id), bytes, watched[w * 3 + 1] as number, watched[w * 3 + 2] as number);
  }
}
