// What may stand in a trailer section that is forwarded (RFC 9110 §6.5.1).
import { LF, TOKEN_LOWER, equalsToken, latin1 } from "../bytes.ts";

/**
 * Fields that a recipient must not take from trailers: framing, routing, authentication, request modifiers, response
 * control, how to read the content. One that merges trailers into the headers would let them in by the back door.
 */
const forbidden = [
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "proxy-connection",
  "http2-settings",
  "te",
  "trailer",
  "upgrade",
  "expect",
  "max-forwards",
  "via",
  "authorization",
  "proxy-authorization",
  "proxy-authenticate",
  "www-authenticate",
  "cookie",
  "set-cookie",
  "cache-control",
  "pragma",
  "range",
  "if-match",
  "if-none-match",
  "if-modified-since",
  "if-unmodified-since",
  "if-range",
  "age",
  "date",
  "expires",
  "location",
  "retry-after",
  "vary",
  "content-encoding",
  "content-type",
  "content-range",
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-real-ip",
  "baggage",
  "tracestate",
  "traceparent",
].map(latin1);

/**
 * The trailer section in `held[0, length)`, which was scanned, without the forbidden fields.
 *
 * @param others names, in small letters, that are forbidden here as well.
 */
export function forwardableTrailer(held: Uint8Array, length: number, others: readonly Uint8Array[]): Uint8Array {
  const kept = new Uint8Array(length);
  let at = 0;
  let i = 0;
  while (i < length) {
    const lineStart = i;
    while (TOKEN_LOWER[held[i] as number] !== 0) i++;
    const nameEnd = i;
    while (held[i] !== LF) i++;
    i++;
    if (forbidden.some((name) => equalsToken(held, lineStart, nameEnd, name))) continue;
    if (others.some((name) => equalsToken(held, lineStart, nameEnd, name))) continue;
    kept.set(held.subarray(lineStart, i), at);
    at += i - lineStart;
  }
  return kept.subarray(0, at);
}
