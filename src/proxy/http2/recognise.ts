// Has this request been here before?
import { TOKEN_LOWER } from "../../protocol/bytes.ts";
import type { Http2RequestHead } from "../../protocol/http2/request-head.ts";

/** Whether a Via field of the head holds the token. */
export function viaHolds(head: Http2RequestHead, token: Uint8Array): boolean {
  for (let v = 0; v < head.viaCount; v++) {
    const field = head.via[v];
    if (field === undefined) continue;
    const { bytes, valueStart, valueEnd } = field;
    for (let at = valueStart; at + token.length <= valueEnd; at++) {
      let i = 0;
      while (i < token.length && bytes[at + i] === token[i]) i++;
      if (i < token.length) continue;
      // The whole name, not the beginning or end of another listener's.
      const before = at > valueStart && TOKEN_LOWER[bytes[at - 1] as number] !== 0;
      const behind = at + i < valueEnd && TOKEN_LOWER[bytes[at + i] as number] !== 0;
      if (!before && !behind) return true;
    }
  }
  return false;
}
