// Which protocol a connection speaks, told by its first bytes.
//
// Guarantees: the verdict depends on the bytes alone, not on how they were cut into segments; it never changes once it is
// given; it is given at the latest after DETECT_BYTES_MAX bytes, and before that no byte is waited for that could not change it.
//
// Where the line between HTTP/1.1 and "anything else" lies. Methods are an open set (RFC 9110 §9.1), so no list of them can
// draw it; the version at the end of the first line can: whoever sends a word and a blank first sends a line, and in HTTP/1.1
// that line holds a blank and then `HTTP/`. Without it, this is Redis, SMTP, SSH, memcached and their like. A word of more than
// METHOD_BYTES_MAX bytes, or a byte that stands in no line of text, settles it before: PostgreSQL, AMQP, MongoDB, LDAP.
//
// In doubt it is HTTP/1.1, whose parser refuses what is malformed and says why. TCP goes to the baseline unread: if a request
// with a broken first line went that way, a lenient app would serve it, and a routing key behind that line would be lost
// (DESIGN §1, tenet 1). Hence the tolerance for empty lines, other blanks, other versions and small letters.
import { CR, LF, SLASH, SPACE, TAB, TOKEN_LOWER, latin1 } from "./bytes.ts";

/** What a connection speaks; `undecided`: the bytes so far fit more than one. */
export type Detected = "http1" | "http2" | "tls" | "tcp" | "undecided";

/** After so many bytes the verdict is never `undecided`: lines of SMTP, IRC and the like are no longer (RFC 5321 §4.5.3.1), URLs are. */
export const DETECT_BYTES_MAX = 512;

/** No method in use is half as long; a binary protocol that begins with letters soon shows itself. */
const METHOD_BYTES_MAX = 32;
/** Empty lines and blanks before the first word. RFC 9112 §2.2 knows one line; lenient servers skip any number. */
const BLANKS_MAX = 64;

/** The preface of HTTP/2 (RFC 9113 §3.4) as far as no request of HTTP/1.1 begins; what follows is checked by who speaks it. */
const HTTP2 = latin1("PRI * HTTP/2");
const HTTP = latin1("http");

/** TLS record of type handshake, and the first byte of a handshake message that is a ClientHello (RFC 8446 §5.1, §4). */
const TLS_HANDSHAKE = 0x16;
const CLIENT_HELLO = 0x01;
const TLS_RECORD_BYTES_MAX = 2 ** 14;

const VERTICAL_TAB = 0x0b;
const FORM_FEED = 0x0c;
const DELETE = 0x7f;

/** Tells by bytes[start, end), all that has come on a connection so far, what it speaks. */
export function detect(bytes: Uint8Array, start: number, end: number): Detected {
  if (start >= end) return "undecided";
  if (bytes[start] === TLS_HANDSHAKE) return detectTls(bytes, start, end);
  const same = countSame(bytes, start, end);
  if (same === HTTP2.length) return "http2";
  if (same === end - start) return "undecided";
  return detectHttp1(bytes, start, end);
}

/** How many bytes of the preface stand at `start`. */
function countSame(bytes: Uint8Array, start: number, end: number): number {
  let n = 0;
  while (n < HTTP2.length && start + n < end && bytes[start + n] === HTTP2[n]) n++;
  return n;
}

/** type(1) version(2) length(2), then the type of the handshake message (1). */
function detectTls(bytes: Uint8Array, start: number, end: number): Detected {
  const have = end - start;
  // The legacy version is 3.1 or 3.3 in practice; RFC 8446 §5.1 has it ignored, so only its first half counts.
  if (have > 1 && bytes[start + 1] !== 0x03) return "tcp";
  if (have > 3 && (bytes[start + 3] as number) << 8 > TLS_RECORD_BYTES_MAX) return "tcp";
  if (have > 4) {
    const length = ((bytes[start + 3] as number) << 8) | (bytes[start + 4] as number);
    if (length === 0 || length > TLS_RECORD_BYTES_MAX) return "tcp";
  }
  if (have < 6) return "undecided";
  return bytes[start + 5] === CLIENT_HELLO ? "tls" : "tcp";
}

function detectHttp1(bytes: Uint8Array, start: number, end: number): Detected {
  let i = start;
  while (i < end && (isBlank(bytes[i] as number) || bytes[i] === LF)) {
    if (++i - start > BLANKS_MAX) return "http1";
  }
  const methodStart = i;
  while (i < end && TOKEN_LOWER[bytes[i] as number] !== 0) {
    if (++i - methodStart > METHOD_BYTES_MAX) return "tcp";
  }
  if (i >= end) return "undecided";
  if (i === methodStart || !isBlank(bytes[i] as number)) return "tcp";
  const stop = Math.min(end, start + DETECT_BYTES_MAX);
  let wordStart = i + 1;
  for (; i < stop; i++) {
    const byte = bytes[i] as number;
    if (byte === SLASH) {
      if (i - wordStart === HTTP.length && isHttp(bytes, wordStart)) return "http1";
    } else if (isBlank(byte)) wordStart = i + 1;
    // The end of a line without a version, or no line at all.
    else if (byte < SPACE || byte === DELETE) return "tcp";
  }
  return end - start >= DETECT_BYTES_MAX ? "http1" : "undecided";
}

function isHttp(bytes: Uint8Array, at: number): boolean {
  for (let n = 0; n < HTTP.length; n++) if (TOKEN_LOWER[bytes[at + n] as number] !== HTTP[n]) return false;
  return true;
}

/** RFC 9112 §3: what lenient servers take for the blank between two words of a request line. */
function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB || byte === CR || byte === VERTICAL_TAB || byte === FORM_FEED;
}
