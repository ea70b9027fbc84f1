// Two questions about a request that are asked before there is an exchange.
import { latin1 } from "../../protocol/bytes.ts";
import { fieldIds } from "../../protocol/http1/field-ids.ts";
import type { RequestHead } from "../../protocol/http1/request-head.ts";
import { valueHoldsToken } from "../via-token.ts";

const HEAD_AND_SPACE = latin1("HEAD ");

/** Whether a request that cannot be parsed, or not yet, is HEAD as far as one can tell: its answer has no body either. */
export function beginsWithHead(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < HEAD_AND_SPACE.length) return false;
  return HEAD_AND_SPACE.every((byte, i) => bytes[start + i] === byte);
}

/** Whether a Via field of the parsed head holds the token. */
export function viaHolds(head: RequestHead, bytes: Uint8Array, token: Uint8Array): boolean {
  const { watched } = head;
  for (let w = 0; w < head.watchedCount; w++) {
    if (watched[w * 3] !== fieldIds.via) continue;
    if (valueHoldsToken(bytes, watched[w * 3 + 1] as number, watched[w * 3 + 2] as number, token)) return true;
  }
  return false;
}
