// By the name that each listener gives itself in Via a loop is recognised (DESIGN §3.4 step 8).
import { TOKEN_LOWER } from "../protocol/bytes.ts";

/** Whether the value `bytes[start, end)` of a Via field holds the token: the whole name, not a part of another listener's. */
export function valueHoldsToken(bytes: Uint8Array, start: number, end: number, token: Uint8Array): boolean {
  for (let at = start; at + token.length <= end; at++) {
    let i = 0;
    while (i < token.length && bytes[at + i] === token[i]) i++;
    if (i < token.length) continue;
    const before = at > start && TOKEN_LOWER[bytes[at - 1] as number] !== 0;
    const behind = at + i < end && TOKEN_LOWER[bytes[at + i] as number] !== 0;
    if (!before && !behind) return true;
  }
  return false;
}
