// `host[:port]` of :authority and Host. As strict as in HTTP/1.1, so that one name leads to one service in both.
import { COLON, DOT, HEX, REG_NAME, parseDecimal } from "../bytes.ts";

/** Where the parts of an authority stand. */
export interface AuthorityParts {
  hostNameStart: number;
  hostNameEnd: number;
  /** -1: none. */
  hostPort: number;
}

/** `[` and `]` around an IPv6 address. */
const OPEN = 0x5b;
const CLOSE = 0x5d;

/** Splits `bytes[start, end)`; false when it is not `host[:port]`, or has no host. Userinfo is refused (RFC 9113 §8.3.1). */
export function splitAuthority(parts: AuthorityParts, bytes: Uint8Array, start: number, end: number): boolean {
  let i = start;
  if (i < end && bytes[i] === OPEN) {
    // An IPv6 address (RFC 3986 §3.2.2); zones and IPvFuture, which nobody uses, are not forwarded.
    do i++;
    while (i < end && (HEX[bytes[i] as number] !== 255 || bytes[i] === COLON || bytes[i] === DOT));
    if (i >= end || bytes[i] !== CLOSE || i === start + 1) return false;
    i++;
  } else while (i < end && REG_NAME[bytes[i] as number] === 1) i++;
  parts.hostNameStart = start;
  parts.hostNameEnd = i;
  parts.hostPort = -1;
  if (i === start) return false;
  if (i === end) return true;
  if (bytes[i] !== COLON || end - i > 6) return false;
  if (i + 1 === end) return true;
  parts.hostPort = parseDecimal(bytes, i + 1, end);
  return parts.hostPort >= 0 && parts.hostPort <= 65_535;
}
