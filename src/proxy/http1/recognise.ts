// Two questions about a request that are asked before there is an exchange.
import { TOKEN_LOWER, latin1 } from "../../protocol/bytes.ts";
import { fieldIds } from "../../protocol/http1/field-ids.ts";
import type { RequestHead } from "../../protocol/http1/request-head.ts";

const HEAD_AND_SPACE = latin1("HEAD ");

/** Whether a request that cannot be parsed, or not yet, is HEAD as far as one can tell: its answer has no body either. */
export function beginsWithHead(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < HEAD_AND_SPACE.length) return false;
  return HEAD_AND_SPACE.every((byte, i) => bytes[start + i] === byte);
}

/** Whether a Via field of the parsed head holds the token. */
export function viaHolds(head: RequestHead, bytes: Uint8Array, token: Uint8Array): boolean {
  for (let w = 0; w < head.watchedCount; w++) {
    if (head.watched[w * 3] !== fieldIds.via) continue;
    const end = (head.watched[w * 3 + 2] as number) - token.length;
    for (let at = head.watched[w * 3 + 1] as number; at <= end; at++) {
      let i = 0;
      while (i < token.length && bytes[at + i] === token[i]) i++;
      // The whole name, not the beginning or end of another listener's.
      if (i === token.length && !isTokenByte(bytes, at - 1) && !isTokenByte(bytes, at + i)) return true;
    }
  }
  return false;
}

/** `at` is inside the head: around a value there are at least the colon and the line end. */
function isTokenByte(bytes: Uint8Array, at: number): boolean {
  return TOKEN_LOWER[bytes[at] as number] !== 0;
}
