// The octets that the grammars of baggage and tracestate share (RFC 9110 §5.6.3 for white space).

export const HTAB = 0x09;
export const SP = 0x20;
export const PERCENT = 0x25;
export const COMMA = 0x2c;
export const SEMICOLON = 0x3b;
export const EQUALS = 0x3d;

/**
 * baggage-octet (W3C Baggage §3.2.1) = %x21 / %x23-2B / %x2D-3A / %x3C-5B / %x5D-7E, without `%` (%x25), which starts an escape.
 * The octets of a cookie's value (RFC 6265 §4.1.1) are the same.
 */
export function isBaggageOctet(byte: number): boolean {
  if (byte <= 0x20 || byte >= 0x7f) return false;
  return byte !== 0x22 && byte !== PERCENT && byte !== COMMA && byte !== SEMICOLON && byte !== 0x5c;
}
