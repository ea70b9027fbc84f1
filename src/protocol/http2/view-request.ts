import type { RequestView } from "../context/request-view.ts";
import { watchedNumber } from "../field-table.ts";
import type { Field } from "../hpack/field.ts";
import type { Http2RequestHead } from "./request-head.ts";

/** Fills the view in from a head that was read. */
export function viewRequest(head: Http2RequestHead, view: RequestView): void {
  // A head that was read has both.
  const method = head.method as Field;
  const path = head.path as Field;
  view.protocol = "HTTP/2";
  view.methodBytes = method.bytes;
  view.methodStart = method.valueStart;
  view.methodEnd = method.valueEnd;
  view.targetBytes = path.bytes;
  view.targetStart = path.valueStart;
  view.targetEnd = path.valueEnd;
  view.hostBytes = head.hostBytes;
  view.hostStart = head.hostNameStart;
  view.hostEnd = head.hostNameEnd;
  view.hostPort = head.hostPort;
  view.portDefault = head.schemeIsHttps ? 443 : 80;
  view.isGrpc = head.isGrpc;
  view.count = 0;
  const { watched } = head;
  for (let w = 0; w < head.watchedCount; w++) {
    const field = watched[w] as Field;
    view.add(watchedNumber(field.kind), field.bytes, field.valueStart, field.valueEnd);
  }
}
