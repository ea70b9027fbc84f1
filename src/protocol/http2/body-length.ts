// Content-Length against the bytes of DATA (RFC 9113 §8.1.1). The relay keeps one number per direction of a stream: bytes
// still to come, or UNBOUNDED. A message that ends too early or goes on too long is malformed: passed on, it would be
// believed by somebody behind us.

/** No Content-Length: the body ends with END_STREAM. */
export const UNBOUNDED = -1;
/** Returned by `takeBody`: more bytes than announced. */
export const EXCEEDED = -2;

/** The bytes still to come after `bytes` of data without padding, UNBOUNDED, or EXCEEDED. */
export function takeBody(remaining: number, bytes: number): number {
  if (remaining === UNBOUNDED) return UNBOUNDED;
  return bytes > remaining ? EXCEEDED : remaining - bytes;
}

/** Whether END_STREAM may come now. */
export function bodyMayEnd(remaining: number): boolean {
  return remaining <= 0;
}

/**
 * The bytes of DATA that the body of a response has: 0 where there is none whatever the fields say (RFC 9110 §6.4.1, §9.3.6).
 *
 * @param contentLength -1: none.
 * @param toHead the request was HEAD.
 */
export function responseBodyBytes(status: number, contentLength: number, toHead: boolean): number {
  return toHead || status === 204 || status === 304 ? 0 : contentLength;
}
