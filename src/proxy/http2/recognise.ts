// Has this request been here before?
import type { Http2RequestHead } from "../../protocol/http2/request-head.ts";
import { valueHoldsToken } from "../via-token.ts";

/** Whether a Via field of the head holds the token. */
export function viaHolds(head: Http2RequestHead, token: Uint8Array): boolean {
  for (let v = 0; v < head.viaCount; v++) {
    const field = head.via[v];
    if (field !== undefined && valueHoldsToken(field.bytes, field.valueStart, field.valueEnd, token)) return true;
  }
  return false;
}
