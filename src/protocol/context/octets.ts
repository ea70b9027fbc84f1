// The octets that the grammars of baggage and tracestate share (RFC 9110 §5.6.3 for white space).

export const HTAB = 0x09;
export const SP = 0x20;
export const PERCENT = 0x25;
export const COMMA = 0x2c;
export const SEMICOLON = 0x3b;
export const EQUALS = 0x3d;
